"""Work shared out among processes, with progress, and with an end that leaves nothing half done.

Processes are started afresh ("spawn"): a copy of a running process with threads in it, such as one that has loaded
TensorFlow, may hang. They load this package alone, and not the script that asked for the work.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait

# chunks a process that `map_tasks` sends before it takes results
_AHEAD = 3
# how often the progress is looked at, in seconds
_INTERVAL = 0.2


class Stopped(Exception):
    """Another part of the work has failed or was interrupted: what is being done is to be given up."""


def available_cores():
    """Count the processor cores that this process may use: int."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(work, tasks, workers, progress=None):
    """Run a function on each task, in processes of their own.

    Args:
        work: function (task, tick) at the top of a module. It calls `tick()` after each item, such as an image; in
            other processes `tick` raises `Stopped` once the work is to be given up.
        tasks: list of arguments; they are sent to the processes.
        workers: int. Processes; at 1, or with one task, the work is done in this one.
        progress: callable (items done), or None.

    Raises:
        What `work` raises first. The others are given up at their next item.
    """
    progress = progress or (lambda done: None)
    if workers <= 1 or len(tasks) <= 1:
        _run_here(work, tasks, progress)
        return
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    shared = (work, done, stop)
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _start, shared) as pool:
        with script_left_out():
            waiting = {pool.submit(_run_there, task) for task in tasks}
        told = 0
        try:
            while waiting:
                finished, waiting = wait(waiting, _INTERVAL, FIRST_EXCEPTION)
                if done.value != told:
                    told = done.value
                    progress(told)
                for future in finished:
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def map_tasks(function, tasks, workers, chunk=16):
    """Call a function on each task, in processes of their own, and give what it returns.

    Args:
        function: function (task) at the top of a module, or a functools.partial of one.
        tasks: list of arguments; they are sent to the processes.
        workers: int. Processes; at 1, or with one task, this one does it.
        chunk: int. Tasks sent at a time.

    Yields:
        The results, in the order of the tasks. What the function raises is raised here.
    """
    if workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    shared = (function, context.Value("q", 0), context.Event())
    starts, waiting = range(0, len(tasks), chunk), deque()
    with ProcessPoolExecutor(min(workers, len(starts)), context, _start, shared) as pool:
        try:
            for start in starts:
                # a few chunks ahead and no more: results that nobody has taken yet fill the memory
                if len(waiting) >= _AHEAD * workers:
                    yield from waiting.popleft().result()
                with script_left_out():
                    waiting.append(pool.submit(_call_there, tasks[start : start + chunk]))
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _call_there(tasks):
    with _BUSY:
        return [_SHARED["work"](task) for task in tasks]


@contextlib.contextmanager
def script_left_out():
    """Start processes without the script that runs: each would import it anew, with TensorFlow where it does so.

    That would be needed for functions of the script, which tasks are none of. A script without
    `if __name__ == "__main__"` would even start its work over in each process.
    """
    script = sys.modules["__main__"]
    kept = {name: vars(script)[name] for name in ("__file__", "__spec__") if name in vars(script)}
    try:
        vars(script).pop("__file__", None)
        script.__spec__ = None
        yield
    finally:
        vars(script).update(kept)


def _run_here(work, tasks, progress):
    done = 0

    def tick():
        nonlocal done
        done += 1
        progress(done)

    for task in tasks:
        work(task, tick)


_SHARED = {}
_BUSY = threading.Lock()


def _start(work, done, stop):
    """Begin a worker process. An interruption is the parent's to hear, which stops the workers in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores out already
    _SHARED.update(work=work, done=done, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """Give the work up, and end, when the parent has been killed: nobody would ever tell this process to."""
    multiprocessing.parent_process().join()
    _SHARED["stop"].set()
    with _BUSY:
        os._exit(1)


def _run_there(task):
    def tick():
        with _SHARED["done"].get_lock():
            _SHARED["done"].value += 1
        if _SHARED["stop"].is_set():
            raise Stopped

    with _BUSY:
        _SHARED["work"](task, tick)
