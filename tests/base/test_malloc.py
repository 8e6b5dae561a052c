"""Freed memory is kept, for any thread and any size."""
import os
import subprocess
import sys

import pytest

# Pages that a thread has to ask for when it takes and frees 8 blocks of 80 MB in a row, after a first one.
PROGRAM = """
import resource, threading
from mrcnn.base.memory import keep_freed_memory
keep_freed_memory()

def take():
    bytearray(80_000_000)

def work():
    take()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        take()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def _pages(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**environment, **variables}, check=True, text=True,
                          stdout=subprocess.PIPE)  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(os, "confstr") or
                    "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="the C library is not glibc")
def test_blocks_come_back_unless_the_user_has_chosen():
    each = 80_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert _pages() < each
    # the user's own settings stand: these are glibc's defaults, with which each block is mapped anew
    assert _pages(MALLOC_MMAP_THRESHOLD_="131072", GLIBC_TUNABLES="") > 7 * each
