"""`mrcnn convert panoptic-tfrecord`: its arguments, its output and its exit code."""
import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.cli import main as cli
from tests.datasets.panoptic_sets import segment, write_split


@pytest.fixture
def root(tmp_path):
    ids = np.ones((6, 9), int)
    write_split(tmp_path / "root", [("b.jpg", ids, [segment(1, 1, 54, 1)]), ("a.jpg", ids, [segment(1, 3, 54)])])
    return tmp_path / "root"


def run(root, *arguments):
    folders = ["--coco-root", str(root), "--output-dir", str(root.parent / "out")]
    return cli.main(["convert", "panoptic-tfrecord", *folders, *arguments])


def test_shards_are_written_and_read_back(root, capsys):
    assert run(root, "--shards", "2", "--workers", "1") == 0
    text = capsys.readouterr().out
    assert ["train", "2", "2", "2", "0"] in [line.split() for line in text.splitlines()]
    out = root.parent / "out"
    assert {path.name for path in out.iterdir()} == {
        "panoptic-train.json", "train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"}  # fmt: skip
    dataset = mrcnn.datasets.open(out)
    assert dataset.load_mask(0)[1].tolist() == [2] and len(dataset.load_mask(1)[1]) == 0
    assert run(root, "--shards", "2") == 0
    assert ["train", "2", "2", "0", "2"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_default_is_a_thousand_shards(root):
    assert run(root, "--workers", "1") == 0
    paths = sorted((root.parent / "out").glob("*.tfrecord"))
    assert len(paths) == 1000 and paths[-1].name == "train-00999-of-01000.tfrecord"
    assert [path.stat().st_size > 0 for path in paths[:3]] == [True, True, False]


def test_crowds_can_be_kept(root):
    assert run(root, "--no-treat-crowd-as-ignore", "--shards", "1", "--workers", "1") == 0
    assert mrcnn.datasets.open(root.parent / "out").load_mask(1)[1].tolist() == [-1]


@pytest.mark.parametrize(("flags", "class_ids"), [
    ([], []), (["--treat_crowd_as_ignore=true"], []), (["--treat_crowd_as_ignore"], []),
    (["--treat_crowd_as_ignore=false"], [-1]), (["--treat-crowd-as-ignore", "False"], [-1]),
    (["--notreat_crowd_as_ignore"], [-1]),
])  # fmt: skip
def test_command_line_of_deeplab2_is_accepted(root, flags, class_ids):
    out = root.parent / "out"
    assert cli.main(["convert", "panoptic-tfrecord", f"--coco_root={root}", f"--output_dir={out}", *flags]) == 0
    assert len(list(out.glob("train-*-of-01000.tfrecord"))) == 1000
    assert mrcnn.datasets.open(out).load_mask(1)[1].tolist() == class_ids


def test_flag_that_is_neither_true_nor_false_is_refused(root, capsys):
    with pytest.raises(SystemExit):
        run(root, "--treat_crowd_as_ignore=maybe")
    assert "'maybe' is neither true nor false" in capsys.readouterr().err


def test_requested_split_that_does_not_exist_is_reported(root, capsys):
    assert run(root, "--splits", "train", "val", "--shards", "1", "--workers", "1") == 1
    assert "neither" in " ".join(capsys.readouterr().out.split())


def test_error_is_one_line(root, capsys):
    (root / "train2017" / "a.jpg").unlink()
    assert run(root) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("mrcnn convert: error: 1 files of the 2 images of train are missing")


def test_invalid_argument_exits_with_2(root, capsys):
    with pytest.raises(SystemExit) as end:
        run(root, "--shards", "0")
    assert end.value.code == 2 and "'0' is not a number of at least 1" in capsys.readouterr().err
    assert run(root, "--splits", "all") == 2
    assert "splits is ['all']: choose from train, val, test" in capsys.readouterr().err
