"""A process pool with progress and clean cancellation.

Processes are spawned, because forking a process with threads, such as one that has loaded TensorFlow, can deadlock. They
import this package, but not the running script.

This builds on concurrent.futures. loky would only replace `hidden_script`: joblib's generator does not wait for its results to
be consumed, and neither library counts items, cancels a task between two items, or exits when the parent is killed.
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
    """Cancels a task, because another task failed or the work was interrupted."""


def available_cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    work: Callable[[Task, Callable[[], None]], object],
    tasks: Sequence[Task],
    workers: int,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Run a function on each task, in several processes.

    Args:
        work: function (task, tick) at the top level of a module. It calls `tick()` after each item of the task, such as an
            image. In a worker process, `tick` raises `Stopped` to cancel the task.
        tasks: must be picklable.
        workers: number of processes. With 1, or with a single task, the work runs in this process.
        progress: called with the number of items done.

    Raises:
        The first exception that `work` raises. The other tasks are cancelled at their next item.
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
    """Call a function on each task, in several processes, and yield the results in the order of the tasks.

    Args:
        function: function (task) at the top level of a module, or a functools.partial of one.
        tasks: must be picklable.
        workers: number of processes. With 1, or with a single task, the work runs in this process.
        chunk: number of tasks sent at a time.

    Raises:
        The exception that `function` raises, when its result would be yielded.
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
                # only a few chunks ahead, because results that the caller has not consumed yet could fill the memory
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
    """Keep processes started in the block from importing the running script, and with it, for example, TensorFlow.

    Tasks do not need the script, because their functions are defined in modules. A script without an
    `if __name__ == "__main__"` guard would even start its work again in each process.
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


# State of a worker process: the arguments of `_start_worker` by name.
_SHARED: dict[str, Any] = {}
_BUSY = threading.Lock()


def _start_worker(work: Callable, done: Any, stop: Any) -> None:
    """Initialise a worker process. Interrupts are ignored here: the parent handles them, and stops the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)  # the processes already use all cores
    _SHARED.update(work=work, done=done, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Cancel the work and exit when the parent is killed, because a killed parent cannot stop its workers."""
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
