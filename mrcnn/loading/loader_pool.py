"""Batches made by processes, which do not block each other as the threads of one process do.

Python runs one thread of a process at a time, and half of the work on a sample is Python code. Processes share nothing:
each worker gets a copy of the loader and makes the batches of the steps that it is sent. The arrays of a batch are returned
in shared memory, and only their layout is sent through a pipe.

The protocol: the parent sends a pickle of (loader, make_batch), then (step, slot) for each batch, and None to stop. The
worker sends an `Answer` to each step. A slot is a segment of shared memory that holds one batch at a time; a worker that
needs a larger segment creates one and sends its name. The parent unlinks the name as soon as it has opened the segment, so
that nothing is left behind, whichever process ends first.

`WorkerProcesses` and `_Worker` run in the parent; `serve`, `_Messages`, `_BatchWriter` and `_Slot` in the workers.

The pools of joblib and of the standard library pickle every batch through a pipe. Grain was tried as well; see
`benchmarks/README.md`.
"""

import atexit
import contextlib
import copy
import functools
import logging
import math
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple, Protocol, TextIO, TypeAlias, runtime_checkable

import numpy as np

from mrcnn.base.memory import keep_freed_memory
from mrcnn.base.process_pool import hidden_script
from mrcnn.loading.loader import Findings, Take

# Number of batches that each worker makes in advance.
AHEAD = 2
# Maximum number of worker messages remembered to avoid repeating them. Beyond it, the oldest may be repeated.
MAX_REMEMBERED = 1000
# Seconds in which a worker must exit before it is killed.
_PATIENCE = 3.0
# The folder of shared memory on Linux. A process that writes more than fits is killed without a message.
_SHARED_FOLDER = "/dev/shm"
# Alignment in bytes of the arrays in a segment, the same as NumPy's.
_ALIGNMENT = 64

Batch: TypeAlias = tuple[np.ndarray, ...]


@runtime_checkable
class BatchSource(Protocol):
    """The part of a `mrcnn.loading.loader.Loader` that the processes need; see there."""

    take: Take

    def findings(self) -> Findings:
        """Return what the loader has skipped so far."""

    def merge(self, findings: Findings) -> None:
        """Add the findings of a copy of the loader in another process."""


class ProcessDied(RuntimeError):
    """A loader process died unexpectedly."""


class ArrayPlace(NamedTuple):
    """The place of an array in a segment."""

    shape: tuple[int, ...]
    dtype: str
    offset: int


class StoredBatch(NamedTuple):
    """A batch in shared memory.

    Attributes:
        segment: name of the segment that the slot uses from now on; None if it has not changed.
        slot: number of the slot.
        layout: the place of each array.
    """

    segment: str | None
    slot: int
    layout: list[ArrayPlace]


class LogMessage(NamedTuple):
    """A log record of a worker."""

    logger: str
    level: int
    path: str
    line: int
    text: str

    def repeat(self) -> None:
        """Log the record in this process."""
        logger = logging.getLogger(self.logger)
        if logger.isEnabledFor(self.level):
            logger.handle(logger.makeRecord(self.logger, self.level, self.path, self.line, self.text, (), None))


class WarningMessage(NamedTuple):
    """A Python warning of a worker."""

    category: type[Warning]
    path: str
    line: int
    text: str

    def repeat(self) -> None:
        """Issue the warning in this process, whose filters apply."""
        warnings.warn_explicit(self.text, self.category, self.path, self.line)


class Answer(NamedTuple):
    """The answer of a worker to a step."""

    batch: StoredBatch | Exception
    findings: Findings
    messages: list[LogMessage | WarningMessage]


