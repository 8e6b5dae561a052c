"""A bar on a terminal, and nothing elsewhere."""
import io
import sys

from mrcnn.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_counts_and_rate(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("writing") as show:
        for done in (1, 2, 3):
            show(done, 3)
    text = sys.stderr.getvalue()
    assert "writing" in text and "3/3" in text and "/s" in text


def test_a_file_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar("writing") as show:
        assert show is None
    assert sys.stderr.getvalue() == ""
