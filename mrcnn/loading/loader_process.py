"""The work of a loader process: batches made on request, and put into memory that the parent reads too.

`mrcnn.loading.loader_pool` is the parent's side, and says how the two talk.
"""

import contextlib
import copy
import logging
import math
import os
import pickle
import shutil
import signal
import traceback
from collections import deque
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from mrcnn.base.memory import keep_freed_memory

# where Linux keeps shared memory; writing more than fits in there kills a process without a word
_SHARED_FOLDER = "/dev/shm"
# arrays begin at multiples of this in a segment, as NumPy's own do
_ALIGNMENT = 64


def serve(connection):
    """Make batches until the parent says stop, or is gone.

    Args:
        connection: multiprocessing Connection to the parent.
    """
    _settle()
    try:
        loader, make_batch = connection.recv()
        work = _Work(loader, make_batch)
    except EOFError:
        return
    except Exception as error:
        failure = _portable(error)  # once: each time adds a note

        def work(step, slot):
            return failure

    tasks = deque()
    try:
        while True:
            # what has come in is read first: a stop is not to wait behind batches that nobody will take
            while not tasks or connection.poll():
                tasks.append(connection.recv())
                if tasks[-1] is None:
                    return
            step, slot = tasks.popleft()
            try:
                answer = work(step, slot)
            except Exception as error:
                answer = _portable(error)
            connection.send((step, answer))
            if not isinstance(answer, Exception):
                work.told(slot)
    except (EOFError, OSError):  # the parent is gone
        return
    finally:
        if isinstance(work, _Work):
            work.take_back()


def _settle():
    """Make a process of one thread that leaves accelerators alone and keeps the memory that it has."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to hear
    # should the data set's module import a framework, it is to take no memory of the devices that train
    os.environ.update(CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    # what this process leaves out is told by the parent, once for all processes
    logging.getLogger("mrcnn.loading.loader").setLevel(logging.ERROR)
    import cv2

    cv2.setNumThreads(1)


def _portable(error):
    """Return an exception that can be sent, with the traceback in its notes."""
    error.add_note("".join(["In a loader process:\n", *traceback.format_exception(error)]))
    try:
        pickle.dumps(error)
        copy.copy(error)  # is made anew as the parent will
        return error
    except Exception:  # exceptions of a user's own may refuse in any way
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain


class _Work:
    """Batches put into segments of shared memory, a ring of them."""

    def __init__(self, loader, make_batch):
        self.loader, self.make_batch = loader, make_batch
        # by slot: memory, and new segments of which the parent was not told yet
        self.slots, self.untold = {}, {}

    def __call__(self, step, slot):
        """Make the batch of a step. Returns: (name of a new segment or None, slot, layout, broken, empty)."""
        known = set(self.loader.broken), set(self.loader.empty)
        here = self.slots.get(slot, _Slot(None))
        here.clear()
        self.loader.take = here.take
        # made where they are to be, as far as the loader asks for memory
        arrays = [np.asarray(array) for array in self.make_batch(step)]
        size = here.size_with(arrays)
        before = here.segment
        if before is None or size > before.size:
            segment = _new_segment(size)
            if slot in self.untold:  # the parent will not hear of it
                self.untold.pop(slot).unlink()
            self.untold[slot] = segment
            here = self.slots[slot] = _Slot(segment)
        layout = [here.put(array) for array in arrays]
        if before is not None and before is not here.segment:
            del arrays, self.loader.take  # what lies there, in part, and its slot
            with contextlib.suppress(BufferError):  # something else holds its memory, and the batch is in the new one
                before.close()
        broken = {i: reason for i, reason in self.loader.broken.items() if i not in known[0]}
        name = self.untold[slot].name if slot in self.untold else None
        return name, slot, layout, broken, self.loader.empty - known[1]

    def told(self, slot):
        """Note that an answer was sent: the parent knows the segment of its slot, and removes it."""
        self.untold.pop(slot, None)

    def take_back(self):
        """Remove the segments that the parent was not told of: it removes the others."""
        while self.untold:
            self.untold.popitem()[1].unlink()


class _Slot:
    """A segment of shared memory that arrays are made in, or copied into, one behind another."""

    def __init__(self, segment):
        self.segment, self.end, self.taken = segment, 0, []

    def clear(self):
        """Forget the batch before: its memory is used again."""
        self.end, self.taken = 0, []

    def take(self, shape, dtype):
        """Give memory for an array, in the segment where there is room."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self.segment is None or self.end + size > self.segment.size:
            return np.empty(shape, dtype)
        array = np.ndarray(shape, dtype, self.segment.buf, self.end)
        self.taken.append((array, self.end))
        self.end += _aligned(size)
        return array

    def put(self, array):
        """See to it that an array is in the segment, which has room. Returns: (shape, dtype, offset in bytes)."""
        offset = self._offset(array)
        if offset is None:
            offset = self.end
            self.take(array.shape, array.dtype)[...] = array
        return array.shape, array.dtype.str, offset

    def size_with(self, arrays):
        """Count the bytes that the segment needs to have, with arrays of which some are in it already."""
        return max(self.end + sum(_aligned(a.nbytes) for a in arrays if self._offset(a) is None), 1)

    def _offset(self, array):
        """Find where in the segment an array begins that was made there; None where it was not."""
        for taken, offset in self.taken:
            same_place = array.__array_interface__["data"][0] == taken.__array_interface__["data"][0]
            if same_place and array.nbytes == taken.nbytes and array.flags.c_contiguous:
                return offset
        return None


def _aligned(size):
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _new_segment(size):
    free = shutil.disk_usage(_SHARED_FOLDER).free if os.path.isdir(_SHARED_FOLDER) else size
    if size > free:
        raise MemoryError(
            f"a batch takes {size / 2**20:.0f} MiB of shared memory, and {_SHARED_FOLDER} has {free / 2**20:.0f} MiB "
            "free: give it more (docker run --shm-size 2g), or take threads (LOADER_PROCESSES = False)"
        )
    return SharedMemory(create=True, size=size)
