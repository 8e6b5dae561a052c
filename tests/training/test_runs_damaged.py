""""last" means the newest intact checkpoint; damaged ones are skipped and reported."""
import logging
import os

import h5py
import numpy as np
import pytest

from mrcnn.io.hdf5 import seal
from mrcnn.training.runs import (
    checkpoint_fault,
    find_checkpoint,
    find_last,
    newest_checkpoint,
    state_path,
    whole_checkpoint_instead,
)


def _write(path, value=1.0, sealed=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"conv1"])
        file["conv1/kernel:0"] = np.full((64, 64), value, np.float32)
        if sealed:
            seal(file)
    return path


def _run(folder, epochs, states=()):
    """Write a run folder with intact checkpoints and training states."""
    (folder / "x").parent.mkdir(parents=True, exist_ok=True)
    (folder / "history.csv").write_text("epoch,loss\n")
    for epoch in states:
        _write(state_path(folder, epoch))
    return {epoch: _write(folder / f"mask_rcnn_toys_{epoch:04d}.h5") for epoch in epochs}


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[data.index(np.ones(64, np.float32).tobytes())] ^= 1  # one bit of one weight
    path.write_bytes(data)


def _empty(path):
    path.write_bytes(b"")


DAMAGES = {"cut": (_cut, "not a complete HDF5 file"), "flipped": (_flip, "differs from the digest"),
           "empty": (_empty, "not a complete HDF5 file"),
           "nan": (lambda path: _write(path, np.nan, sealed=False), "conv1/kernel:0 holds NaN or infinite numbers"),
           "infinite": (lambda path: _write(path, -np.inf), "conv1/kernel:0 holds NaN or infinite numbers")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_skipped_and_reported(tmp_path, damage, caplog):
    checkpoints = _run(tmp_path / "toys20260101T1200", (1, 2, 3), states=(2, 3))
    assert find_last(tmp_path, "toys") == str(checkpoints[3]) and not caplog.records
    apply_damage, reason = DAMAGES[damage]
    apply_damage(checkpoints[3])
    assert find_last(tmp_path, "toys") == str(checkpoints[2])
    assert find_checkpoint(str(tmp_path / "toys20260101T1200"), tmp_path) == str(checkpoints[2])
    message = caplog.records[0].getMessage()
    assert message.startswith(f"{checkpoints[3]} is passed over: ") and reason in message


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_checkpoint_with_a_damaged_state_is_skipped_and_reported(tmp_path, damage, caplog):
    folder = tmp_path / "toys20260101T1200"
    checkpoints = _run(folder, (1, 2, 3), states=(2, 3))
    DAMAGES[damage][0](state_path(folder, 3))
    assert newest_checkpoint(folder) == checkpoints[2]
    assert f"{checkpoints[3]} is passed over: its training state" in caplog.text and "training_state_0003.h5" in caplog.text


def test_checkpoints_without_states_and_digests_are_accepted(tmp_path, caplog):
    checkpoints = _run(tmp_path / "toys20260101T1200", (1, 2))
    _write(checkpoints[2], sealed=False)  # a classic file
    assert find_last(tmp_path) == str(checkpoints[2]) and not caplog.records
    assert checkpoint_fault(checkpoints[1]) is None


def test_newest_intact_checkpoint_is_suggested_for_a_damaged_one(tmp_path):
    checkpoints = _run(tmp_path / "toys20260101T1200", (1, 2, 3, 4))
    assert whole_checkpoint_instead(checkpoints[4]) is None  # it is intact itself
    for epoch in (3, 4):
        _cut(checkpoints[epoch])
    assert whole_checkpoint_instead(checkpoints[4]) == whole_checkpoint_instead(checkpoints[3]) == checkpoints[2]
    (tmp_path / "best.h5").touch()
    assert whole_checkpoint_instead(tmp_path / "best.h5") is None


def test_newest_checkpoint_is_returned_if_none_is_intact(tmp_path):
    checkpoints = _run(tmp_path / "toys20260201T1200", (1, 2))
    _run(tmp_path / "toys20260101T1200", (1,))  # the checkpoint of another run is not used instead
    for path in checkpoints.values():
        _cut(path)
    assert find_last(tmp_path, "toys") == str(checkpoints[2])


def test_newer_run_without_a_checkpoint_is_reported(tmp_path, caplog):
    checkpoints = _run(tmp_path / "toys20260101T1200", (1,))
    (tmp_path / "toys20260101T1200-2").mkdir()
    (tmp_path / "other20270101T1200").mkdir()
    assert find_last(tmp_path, "toys") == str(checkpoints[1])
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/toys20260101T1200-2 is passed over: it has no checkpoint yet"]


def test_runs_of_the_same_minute_are_ordered_by_number(tmp_path):
    for number in ("", "-2", "-10", "-9"):
        _run(tmp_path / f"toys20260101T1200{number}", (1,))
    assert find_last(tmp_path, "toys").endswith("toys20260101T1200-10/mask_rcnn_toys_0001.h5")


def test_renamed_run_is_found_by_path_and_by_its_newest_checkpoint(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    checkpoints = _run(tmp_path / "first try", (1, 2))
    _run(tmp_path / "toys20260101T1200", (1,))
    assert find_checkpoint(str(tmp_path / "first try"), tmp_path) == str(checkpoints[2])
    os.utime(checkpoints[2], (1_780_000_000, 1_780_000_000))  # in May 2026
    assert find_last(tmp_path, "toys") == find_last(tmp_path) == str(checkpoints[2])
    os.utime(checkpoints[2], (1_760_000_000, 1_760_000_000))  # in October 2025
    assert find_last(tmp_path, "toys").endswith("toys20260101T1200/mask_rcnn_toys_0001.h5")
    monkeypatch.chdir(tmp_path / "first try")
    assert find_checkpoint(".", tmp_path) == "mask_rcnn_toys_0002.h5"