class WorkerProcesses:
    """A function step -> batch, whose batches processes make in advance. Several threads may call it.

    The processes start at the first call. They do not import the running script: its classes and functions are sent by
    value, so a script needs no `if __name__ == "__main__"`, and classes defined in a notebook work. Steps should be requested
    in order; any other step discards the batches made in advance.

    Warnings and log records of the processes, of level WARNING and above, are repeated here, each of the last
    MAX_REMEMBERED once.

    Args:
        loader: the loader, which receives the findings of its copies in the processes.
        make_batch: a function of `loader`, such as `loader.__getitem__`.
        workers: number of processes. Each holds a copy of the loader and its data set.
        num_steps: number of steps after which step 0 is expected again; None if the steps are endless.

    Raises:
        ValueError: `workers` is below 1.
    """

    def __init__(
        self, loader: BatchSource, make_batch: Callable[[int], Batch], workers: int, num_steps: int | None = None
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, but is {workers}")
        self.loader, self.make_batch, self.num_steps = loader, make_batch, num_steps
        self._count = int(workers)
        self._workers: list[_Worker] = []
        self._closed = False
        # The requested steps whose batches have not been returned yet, in order, and the next step to request.
        self._expected: deque[tuple[int, _Worker, int]] = deque()
        self._next = 0
        self._messages: list[LogMessage | WarningMessage] = []
        self._repeated: dict[LogMessage | WarningMessage, None] = {}  # in order of arrival
        self._lock = threading.Lock()
        self._end = functools.partial(_end_all, self._workers)

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step.

        Raises:
            ProcessDied: a process died unexpectedly.
            RuntimeError: `close` was called.
            ValueError: the loader cannot be sent to a process.
            Exception: an error that `make_batch` raised in a process, with its traceback as a note.
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
                stored = self._receive(worker)
                batch = stored if isinstance(stored, Exception) else worker.copy(stored)
                self._ask(worker, slot)
            except Exception:  # The batch and its slot are lost; the next call starts new processes.
                self._shut()
                raise
            except BaseException:  # Such as KeyboardInterrupt: a message may have been read in part.
                for worker in self._workers:
                    worker.process.kill()
                self._shut()
                raise
            self._repeat_messages()  # last: a filter may turn a warning into an exception
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        """End the processes, discarding the batches made in advance."""
        self._closed = True
        while not self._lock.acquire(timeout=_PATIENCE):
            # Another thread may be waiting for a slow batch: without the workers it stops waiting and releases the lock.
            for worker in list(self._workers):
                worker.process.kill()
        try:
            self._shut()
        finally:
            self._lock.release()

    def _start(self) -> None:
        import cloudpickle

        try:
            payload = cloudpickle.dumps((self.loader, self.make_batch))
        except Exception as error:  # a user's data set may raise anything
            raise ValueError(
                f"the data set or its augmentation cannot be sent to loader processes ({type(error).__name__}: {error}): "
                "keep open files, locks and the like out of them, or set LOADER_PROCESSES=False to use threads"
            ) from error
        context = multiprocessing.get_context("spawn")
        with hidden_script():
            for number in range(self._count):
                self._workers.append(_Worker(context, number))
        # In case `close` is never called: this runs before multiprocessing terminates its processes.
        atexit.register(self._end)
        for worker in self._workers:
            worker.send(payload)

    def _begin_at(self, step: int) -> None:
        while self._expected:
            self._receive(self._expected.popleft()[1])
        self._next = step
        for slot in range(AHEAD):
            for worker in self._workers:
                self._ask(worker, slot)

    def _ask(self, worker: "_Worker", slot: int) -> None:
        worker.send((self._next, slot))
        self._expected.append((self._next, worker, slot))
        self._next += 1
        if self._next == self.num_steps:
            self._next = 0

    def _receive(self, worker: "_Worker") -> StoredBatch | Exception:
        """Wait for the next answer of a worker, and merge its findings."""
        batch, findings, messages = worker.receive()
        self.loader.merge(findings)
        self._messages += messages
        return batch

    def _repeat_messages(self) -> None:
        """Repeat the messages of the workers that have not been repeated yet."""
        messages, self._messages = dict.fromkeys(self._messages), []
        for message in messages:
            if message not in self._repeated:
                self._repeated[message] = None
                if len(self._repeated) > MAX_REMEMBERED:
                    del self._repeated[next(iter(self._repeated))]
                message.repeat()

    def _shut(self) -> None:
        self._expected.clear()
        self._end()
        atexit.unregister(self._end)


def _end_all(workers: list["_Worker"]) -> None:
    for worker in workers:
        worker.ask_to_stop()
    while workers:
        workers.pop().end()


class _Worker:
    """The parent's view of a process: its pipe, and the segments that hold its batches."""

    def __init__(self, context: SpawnContext, number: int) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), name=f"mrcnn-loader-{number}", daemon=True)
        self.process.start()
        theirs.close()  # otherwise the pipe would stay open after the process has ended
        self.segments: dict[int, SharedMemory] = {}

    def send(self, message: object) -> None:
        """Send an object, or bytes that are already a pickle."""
        try:
            if isinstance(message, bytes):
                self.connection.send_bytes(message)
            else:
                self.connection.send(message)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> Answer:
        """Wait for an answer, and open the segment that it names."""
        try:
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        except KeyboardInterrupt:  # A message may have been read in part, and the rest of it is of no use.
            self.connection.close()
            raise
        stored = answer.batch
        if isinstance(stored, StoredBatch) and stored.segment is not None:
            if stored.slot in self.segments:
                self.segments[stored.slot].close()
            self.segments[stored.slot] = segment = SharedMemory(stored.segment)
            segment.unlink()  # The memory itself remains until both sides have closed it.
        return answer

    def copy(self, stored: StoredBatch) -> Batch:
        """Copy the arrays of a batch out of its slot, which may be reused afterwards."""
        size = max(place.offset + _num_bytes(place.shape, place.dtype) for place in stored.layout)
        # In one piece: a large block is allocated in large pages; many small allocations take longer than the copy.
        block = np.empty(size, np.uint8)
        block[:] = np.ndarray(size, np.uint8, self.segments[stored.slot].buf)
        return tuple(np.ndarray(place.shape, place.dtype, block, place.offset) for place in stored.layout)

    def ask_to_stop(self) -> None:
        """Ask the process to end after the batch that it is making."""
        with contextlib.suppress(OSError):
            self.connection.send(None)

    def end(self) -> None:
        """Wait for the process to end, kill it if it does not, and free its memory."""
        deadline = time.monotonic() + _PATIENCE
        with contextlib.suppress(ProcessDied, OSError):  # the pipe may be closed
            # A pending answer may name a new segment.
            while self.connection.poll(max(deadline - time.monotonic(), 0)):
                self.receive()
        self.connection.close()
        self.process.join(max(deadline - time.monotonic(), 0))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        for segment in self.segments.values():
            segment.close()
        self.segments.clear()

    def _death(self) -> ProcessDied:
        self.process.join(_PATIENCE)
        code = self.process.exitcode
        return ProcessDied(
            f"{self.process.name} died with exit code {code}"
            + (": it was killed, probably because memory ran out" if code == -9 else "")
            + ". Each process holds a copy of the data set; LOADER_PROCESSES = False uses threads, which share one"
        )


