"""Progress of long work: what is shown on a terminal and in a pipe."""
import io
import sys

import pytest

from mrcnn.base import progress
from mrcnn.base.progress import counted_from, progress_bar, tracked, unseen, working
from mrcnn.training.progress import COMPILING


def test_item_counts_when_it_is_done():
    events = []
    for item in tracked("abc", lambda *call: events.append(call)):
        events.append(item)
    assert events == ["a", (1, 3), "b", (2, 3), "c", (3, 3)]


@pytest.mark.parametrize("count, calls", [(7, [3, 6, 7]), (6, [3, 6]), (2, [2]), (0, [])])
def test_progress_is_reported_every_few_items_and_at_the_end(count, calls):
    shown = []
    assert list(tracked(iter(range(count)), lambda *call: shown.append(call), count, every=3)) == list(range(count))
    assert shown == [(done, count) for done in calls]


def test_progress_is_optional():
    assert list(tracked([1, 2], None)) == [1, 2]
    with unseen("reading") as show:
        assert show is None


def test_items_done_earlier_are_counted():
    shown = []
    show = counted_from(3, 5, lambda *call: shown.append(call))
    show(1), show(2)
    assert shown == [(3, 5), (4, 5), (5, 5)]
    assert counted_from(3, 5, None) is None
    shown.clear()
    counted_from(0, 5, lambda *call: shown.append(call))
    assert shown == []


class Terminal(io.StringIO):
    """A terminal that records what is written to it."""

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """A function that runs another with an 80-column terminal as standard error, and returns what was written.

    It replaces standard error only inside the call, because pytest replaces it too.
    """
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    def run(work):
        terminal = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            work(terminal)
        return terminal.getvalue()

    return run


def _last_screen(text):
    """Return what remains on the screen: rich moves up and erases the lines that it replaces."""
    return text.split("\x1b[2K")[-1]


def test_pipe_gets_only_a_line_about_the_first_stage(capsys):
    with working("reading"), progress_bar("detecting") as show:
        assert show is None
    assert capsys.readouterr() == ("", "")
    with progress_bar("detecting", "compiling"):
        assert capsys.readouterr() == ("", "compiling ...\n")


def test_clock_is_shown_until_the_first_item_is_done(shown):
    before = []

    def work(terminal):
        with progress_bar("detecting", "compiling") as show:
            before.append(terminal.getvalue())
            show(1, 3)
            show(3, 3)

    after = shown(work).removeprefix(before[0])
    assert "compiling" in before[0] and "0:00:00" in before[0] and "detecting" not in before[0] and "/" not in before[0]
    assert "detecting" in after and "3/3" in after and "compiling" not in after


def _one_item(terminal):
    with progress_bar("detecting") as show:
        show(2, 2)


def _no_item(terminal):
    with working("reading"):
        pass


def test_long_running_bar_leaves_a_line_and_a_clock_does_not(shown, monkeypatch):
    monkeypatch.setattr(progress, "MIN_SECONDS", 0.0)
    assert "2/2" in _last_screen(shown(_one_item))
    text = shown(_no_item)
    assert "reading" in text and "reading" not in _last_screen(text)


def test_short_bar_leaves_no_line(shown):
    text = shown(_one_item)
    assert "2/2" in text and "2/2" not in _last_screen(text)


def test_first_step_message_fits_in_80_columns(shown):
    def work(terminal):
        with progress_bar("detecting", COMPILING):
            pass

    text = shown(work)
    assert COMPILING in text and "0:00:00" in text and "…" not in text
