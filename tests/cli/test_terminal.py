"""Output of the commands on a terminal, in a pipe and with NO_COLOR, run as separate processes."""
import os
import re
import subprocess
import sys

import pytest

from tests.shared_data import REPOSITORY
from tests.tools.doctor.damaged import healthy

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

COLOR = re.compile(rb"\x1b\[[0-9;]*m")
ESCAPE = b"\x1b"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A COCO folder with two small subsets."""
    healthy(tmp_path_factory.mktemp("data") / "set", 4, 2)
    return str(tmp_path_factory.getbasetemp() / "data0" / "set")


def _environment(**values):
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", **values}


def _piped(*arguments):
    """Run `python -m mrcnn` with its output in a pipe, and return the exit code and the output."""
    done = subprocess.run([sys.executable, "-m", "mrcnn", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=_environment(), timeout=60)  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the error comes from the write itself, or from flushing at the end
def test_closed_pipe_ends_the_command_silently(folder, unbuffered):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "mrcnn", "view", folder], stdout=write, stderr=subprocess.PIPE,
                          env=_environment(PYTHONUNBUFFERED=unbuffered), timeout=60)  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


# shows a bar and a clock as the commands do, and prints a line meanwhile
SHOW = """
from mrcnn.base.progress import progress_bar, working
with working("reading the data"):
    print("a line")
with progress_bar("detecting") as show:
    for done in (1, 2, 3, 4):
        show(done, 4)
import sys
assert "keras" not in sys.modules, "a progress bar must not import Keras"
"""


# writes a notice and another line, as compiled code does, while a clock is shown
LOAD = """
import os
from mrcnn.cli import backend
with backend._without_notices() as terminal, backend.working("loading", terminal):
    os.write(2, b"I0000 port.cc] oneDNN custom operations are on.\\nsomething real\\n")
"""


def _on_a_terminal(stdout=None, script=SHOW, **environment):
    """Run a script on a pseudo-terminal, with its output in the file `stdout` if given, and return the screen output."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", script], stdin=inside, stdout=stdout or inside, stderr=inside,
                               env=_environment(**environment))  # fmt: skip
    os.close(inside)
    written = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # raised by Linux when the other side is closed
            piece = b""
        if not piece:
            break
        written += piece
    os.close(terminal)
    assert process.wait(60) == 0, written.decode(errors="replace")
    return written


def test_package_runs_as_a_module():
    code, text = _piped("--version")
    assert code == 0 and re.fullmatch(rb"mrcnn \d+\.\d+\.\d+\s*", text)
    code, text = _piped("trian")
    assert code == 2 and text.startswith(b"mrcnn: error: ")


@pytest.mark.parametrize("arguments", [("view", "SET"), ("check", "SET"), ("check", "gone")])
def test_pipe_gets_plain_text_without_bars(folder, arguments):
    code, text = _piped(*(word.replace("SET", folder) for word in arguments))
    assert code == (2 if "gone" in arguments else 0), text.decode()
    assert text and ESCAPE not in text and b"\r" not in text


def test_terminal_gets_a_coloured_bar_unless_no_color_is_set():
    text = _on_a_terminal()
    assert b"a line" in text and b"detecting" in text and b"4/4" in text and b"/s" in text and COLOR.search(text)
    assert b"reading the data" in text and b"0:00:00" in text
    text = _on_a_terminal(NO_COLOR="1")
    assert b"4/4" in text and not COLOR.search(text)


def test_clock_is_shown_while_a_backend_is_loaded_and_its_notices_are_suppressed():
    text = _on_a_terminal(script=LOAD)
    assert re.search(rb"loading.*0:00:00", text) and b"something real" in text and b"oneDNN" not in text


def test_text_printed_while_a_bar_is_shown_goes_to_standard_output(tmp_path):
    with open(tmp_path / "out.txt", "wb") as file:
        text = _on_a_terminal(stdout=file)
    assert b"4/4" in text and b"a line" not in text
    assert (tmp_path / "out.txt").read_bytes() == b"a line\n"
