"""Work shared among processes, with its progress, and an end that leaves nothing half done.

Processes are started afresh ("spawn"): a copy of a running process with threads, such as one that has loaded TensorFlow, may
hang. They import this package and not the script that asked for the work.

Built on concurrent.futures. loky would replace `hidden_script` only: joblib's generator does not wait until its results are
taken, and neither of them counts items, stops a task between two items, or ends with a parent that was killed.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Chunks per process that `map_tasks` sends before it waits for results.
_AHEAD = 3
# How often the progress is polled, in seconds.
_INTERVAL = 0.2


class Stopped(Exception):
    """Another task has failed or was interrupted, and this one must be abandoned."""


def available_cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    work: Callable[[Task, Callable[[], None]], object],
    tasks: Sequence[Task],
    workers: int,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Run a function on each task, in several processes.

    Args:
        work: Function (task, tick) at the top level of a module. It calls `tick()` after each item of the task, such as an
            image. In other processes `tick` raises `Stopped` if the task must be abandoned.
        tasks: Sent to the processes.
        workers: Number of processes. With 1, or with one task, this process does the work.
        progress: Called with the number of items done.

    Raises:
        The first error that `work` raises. The other tasks are abandoned at their next item.
    """
    progress = progress or (lambda done: None)
    if workers <= 1 or len(tasks) <= 1:
        _run_here(work, tasks, progress)
        return
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _start_worker, (work, done, stop)) as pool:
        with hidden_script():
            waiting = {pool.submit(_run_task, task) for task in tasks}
        shown = 0
        try:
            while waiting:
                finished, waiting = wait(waiting, _INTERVAL, FIRST_EXCEPTION)
                if done.value != shown:
                    shown = done.value
                    progress(shown)
                for future in finished:
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def map_tasks(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, chunk: int = 16) -> Iterator[Result]:
    """Call a function on each task, in several processes, and yield its results in the order of the tasks.

    Args:
        function: Function (task) at the top level of a module, or a functools.partial of one.
        tasks: Sent to the processes.
        workers: Number of processes. With 1, or with one task, this process does the work.
        chunk: Tasks sent at a time.

    Raises:
        The error that `function` raises, at the place of its result.
    """
    if workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    shared = (function, context.Value("q", 0), context.Event())
    starts, waiting = range(0, len(tasks), chunk), deque[Future]()
    with ProcessPoolExecutor(min(workers, len(starts)), context, _start_worker, shared) as pool:
        try:
            for start in starts:
                # a few chunks ahead and no more: results that the caller has not taken yet would fill the memory
                if len(waiting) >= _AHEAD * workers:
                    yield from waiting.popleft().result()
                with hidden_script():
                    waiting.append(pool.submit(_call_on_chunk, tasks[start : start + chunk]))
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextlib.contextmanager
def hidden_script() -> Iterator[None]:
    """Hide the script that runs from processes that start in the block: each would import it again, with TensorFlow if it does.

    Tasks do not need it, because their functions are those of modules. A script without `if __name__ == "__main__"` would even
    start its work again in each process.
    """
    names: dict[str, Any] = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: names[name] for name in ("__file__", "__spec__") if name in names}
    try:
        names.pop("__file__", None)
        names["__spec__"] = None
        yield
    finally:
        names.update(hidden)


def _run_here(work: Callable[[Any, Callable[[], None]], object], tasks: Sequence, progress: Callable[[int], object]) -> None:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done)

    for task in tasks:
        work(task, tick)


# In a worker process: "work", "done" and "stop", as of `_start_worker`.
_SHARED: dict[str, Any] = {}
_BUSY = threading.Lock()


def _start_worker(work: Callable, done: Any, stop: Any) -> None:
    """Prepare a worker process. It ignores interrupts: the parent handles them, and stops the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    _SHARED.update(work=work, done=done, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Abandon the work and exit once the parent was killed, which then cannot stop this process itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in a worker
    parent.join()
    _SHARED["stop"].set()
    with _BUSY:
        os._exit(1)


def _run_task(task: Any) -> None:
    def tick() -> None:
        with _SHARED["done"].get_lock():
            _SHARED["done"].value += 1
        if _SHARED["stop"].is_set():
            raise Stopped

    with _BUSY:
        _SHARED["work"](task, tick)


def _call_on_chunk(tasks: Sequence) -> list:
    with _BUSY:
        return [_SHARED["work"](task) for task in tasks]
