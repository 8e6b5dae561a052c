"""Work distributed to processes."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mrcnn.base.process_pool import Stopped, available_cores, map_tasks, run_tasks
from tests.shared_data import REPOSITORY


def touch(task, tick):
    """Write the id of this process to a file for each name. `task` is (folder, names)."""
    folder, names = task
    for name in names:
        (folder / name).write_text(str(os.getpid()))
        tick()


def fail_or_wait(task, tick):
    """Fail at once, or work for a minute on items of a hundredth of a second each."""
    if task == "fail":
        raise ValueError("the second task fails")
    for _ in range(6000):
        time.sleep(0.01)
        tick()


def clean_up_when_stopped(folder, tick):
    """Create a file, work for a minute, and create another file if the work is stopped."""
    (folder / f"started{os.getpid()}").touch()
    try:
        for _ in range(6000):
            time.sleep(0.01)
            tick()
    except Stopped:
        (folder / f"stopped{os.getpid()}").touch()
        raise


def halve(number):
    """Halve an even number."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2, os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_task_order_up_to_the_first_error(workers):
    results = map_tasks(halve, [8, 2, 6, 3, 4], workers, chunk=1)
    first = [next(results) for _ in range(3)]
    assert [number for number, _ in first] == [4, 1, 3]
    assert (os.getpid() in {process for _, process in first}) == (workers == 1)
    with pytest.raises(ValueError, match="3 is odd"):
        next(results)


def create_file(path):
    """Create an empty file."""
    path.touch()
    return path


def test_unread_results_do_not_accumulate(tmp_path):
    paths = [tmp_path / f"{i:02}" for i in range(30)]
    results = map_tasks(create_file, paths, 2, chunk=1)
    assert next(results) == paths[0]
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 2 * 3 + 1
    assert list(results) == paths[1:]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_and_counted(tmp_path, workers):
    shown = []
    run_tasks(touch, [(tmp_path, ["a", "b"]), (tmp_path, ["c"])], workers, shown.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert shown == sorted(shown) and shown[-1] == 3
    in_this_process = {int(path.read_text()) == os.getpid() for path in tmp_path.iterdir()}
    assert in_this_process == {workers == 1}


def test_an_error_stops_the_other_tasks(tmp_path):
    start = time.perf_counter()
    with pytest.raises(ValueError, match="the second task fails"):
        run_tasks(fail_or_wait, ["wait", "fail"], 2)
    assert time.perf_counter() - start < 40


def test_run_tasks_accepts_no_tasks():
    run_tasks(touch, [], 4)
    assert available_cores() >= 1


def test_script_without_a_main_guard_runs_once(tmp_path):
    """A spawned process imports the parent's script, unless the script is hidden from it."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from mrcnn.base.process_pool import run_tasks
from tests.base.test_process_pool import touch
print("started")
run_tasks(touch, [(Path({str(tmp_path)!r}), ["a"]), (Path({str(tmp_path)!r}), ["b"])], 2)
print("ended", __file__ == {str(script)!r})
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["started", "ended", "True"], done.stderr
    assert (tmp_path / "a").exists() and (tmp_path / "b").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_clean_up_and_exit_when_their_parent_is_killed(tmp_path):
    code = ("import sys; from pathlib import Path; from mrcnn.base.process_pool import run_tasks; "
            "from tests.base.test_process_pool import clean_up_when_stopped; "
            f"run_tasks(clean_up_when_stopped, [Path({str(tmp_path)!r})] * 2, 2)")  # fmt: skip
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    _wait_for(tmp_path, "started*", 2)
    parent.kill()
    parent.wait()
    _wait_for(tmp_path, "stopped*", 2)
    workers = [int(path.name.removeprefix("started")) for path in tmp_path.glob("started*")]
    end = time.monotonic() + 30
    while any(map(_is_running, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(_is_running, workers))


def _wait_for(folder, pattern, count):
    end = time.monotonic() + 60
    while len(list(folder.glob(pattern))) < count:
        assert time.monotonic() < end, f"fewer than {count} files match {pattern}"
        time.sleep(0.02)


def _is_running(pid):
    """Return whether a process is running; a zombie (Z) is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
