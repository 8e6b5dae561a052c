"""The work of a loader process: batches made on request, and put into memory that the parent reads too.

`mrcnn.data.worker_processes` is the parent's side, and says how the two talk.
"""

import copy
import ctypes
import logging
import os
import pickle
import shutil
import signal
import traceback
from collections import deque
from multiprocessing.shared_memory import SharedMemory

import numpy as np

# where Linux keeps shared memory; writing more than fits in there kills a process without a word
_SHARED_FOLDER = "/dev/shm"
# arrays begin at multiples of this in a segment, as NumPy's own do
_ALIGNMENT = 64
# of glibc's malloc.h: freed memory is given back to the system from this size on, and so are mapped blocks
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 28


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
        failure = error

        def work(step, slot):
            raise failure

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
    except (EOFError, OSError):  # the parent is gone
        if isinstance(work, _Work):
            work.take_back()


def _settle():
    """Make a process of one thread that leaves accelerators alone and keeps the memory that it has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to hear
    # should the data set's module import a framework, it is to take no memory of the devices that train
    os.environ.update(CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    # what this process leaves out is told by the parent, once for all processes
    logging.getLogger("mrcnn.data.loader").setLevel(logging.ERROR)
    import cv2

    cv2.setNumThreads(1)
    try:
        # images are taken and freed all the time: kept, their pages need not be asked for and zeroed each time
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_MMAP_THRESHOLD, _KEPT)


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
        self.segments, self.untold = {}, None

    def __call__(self, step, slot):
        """Make the batch of a step. Returns: (name of a new segment or None, slot, layout, broken, empty)."""
        known = set(self.loader.broken), set(self.loader.empty)
        arrays = [np.asarray(array) for array in self.make_batch(step)]
        layout, size = _lay_out(arrays)
        name = self._make_room(slot, size)
        for array, (shape, dtype, offset) in zip(arrays, layout, strict=True):
            np.ndarray(shape, dtype, self.segments[slot].buf, offset)[...] = array
        broken = {i: reason for i, reason in self.loader.broken.items() if i not in known[0]}
        return name, slot, layout, broken, self.loader.empty - known[1]

    def _make_room(self, slot, size):
        """See to it that the segment of a slot holds `size` bytes. Returns: its name if it is new, else None."""
        self.untold = None  # another task has come, so the last answer was sent
        segment = self.segments.get(slot)
        if segment is not None:
            if segment.size >= size:
                return None
            segment.close()
        free = shutil.disk_usage(_SHARED_FOLDER).free if os.path.isdir(_SHARED_FOLDER) else size
        if size > free:
            raise MemoryError(
                f"a batch takes {size / 2**20:.0f} MiB of shared memory, and {_SHARED_FOLDER} has {free / 2**20:.0f} MiB "
                "free: give it more (docker run --shm-size 2g), or take threads (LOADER_PROCESSES = False)"
            )
        self.segments[slot] = self.untold = SharedMemory(create=True, size=size)
        return self.untold.name

    def take_back(self):
        """Remove the segment that the parent was not told of: it removes the others."""
        if self.untold is not None:
            self.untold.unlink()


def _lay_out(arrays):
    """Place arrays one behind another: list of (shape, dtype, offset in bytes), and the bytes in all."""
    layout, end = [], 0
    for array in arrays:
        layout.append((array.shape, array.dtype.str, end))
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return layout, max(end, 1)
