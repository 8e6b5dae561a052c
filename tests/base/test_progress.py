"""Progress of long work: what is shown while items are done, on a terminal and in a pipe."""
import io
import sys

import pytest

from mrcnn.base import progress
from mrcnn.base.progress import counted_from, progress_bar, tracked, unseen, working
from mrcnn.training.progress import COMPILING


def test_an_item_is_shown_once_it_is_done():
    events = []
    for item in tracked("abc", lambda *call: events.append(call)):
        events.append(item)
    assert events == ["a", (1, 3), "b", (2, 3), "c", (3, 3)]


@pytest.mark.parametrize("count, calls", [(7, [3, 6, 7]), (6, [3, 6]), (2, [2]), (0, [])])
def test_every_few_items_and_the_last_are_shown(count, calls):
    shown = []
    assert list(tracked(iter(range(count)), lambda *call: shown.append(call), count, every=3)) == list(range(count))
    assert shown == [(done, count) for done in calls]


def test_progress_is_optional():
    assert list(tracked([1, 2], None)) == [1, 2]
    with unseen("reading") as show:
        assert show is None


def test_items_done_before_are_counted():
    shown = []
    show = counted_from(3, 5, lambda *call: shown.append(call))
    show(1), show(2)
    assert shown == [(3, 5), (4, 5), (5, 5)]
    assert counted_from(3, 5, None) is None
    shown.clear()
    counted_from(0, 5, lambda *call: shown.append(call))
    assert shown == []


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """A function that runs another with a terminal of 80 columns for standard error: Terminal. pytest has its own outside."""
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
    """What is left of the lines of a bar: rich moves up and erases what goes."""
    return text.split("\x1b[2K")[-1]


def test_a_pipe_gets_nothing_but_a_line_of_what_comes_first(capsys):
    with working("reading"), progress_bar("detecting") as show:
        assert show is None
    assert capsys.readouterr() == ("", "")
    with progress_bar("detecting", "compiling"):
        assert capsys.readouterr() == ("", "compiling ...\n")


def test_a_clock_runs_until_the_first_item_is_done(shown):
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


def test_a_line_stays_of_a_bar_that_was_there_for_long_and_of_no_clock(shown, monkeypatch):
    monkeypatch.setattr(progress, "MIN_SECONDS", 0.0)
    assert "2/2" in _last_screen(shown(_one_item))
    text = shown(_no_item)
    assert "reading" in text and "reading" not in _last_screen(text)


def test_a_bar_that_was_over_at_once_leaves_no_line(shown):
    text = shown(_one_item)
    assert "2/2" in text and "2/2" not in _last_screen(text)


def test_the_words_of_the_first_step_fit_on_a_terminal_of_80_columns(shown):
    def work(terminal):
        with progress_bar("detecting", COMPILING):
            pass

    text = shown(work)
    assert COMPILING in text and "0:00:00" in text and "…" not in text
