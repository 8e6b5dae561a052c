"""A process continues after the reader of its output has ended: real processes and real pipes."""
import os
import subprocess
import sys

import pytest

from mrcnn.base.closed_pipe import closed_pipe_ignored

WORK = """
import sys
from pathlib import Path
from mrcnn.base.closed_pipe import closed_pipe_ignored
with closed_pipe_ignored():
    print("started", flush=True)
    sys.stdin.readline()  # the test closes its end of the pipe in the meantime
    for number in range(20000):  # more than any buffer holds
        print("a line of the output", number)
        print("a warning", number, file=sys.stderr)
    Path(sys.argv[1]).write_text("done")
print("after the block")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_work_ends_and_the_exit_code_is_0_although_the_reader_has_ended(tmp_path, unbuffered):
    process = subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path / "a")], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, "PYTHONUNBUFFERED": unbuffered})  # fmt: skip
    assert process.stdout.readline() == "started\n"
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert process.wait(60) == 0
    assert (tmp_path / "a").read_text() == "done"


def test_output_that_is_read_arrives(tmp_path):
    done = subprocess.run([sys.executable, "-c", WORK, str(tmp_path / "a")], input="\n", capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 20002 and lines[20000] == "a line of the output 19999" and lines[-1] == "after the block"
    assert done.stderr.count("a warning") == 20000


def test_streams_that_are_no_pipes_stay_as_they_are():
    before = sys.stdout, sys.stderr
    with closed_pipe_ignored():
        assert (sys.stdout, sys.stderr) == before
