"""The garbage collector is paused and resumed; freed memory is reused by all threads."""
import gc
import os
import subprocess
import sys

import pytest

from mrcnn.base.memory import paused_collector

# Prints the page faults of a thread that allocates and frees 8 blocks of 80 MB in a row, after a first one.
PROGRAM = """
import resource, threading
from mrcnn.base.memory import keep_freed_memory
keep_freed_memory()

def allocate():
    bytearray(80_000_000)

def work():
    allocate()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        allocate()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def _page_faults(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**environment, **variables}, check=True, text=True,
                          stdout=subprocess.PIPE)  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(os, "confstr") or
                    "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="the C library is not glibc")
def test_freed_blocks_are_reused_unless_the_user_configured_malloc():
    per_block = 80_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert _page_faults() < per_block
    # the user's settings take precedence: with glibc's default, each block is mapped anew
    assert _page_faults(MALLOC_MMAP_THRESHOLD_="131072", GLIBC_TUNABLES="") > 7 * per_block


@pytest.mark.parametrize("was_enabled", [True, False])
def test_paused_collector_restores_the_previous_state(was_enabled):
    @paused_collector()
    def is_enabled():
        return gc.isenabled()

    try:
        (gc.enable if was_enabled else gc.disable)()
        assert not is_enabled()
        assert gc.isenabled() == was_enabled
        with pytest.raises(ValueError, match="inside"), paused_collector():
            raise ValueError("inside")
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()
