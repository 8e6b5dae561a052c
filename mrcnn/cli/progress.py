"""Progress bars on a terminal."""

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
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate="")

        def show(done, total):
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield show
