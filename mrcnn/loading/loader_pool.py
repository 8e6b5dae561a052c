"""Batches made by processes of their own, for where the threads of one process wait for each other.

Python runs one thread of a process at a time, and half of the work on a sample is Python's. A process shares nothing:
each gets a copy of the loader, and makes the batches of the steps that it is told. A batch comes back through shared
memory, and only its place and shapes through a pipe.

The parent sends (step, slot), or None to stop; a process answers (step, exception), or (step, (name, slot, layout,
broken, empty)): the name of a new segment of shared memory, into which it puts the batches of that slot from now on. The
parent removes the name as soon as it has opened the segment, so that nothing of it is left whatever ends either of them.
"""

import atexit
import contextlib
import functools
import math
import multiprocessing
import threading
import time
from collections import deque
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from mrcnn.base.process_pool import hidden_script
from mrcnn.loading.loader_process import serve

# Batches made ahead by each process.
AHEAD = 2
# seconds that a process has to end by itself before it is made to
_PATIENCE = 3.0


class ProcessDied(RuntimeError):
    """A loader process has ended by itself."""


class WorkerProcesses:
    """A function step -> batch whose batches are made ahead by processes. It may be called from several threads.

    They are started at the first call, without the script that runs, whose own classes and functions are sent by
    value: a script needs no `if __name__ == "__main__"`, and a notebook's classes work. Steps are best asked for one
    after another; another one than the next costs the batches that were made ahead.

    Args:
        loader: Loader. Its `broken` and `empty` hear of what the processes meet.
        make_batch: callable(int step) -> tuple of arrays, made of `loader`, such as `loader.__getitem__`.
        workers: int > 0. Processes. Each holds a copy of the loader and its data set.
        num_steps: int. After the last of so many steps step 0 is expected; None: steps without end.

    Raises:
        ValueError: there is no worker to be.
    """

    def __init__(self, loader, make_batch, workers, num_steps=None):
        if workers < 1:
            raise ValueError(f"workers must be at least 1, and is {workers}")
        self.loader, self.make_batch, self.num_steps = loader, make_batch, num_steps
        self._count = int(workers)
        self._workers, self._closed = [], False
        # what was asked for and not taken yet, (step, worker, slot) in its order, and the step to ask for next
        self._expected, self._next = deque(), 0
        self._lock = threading.Lock()
        self._end = functools.partial(_end_all, self._workers)

    def __call__(self, step):
        """Give the batch of a step.

        Args:
            step: int >= 0.

        Returns:
            tuple of arrays, as of `make_batch`.

        Raises:
            ProcessDied: a process has ended by itself.
            RuntimeError: `close` was called.
            ValueError: the loader cannot be sent to a process.
            Whatever `make_batch` raised in a process, with the traceback there as a note.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the loader processes were closed")
            try:
                if not self._workers:
                    self._start()
                if not self._expected or self._expected[0][0] != step:
                    self._begin_at(step)
                _, worker, slot = self._expected.popleft()
                answer = self._receive(worker)
                batch = answer if isinstance(answer, Exception) else worker.copy(slot, answer)
                self._ask(worker, slot)
            except ProcessDied:
                self._shut()
                raise
            except KeyboardInterrupt:  # it may have come amid a message: nothing more can be asked for
                for worker in self._workers:
                    worker.process.kill()
                self._shut()
                raise
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self):
        """End the processes; what they have made ahead is lost."""
        self._closed = True
        while not self._lock.acquire(timeout=_PATIENCE):
            # another thread waits for a batch that does not come: it hears of the end, and lets go
            for worker in list(self._workers):
                worker.process.kill()
        try:
            self._shut()
        finally:
            self._lock.release()

    def _start(self):
        import cloudpickle

        try:
            payload = cloudpickle.dumps((self.loader, self.make_batch))
        except Exception as error:  # what a data set holds may refuse in any way
            raise ValueError(
                f"the data set or its augmentation cannot be sent to loader processes ({type(error).__name__}: {error}): "
                "leave open files, locks and the like out of them, or take threads (LOADER_PROCESSES = False)"
            ) from error
        context = multiprocessing.get_context("spawn")
        with hidden_script():
            for number in range(self._count):
                self._workers.append(_Worker(context, number))
        # where nobody closes this, before multiprocessing itself ends its processes in whatever they do
        atexit.register(self._end)
        for worker in self._workers:
            worker.send(payload)

    def _begin_at(self, step):
        while self._expected:
            self._receive(self._expected.popleft()[1])
        self._next = step
        for slot in range(AHEAD):
            for worker in self._workers:
                self._ask(worker, slot)

    def _ask(self, worker, slot):
        worker.send((self._next, slot))
        self._expected.append((self._next, worker, slot))
        self._next += 1
        if self._next == self.num_steps:
            self._next = 0

    def _receive(self, worker):
        """Wait for a worker's next answer: the layout of a batch, or an exception."""
        answer = worker.receive()
        if isinstance(answer, Exception):
            return answer
        layout, broken, empty = answer
        self.loader.hear(broken, empty)
        return layout

    def _shut(self):
        self._expected.clear()
        self._end()
        atexit.unregister(self._end)


