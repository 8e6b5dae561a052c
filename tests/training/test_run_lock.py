"""Each run has its own folder, and only one process trains in it."""
import os
import signal
import subprocess
import sys

import pytest

from mrcnn.training.run_lock import LOCK_NAME, RunInUseError, held_run

HOLD = """
import sys
from mrcnn.training.run_lock import held_run
with held_run(sys.argv[1], sys.argv[2] == "new") as folder:
    open(folder + "/config.json", "w").close()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start():
    """Starts processes that hold a run folder until their standard input is closed."""
    processes = []

    def hold(folder, kind):
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), kind], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_runs_started_at_the_same_time_have_separate_folders(tmp_path, start):
    folder = tmp_path / "toys20260101T1200"
    processes = [start(folder, "new") for _ in range(4)]
    folders = sorted(process.stdout.readline().strip() for process in processes)
    assert folders == [str(folder), *(f"{folder}-{number}" for number in (2, 3, 4))]


def test_run_in_training_is_not_resumed_until_its_process_ends(tmp_path, start):
    folder = tmp_path / "toys20260101T1200"
    process = start(folder, "new")
    assert process.stdout.readline().strip() == str(folder)
    with pytest.raises(RunInUseError, match=rf"toys20260101T1200 is being trained.*process {process.pid} on"):
        with held_run(str(folder), is_new=False):
            pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / LOCK_NAME).exists()
    with held_run(str(folder), is_new=False) as held:
        assert held == str(folder) and (folder / LOCK_NAME).read_text().startswith(f"process {os.getpid()} on ")
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_finished_run_of_the_same_minute_keeps_its_folder(tmp_path):
    folder = tmp_path / "toys20260101T1200"
    with held_run(str(folder), is_new=True):
        (folder / "mask_rcnn_toys_0001.h5").touch()
    with held_run(str(folder), is_new=True) as held:
        assert held == f"{folder}-2"
        (folder.parent / held / "history.csv").touch()
    assert [path.name for path in folder.iterdir()] == ["mask_rcnn_toys_0001.h5"]


def test_folder_with_other_files_and_without_a_run_is_used(tmp_path):
    (tmp_path / "notes.txt").touch()
    with held_run(str(tmp_path), is_new=True) as held:
        assert held == str(tmp_path)


def test_run_that_fails_before_writing_a_file_leaves_no_folder(tmp_path):
    folder = tmp_path / "toys20260101T1200"
    with pytest.raises(KeyboardInterrupt), held_run(str(folder), is_new=True):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