def serve(connection: Connection) -> None:
    """Run a worker: make batches until the parent sends None or exits."""
    messages = _Messages()
    _set_up()
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        try:
            writer = _BatchWriter(*connection.recv())
        except EOFError:
            return
        except Exception as error:
            failed = Answer(_portable(error), Findings(), messages.drain())
            for _ in _tasks(connection):
                connection.send(failed)
            return
        try:
            for step, slot in _tasks(connection):
                answer = writer.answer(step, slot)
                connection.send(answer._replace(messages=messages.drain()))
                if isinstance(answer.batch, StoredBatch):
                    writer.mark_sent(slot)
        finally:
            writer.unlink_unsent()


def _tasks(connection: Connection) -> Iterator[tuple[int, int]]:
    """Yield each (step, slot) that the parent sends, until it sends None."""
    tasks: deque[tuple[int, int]] = deque()
    while True:
        # Read everything that has arrived first, so that a request to stop does not wait for batches that nobody needs.
        while not tasks or connection.poll():
            task = connection.recv()
            if task is None:
                return
            tasks.append(task)
        yield tasks.popleft()


def _set_up() -> None:
    """Set this process up: one thread, no accelerators, freed memory kept."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles an interruption
    # In case the module of the data set imports a framework, which must not allocate memory on the training devices.
    os.environ.update(CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    # The parent reports the skipped images, once for all processes.
    logging.getLogger("mrcnn.loading.loader").setLevel(logging.ERROR)
    import cv2

    cv2.setNumThreads(1)


def _portable(error: Exception) -> Exception:
    """Return an exception that can be pickled, with its traceback as a note."""
    error.add_note("".join(["In a loader process:\n", *traceback.format_exception(error)]))
    try:
        pickle.dumps(error)
        copy.copy(error)  # reconstructs it as the parent will
        return error
    except Exception:  # a user's exception may fail in any way
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain


class _Messages(logging.Handler):
    """Collects the warnings and log records of this process, which the parent repeats."""

    def __init__(self) -> None:
        super().__init__()
        self._collected: list[LogMessage | WarningMessage] = []
        logging.getLogger().addHandler(self)
        warnings.showwarning = self._collect_warning

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a record. Called by the logging module."""
        text = self.format(record)
        self._collected.append(LogMessage(record.name, record.levelno, record.pathname, record.lineno, text))

    def drain(self) -> list[LogMessage | WarningMessage]:
        """Return the messages since the last call."""
        collected, self._collected = self._collected, []
        return collected

    def _collect_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        portable = next(base for base in category.__mro__ if _can_be_pickled(base))
        self._collected.append(WarningMessage(portable, filename, lineno, str(message)))


def _can_be_pickled(category: type) -> bool:
    """Return whether the parent can import a class by name. It cannot if the class was sent to this process by value."""
    try:
        pickle.dumps(category)  # fails unless the class can be found by its module and name
    except (pickle.PicklingError, AttributeError, ImportError):
        return False
    return category.__module__ != "__main__"