def _end_all(workers):
    for worker in workers:
        worker.tell_to_stop()
    while workers:
        workers.pop().end()


class _Worker:
    """One process as the parent sees it: its pipe, and the shared memory that it puts batches in."""

    def __init__(self, context, number):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), name=f"mrcnn-loader-{number}", daemon=True)
        self.process.start()
        theirs.close()  # else the end of the process would not be heard
        self.segments = {}

    def send(self, message):
        """Send an object, or one that is bytes of a pickle already."""
        try:
            if isinstance(message, bytes):
                self.connection.send_bytes(message)
            else:
                self.connection.send(message)
        except OSError as error:
            raise self._death() from error

    def receive(self):
        """Wait for an answer: an exception, or (layout, broken, empty)."""
        try:
            _, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        except KeyboardInterrupt:  # a message may have been read by half: the rest of it says nothing
            self.connection.close()
            raise
        if isinstance(answer, Exception):
            return answer
        name, slot, *rest = answer
        if name is not None:
            if slot in self.segments:
                self.segments[slot].close()
            self.segments[slot] = segment = SharedMemory(name)
            segment.unlink()  # its memory lives on until both sides have closed it
        return rest

    def copy(self, slot, layout):
        """Copy the arrays of a batch out of its slot, which may then be used again."""
        size = max(offset + math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype, offset in layout)
        # in one piece: large memory comes in large pages, and many small ones take longer than the copy
        whole = np.empty(size, np.uint8)
        whole[:] = np.frombuffer(self.segments[slot].buf, np.uint8, size)
        return tuple(np.ndarray(shape, dtype, whole, offset) for shape, dtype, offset in layout)

    def tell_to_stop(self):
        """Ask the process to end after what it is doing."""
        with contextlib.suppress(OSError):
            self.connection.send(None)

    def end(self):
        """Wait for the end of the process, make it end if need be, and let go of its memory."""
        until = time.monotonic() + _PATIENCE
        with contextlib.suppress(ProcessDied, OSError):  # the pipe may be closed
            # an answer that is under way may tell of a new segment
            while self.connection.poll(max(until - time.monotonic(), 0)):
                self.receive()
        self.connection.close()
        self.process.join(max(until - time.monotonic(), 0))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        for segment in self.segments.values():
            segment.close()
        self.segments.clear()

    def _death(self):
        self.process.join(_PATIENCE)
        code = self.process.exitcode
        return ProcessDied(
            f"{self.process.name} ended by itself, with exit code {code}"
            + (": it was killed, likely for want of memory" if code == -9 else "")
            + ". Each process holds a copy of the data set; LOADER_PROCESSES = False takes threads, which share one"
        )
