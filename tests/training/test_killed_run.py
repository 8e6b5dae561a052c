"""A run that was killed between writing any two files resumes with the result of an uninterrupted run."""
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mrcnn.training.checkpoints import saved_rows
from mrcnn.training.runs import newest_checkpoint, read_history
from tests.training.killed_run import train

# Each epoch renames four files: state, history with training losses, checkpoint, history with the complete row.
MOMENTS = {"state": 9, "history": 10, "checkpoint": 11, "row": 12}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The weights of a run of five epochs."""
    return train(tmp_path_factory.mktemp("logs") / "toys20260101T1200", 5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("file", MOMENTS)
def test_killed_run_resumes_exactly_and_its_history_is_complete(tmp_path, uninterrupted, file):
    folder = tmp_path / "toys20260101T1200"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.training.killed_run", str(folder), "5", str(MOMENTS[file])]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert len(list(folder.glob("*.part"))) == 1  # killed in the third epoch, when this file was written but not yet renamed
    third = folder / "mask_rcnn_toys_0003.h5"
    assert third.exists() == (file == "row")
    for ours, theirs in zip(train(folder, 5), uninterrupted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = read_history(folder / "history.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5] and all(row["loss"] > 0 for row in rows)
    assert ["val_loss" in row for row in rows] == [True, True, file != "row", True, True]
    names = [f"mask_rcnn_toys_000{epoch}.h5" for epoch in (1, 2, 3, 4, 5)]
    states = ["training_state_0004.h5", "training_state_0005.h5"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["history.csv", *names, *states])


@pytest.mark.parametrize("kept", [None, 0, 1])
def test_lost_rows_of_the_history_come_back_when_the_run_is_resumed(tmp_path, kept):
    """history.csv is missing, or keeps its header and `kept` rows."""
    folder = tmp_path / "toys20260101T1200"
    folder.mkdir()
    train(folder, 3)
    path = folder / "history.csv"
    before = read_history(path)
    if kept is None:
        path.unlink()
    else:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[: 1 + kept]))
    train(folder, 4)
    rows = read_history(path)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[:2] == before[:2] and rows[2]["loss"] == before[2]["loss"]


def test_rows_of_other_epochs_or_of_a_damaged_state_are_not_used(tmp_path):
    folder = tmp_path / "toys20260101T1200"
    folder.mkdir()
    train(folder, 3)
    state = folder / "training_state_0003.h5"
    assert [row["epoch"] for row in saved_rows(state, 3)] == [1, 2, 3]
    assert saved_rows(state, 2) == [] and saved_rows(folder / "training_state_0009.h5", 9) == []
    with h5py.File(state, "r+") as file:  # the digest is no longer that of the values
        file["history"][0] = ord(" ")
    assert saved_rows(state, 3) == []


@pytest.mark.tensorflow_only
def test_state_of_a_resumed_run_never_stands_beside_the_checkpoint_that_it_replaces(tmp_path):
    """A run of three epochs is resumed from the second with other data, and killed before it renames its third checkpoint."""
    folder, copy = tmp_path / "toys20260101T1200", tmp_path / "copy20260101T1200"
    folder.mkdir()
    train(folder, 3)
    shutil.copytree(folder, copy)
    command = [sys.executable, "-m", "tests.training.killed_run", str(folder), "3", "3", "2", "5"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert newest_checkpoint(folder).name == "mask_rcnn_toys_0002.h5"
    for ours, theirs in zip(train(folder, 4, target=5), train(copy, 4, begin=2, target=5), strict=True):
        np.testing.assert_array_equal(ours, theirs)