class _BatchWriter:
    """Makes batches in segments of shared memory, one for each slot."""

    def __init__(self, loader: BatchSource, make_batch: Callable[[int], Batch]) -> None:
        self.loader, self.make_batch = loader, make_batch
        self.slots: dict[int, _Slot] = {}
        # by slot: segments whose name has not been sent to the parent yet
        self.unsent: dict[int, SharedMemory] = {}
        self._reported = loader.findings()

    def answer(self, step: int, slot: int) -> Answer:
        """Make the batch of a step in a slot. The messages of the answer are empty."""
        try:
            batch: StoredBatch | Exception = self.write(step, slot)
        except Exception as error:
            batch = _portable(error)
        findings = self.loader.findings()
        new, self._reported = findings.since(self._reported), findings
        return Answer(batch, new, [])

    def write(self, step: int, slot: int) -> StoredBatch:
        """Make the batch of a step in the segment of a slot, or in a new one that is large enough."""
        current = self.slots.get(slot, _Slot(None))
        current.clear()
        self.loader.take = current.take
        arrays = [np.asarray(array) for array in self.make_batch(step)]
        size = current.size_with(arrays)
        previous = current.segment
        if previous is None or size > previous.size:
            segment = _new_segment(size)
            if slot in self.unsent:  # the parent will never open it
                self.unsent.pop(slot).unlink()
            self.unsent[slot] = segment
            current = self.slots[slot] = _Slot(segment)
        layout = [current.put(array) for array in arrays]
        if previous is not None and previous is not current.segment:
            del arrays, self.loader.take  # some of the arrays are in the old segment, and `take` refers to its slot
            with contextlib.suppress(BufferError):  # something else still refers to its memory
                previous.close()
        return StoredBatch(self.unsent[slot].name if slot in self.unsent else None, slot, layout)

    def mark_sent(self, slot: int) -> None:
        """Record that the parent knows the segment of a slot, and will unlink its name."""
        self.unsent.pop(slot, None)

    def unlink_unsent(self) -> None:
        """Unlink the segments that the parent does not know; it unlinks the others."""
        while self.unsent:
            self.unsent.popitem()[1].unlink()


class _Slot:
    """A segment of shared memory that holds arrays one after another."""

    def __init__(self, segment: SharedMemory | None) -> None:
        self.segment = segment
        self.end = 0
        self.taken: list[tuple[np.ndarray, int]] = []

    def clear(self) -> None:
        """Forget the last batch, so that its memory is reused."""
        self.end, self.taken = 0, []

    def take(self, shape: Iterable[int], dtype: Any) -> np.ndarray:
        """Return memory for an array, in the segment if it has room."""
        shape = tuple(shape)
        size = _num_bytes(shape, dtype)
        if self.segment is None or self.end + size > self.segment.size:
            return np.empty(shape, dtype)
        array: np.ndarray = np.ndarray(shape, dtype, self.segment.buf, self.end)
        self.taken.append((array, self.end))
        self.end += _aligned(size)
        return array

    def put(self, array: np.ndarray) -> ArrayPlace:
        """Copy an array into the segment, which must have room, unless it is already there."""
        offset = self._offset(array)
        if offset is None:
            offset = self.end
            self.take(array.shape, array.dtype)[...] = array
        return ArrayPlace(array.shape, array.dtype.str, offset)

    def size_with(self, arrays: Iterable[np.ndarray]) -> int:
        """Return the number of bytes that the segment needs to hold these arrays too."""
        return max(self.end + sum(_aligned(a.nbytes) for a in arrays if self._offset(a) is None), 1)

    def _offset(self, array: np.ndarray) -> int | None:
        """Return the offset of an array that was allocated in the segment; None for any other array."""
        for taken, offset in self.taken:
            same_place = array.__array_interface__["data"][0] == taken.__array_interface__["data"][0]
            if same_place and array.nbytes == taken.nbytes and array.flags.c_contiguous:
                return offset
        return None


def _num_bytes(shape: Iterable[int], dtype: Any) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _new_segment(size: int) -> SharedMemory:
    free = shutil.disk_usage(_SHARED_FOLDER).free if os.path.isdir(_SHARED_FOLDER) else size
    if size > free:
        raise MemoryError(
            f"a batch needs {size / 2**20:.0f} MiB of shared memory, but {_SHARED_FOLDER} has {free / 2**20:.0f} MiB "
            "free: give it more (docker run --shm-size 2g), or set LOADER_PROCESSES=False to use threads"
        )
    return SharedMemory(create=True, size=size)
