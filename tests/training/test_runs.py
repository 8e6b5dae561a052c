"""Names of run folders and checkpoints."""
import datetime
import os

import pytest

from mrcnn.config import ConfigError
from mrcnn.training.runs import (
    checkpoint_name,
    checkpoint_path,
    find_checkpoint,
    find_last,
    new_log_dir,
    next_log_dir,
    parse_checkpoint,
    removed_if_empty,
)


@pytest.mark.parametrize("path, expected", [
    ("logs/coco20171029T2315/mask_rcnn_coco_0001.h5", ("coco20171029T2315", 1)),
    ("/path/to/logs/shapes220260101T0000/mask_rcnn_shapes2_0123.h5", ("shapes220260101T0000", 123)),
    ("my-set_320260101T0000/mask_rcnn_my-set_3_10000.h5", ("my-set_320260101T0000", 10000)),
    ("C:\\logs\\coco20171029T2315\\mask_rcnn_coco_0007.h5", ("coco20171029T2315", 7)),
    ("logs/a20250101T0000/b20260101T0000/mask_rcnn_b_0002.h5", ("b20260101T0000", 2)),
    ("mask_rcnn_coco.h5", None),
    ("mask_rcnn_coco_0001.h5", None),
    ("logs/coco20171029T2315/best_0001.h5", None),
    ("logs/coco20171029T2315/mask_rcnn_coco_0001.h5.part", None),
    ("logs/20171029T2315/mask_rcnn_coco_0001.h5", None),
    ("logs/coco20171029T2315-12/mask_rcnn_coco_0001.h5", ("coco20171029T2315-12", 1)),
    ("logs/coco20171029T2315-x/mask_rcnn_coco_0001.h5", None),
    ("logs/set_202420171029T2315/mask_rcnn_set_2024_0001.h5", ("set_202420171029T2315", 1)),
])  # fmt: skip
def test_run_and_epoch_are_read_from_the_path_of_a_checkpoint(path, expected):
    assert parse_checkpoint(path) == expected


def test_new_run_is_named_after_the_minute():
    now = datetime.datetime(2026, 3, 4, 5, 6, 59)
    assert new_log_dir("logs", "Toys", now) == os.path.join("logs", "toys20260304T0506")
    path = checkpoint_path(new_log_dir("logs", "Toys", now), "Toys").format(epoch=12)
    assert path == os.path.join("logs", "toys20260304T0506", "mask_rcnn_toys_0012.h5")
    assert parse_checkpoint(path) == ("toys20260304T0506", 12)


def _touch(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def test_of_runs_that_began_in_the_same_minute_the_last_one_saved_is_the_newest(tmp_path):
    paths = [tmp_path / f"{name}20260101T0000" / f"mask_rcnn_{name}_0001.h5" for name in ("toys", "cats")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"")
    for newest, times in ((paths[0], (20, 10)), (paths[1], (10, 20))):
        for path, time in zip(paths, times, strict=True):
            os.utime(path, (time, time))
        assert find_last(tmp_path) == str(newest)


def test_last_checkpoint_is_the_newest_of_the_newest_run_with_one(tmp_path):
    _touch(tmp_path / "toys20260101T0000", "mask_rcnn_toys_0099.h5")
    _touch(tmp_path / "toys20260201T0000", "mask_rcnn_toys_9999.h5", "mask_rcnn_toys_10000.h5", "best.h5",
           "mask_rcnn_toys_0005.h5.part")
    _touch(tmp_path / "toys20260301T0000")  # stopped during its first epoch
    _touch(tmp_path / "toys20270101T0000x", "mask_rcnn_toys_0001.h5")
    _touch(tmp_path / "toystory20270101T0000", "mask_rcnn_toystory_0001.h5")
    assert find_last(str(tmp_path), "Toys") == str(tmp_path / "toys20260201T0000" / "mask_rcnn_toys_10000.h5")


def test_missing_checkpoint_is_reported_with_the_searched_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder toysYYYYMMDDTHHMM"):
        find_last(str(tmp_path / "none"), "toys")
    _touch(tmp_path / "toys20260301T0000")
    with pytest.raises(FileNotFoundError, match="toys20260301T0000 have no checkpoint yet"):
        find_last(str(tmp_path), "toys")


def test_folder_of_runs_is_not_a_run(tmp_path):
    _touch(tmp_path / "toys20260301T0000", "mask_rcnn_toys_0001.h5")
    with pytest.raises(FileNotFoundError, match="with checkpoints. It holds runs: give one, such as .*toys20260301T0000"):
        find_checkpoint(str(tmp_path), "logs")


def test_two_runs_in_the_same_minute_have_different_folders(tmp_path):
    now = datetime.datetime(2026, 1, 31, 23, 59)
    first = new_log_dir(str(tmp_path), "toys", now)
    assert first.endswith("toys20260131T2359")
    (tmp_path / "toys20260131T2359").mkdir()
    assert new_log_dir(str(tmp_path), "toys", now) == str(tmp_path / "toys20260131T2359-2")
    (tmp_path / "toys20260131T2359-2").mkdir()
    third = new_log_dir(str(tmp_path), "toys", now)
    assert third == str(tmp_path / "toys20260131T2359-3") and next_log_dir(f"{tmp_path}/toys20260131T2359-2") == third
    assert next_log_dir(str(tmp_path / "my-run")) == str(tmp_path / "my-run-2")
    path = checkpoint_path(third, "Toys").format(epoch=4)
    assert parse_checkpoint(path) == ("toys20260131T2359-3", 4) and checkpoint_name(path) == "toys"


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", "", " ", "a\nb", "a\x1b[2Jb", "a\0b", 123, ["a"]])
def test_invalid_name_is_an_error(tmp_path, name):
    with pytest.raises(ConfigError, match="NAME is .*give text on one line without"):
        find_last(tmp_path, name)


def test_renamed_run_folder_is_recognised_by_its_history(tmp_path, monkeypatch):
    folder = tmp_path / "first try"
    _touch(folder, "mask_rcnn_toys_0012.h5")
    path = folder / "mask_rcnn_toys_0012.h5"
    assert parse_checkpoint(path) is None  # a folder of weights
    (folder / "history.csv").touch()
    assert parse_checkpoint(path) == ("first try", 12) and checkpoint_name(path) == "toys"
    monkeypatch.chdir(folder)
    assert parse_checkpoint("mask_rcnn_toys_0012.h5") == ("first try", 12)
    assert checkpoint_name("best.h5") is None


def test_folder_is_removed_after_an_error_only_if_it_has_no_files(tmp_path):
    class Stop(BaseException):
        """An exception that ends the process, like KeyboardInterrupt."""

    for name, fault in (("empty", ValueError), ("stopped", Stop), ("with_folders", ValueError), ("with_a_file", ValueError)):
        folder = tmp_path / name
        with pytest.raises(fault), removed_if_empty(str(folder)):
            (folder / "train").mkdir(parents=True) if name == "with_folders" else folder.mkdir()
            if name == "with_a_file":
                (folder / "train").mkdir()
                (folder / "train" / "events").touch()
                (folder / "validation").mkdir()
            raise fault("no memory")
    with pytest.raises(ValueError), removed_if_empty(str(tmp_path / "never_made")):
        raise ValueError("no memory")
    with removed_if_empty(str(tmp_path / "done")):
        (tmp_path / "done").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "with_a_file"]
    assert (tmp_path / "with_a_file" / "train" / "events").exists()
    assert (tmp_path / "with_a_file" / "validation").is_dir()  # the folder is unchanged
