"""Work shared out among processes."""
import os
import subprocess
import sys
import time

import pytest

from mrcnn.data.parallel import available_cores, run_tasks
from tests.shared_data import REPOSITORY


def touch(task, tick):
    """Leave a file a task, named by it, that holds the number of the process. Args: task: (folder, names)."""
    folder, names = task
    for name in names:
        (folder / name).write_text(str(os.getpid()))
        tick()


def fail_or_wait(task, tick):
    """Fail at once, or do a minute of items, each of a hundredth of a second."""
    if task == "fail":
        raise ValueError("the second task is at fault")
    for _ in range(6000):
        time.sleep(0.01)
        tick()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_and_counted(tmp_path, workers):
    told = []
    run_tasks(touch, [(tmp_path, ["a", "b"]), (tmp_path, ["c"])], workers, told.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert told == sorted(told) and told[-1] == 3
    here = {int(path.read_text()) == os.getpid() for path in tmp_path.iterdir()}
    assert here == {workers == 1}


def test_a_fault_stops_the_others(tmp_path):
    start = time.perf_counter()
    with pytest.raises(ValueError, match="the second task is at fault"):
        run_tasks(fail_or_wait, ["wait", "fail"], 2)
    assert time.perf_counter() - start < 40


def test_no_tasks():
    run_tasks(touch, [], 4)
    assert available_cores() >= 1


def test_a_script_without_a_guard_runs_once(tmp_path):
    """Processes that are started afresh import the script they come from, unless that is prevented."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from mrcnn.data.parallel import run_tasks
from tests.data.test_parallel import touch
print("started")
run_tasks(touch, [(Path({str(tmp_path)!r}), ["a"]), (Path({str(tmp_path)!r}), ["b"])], 2)
print("ended", __file__ == {str(script)!r})
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["started", "ended", "True"], done.stderr
    assert (tmp_path / "a").exists() and (tmp_path / "b").exists()
