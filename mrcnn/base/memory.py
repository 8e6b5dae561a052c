"""Python's garbage collector, paused while many rows are made and none goes.

Each collection looks at every container that is alive. With millions of annotations coming in, that takes longer than to
read them. Collections took a quarter of the time of scoring half a million detections by COCO's rules.

What the C library does with memory that was freed.
"""

import contextlib
import ctypes
import gc
import os


@contextlib.contextmanager
def paused_collector():
    """Pause the garbage collector within a block or a decorated function; it goes on after it if it ran before."""
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()


# of glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_MOST = 2**31 - 1


def keep_freed_memory():
    """Keep what this process frees for what it allocates next, instead of giving it back to the system.

    glibc maps large blocks anew each time, and gives each thread a heap of its own that shrinks as soon as it can. A
    program that takes and frees hundreds of megabytes again and again then waits for the system, which has to clear
    every page: more than a third of a training step with ResNet-50 on two cores. With this, blocks of any size come
    from one heap that only grows; memory stays at its peak.

    It works for threads that have not allocated yet, so it is called before a framework starts its own. Where the
    environment sets MALLOC_ variables the user has chosen, and where there is no glibc there is nothing to set: nothing
    is done.

    Source: mallopt(3); `benchmarks/README.md` has what each option was worth.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, 1 << 28)):
        mallopt(option, value)
