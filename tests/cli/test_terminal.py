"""What goes to a terminal, and what does not go to a pipe or under NO_COLOR: seen from outside, in processes."""
import os
import re
import subprocess
import sys

import pytest

from tests.shared_data import REPOSITORY
from tests.tools.doctor.damaged import healthy

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")

COLOR = re.compile(rb"\x1b\[[0-9;]*m")
ESCAPE = b"\x1b"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A COCO folder of two small parts."""
    healthy(tmp_path_factory.mktemp("data") / "set", 4, 2)
    return str(tmp_path_factory.getbasetemp() / "data0" / "set")


def _environment(**values):
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", **values}


def _piped(*arguments):
    """Run `python -m mrcnn` with pipes for its output: (exit code, everything written)."""
    done = subprocess.run([sys.executable, "-m", "mrcnn", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=_environment(), timeout=60)  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])  # reported by the write itself, or when everything is flushed at the end
def test_a_pipe_that_is_read_no_longer_ends_the_command_in_silence(folder, unbuffered):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "mrcnn", "view", folder], stdout=write, stderr=subprocess.PIPE,
                          env=_environment(PYTHONUNBUFFERED=unbuffered), timeout=60)  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


# a bar and a clock as the commands show them, and a line of output among them
SHOW = """
from mrcnn.base.progress import progress_bar, working
with working("reading the data"):
    print("a line")
with progress_bar("detecting") as show:
    for done in (1, 2, 3, 4):
        show(done, 4)
import sys
assert "keras" not in sys.modules, "a bar needs no network"
"""


# notices, and a line of compiled code that is none, while a clock is shown
LOAD = """
import os
from mrcnn.cli import backend
with backend._without_notices() as terminal, backend.working("loading", terminal):
    os.write(2, b"I0000 port.cc] oneDNN custom operations are on.\\nsomething real\\n")
"""


def _on_a_terminal(stdout=None, script=SHOW, **environment):
    """Run a script on a pseudo-terminal, its output in the file `stdout` if one is given: all that the terminal gets."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", script], stdin=inside, stdout=stdout or inside, stderr=inside,
                               env=_environment(**environment))  # fmt: skip
    os.close(inside)
    written = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side is closed
            piece = b""
        if not piece:
            break
        written += piece
    os.close(terminal)
    assert process.wait(60) == 0, written.decode(errors="replace")
    return written


def test_the_package_runs_as_a_module():
    code, text = _piped("--version")
    assert code == 0 and re.fullmatch(rb"mrcnn \d+\.\d+\.\d+\s*", text)
    code, text = _piped("trian")
    assert code == 2 and text.startswith(b"mrcnn: error: ")


@pytest.mark.parametrize("arguments", [("view", "SET"), ("check", "SET"), ("check", "gone")])
def test_a_pipe_gets_plain_text_without_bars(folder, arguments):
    code, text = _piped(*(word.replace("SET", folder) for word in arguments))
    assert code == (2 if "gone" in arguments else 0), text.decode()
    assert text and ESCAPE not in text and b"\r" not in text


def test_a_terminal_gets_a_bar_with_colours_unless_no_color_is_set():
    text = _on_a_terminal()
    assert b"a line" in text and b"detecting" in text and b"4/4" in text and b"/s" in text and COLOR.search(text)
    assert b"reading the data" in text and b"0:00:00" in text
    text = _on_a_terminal(NO_COLOR="1")
    assert b"4/4" in text and not COLOR.search(text)


def test_a_clock_runs_while_a_backend_is_loaded_without_its_notices():
    text = _on_a_terminal(script=LOAD)
    assert re.search(rb"loading.*0:00:00", text) and b"something real" in text and b"oneDNN" not in text


def test_what_is_printed_while_a_bar_is_shown_goes_where_the_output_goes(tmp_path):
    with open(tmp_path / "out.txt", "wb") as file:
        text = _on_a_terminal(stdout=file)
    assert b"4/4" in text and b"a line" not in text
    assert (tmp_path / "out.txt").read_bytes() == b"a line\n"
