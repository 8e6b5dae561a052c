"""Progress on a terminal: bars where the amount of work is known, the time gone by where it is not.

Nothing is written where standard error is no terminal. On one, NO_COLOR takes the colours away.
"""

import contextlib
import sys


@contextlib.contextmanager
def progress_bar(what):
    """Show how far a piece of work is, how fast it goes and how long it will take; nothing where stderr is no terminal.

    Args:
        what: str, shown before the bar.

    Yields:
        function (done, total), to be called after each item; None where nothing is shown.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with _progress(columns, transient=False) as bar:
        task = bar.add_task(what, total=None, rate="")

        def show(done, total):
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=_told(speed))

        yield show


@contextlib.contextmanager
def working(what):
    """Show that a piece of work of unknown length goes on, and for how long; nothing where stderr is no terminal.

    Args:
        what: str, such as "reading ~/coco".
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with _progress((SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()), transient=True) as bar:
        bar.add_task(what, total=None)
        yield


def _progress(columns, transient):
    from rich.console import Console
    from rich.progress import Progress

    # what is printed meanwhile stays above the bar on a terminal, and stays out of it where it goes to a file
    return Progress(*columns, console=Console(stderr=True, markup=False), transient=transient,
                    redirect_stdout=sys.stdout.isatty())


def _told(speed):
    """Say a speed in items a second, or in seconds an item where one takes longer: str."""
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 0.5 else f"{1 / speed:.1f} s each"
