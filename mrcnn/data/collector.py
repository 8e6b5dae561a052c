"""Python's garbage collector, paused while a large index is made.

Each collection looks at every container that is alive. With millions of annotations coming in, and none of them going,
that takes longer than to read them.
"""

import contextlib
import gc


@contextlib.contextmanager
def paused_collector():
    """Pause the garbage collector within a block; it goes on after it if it ran before."""
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()
