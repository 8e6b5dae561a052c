"""Progress on a terminal: a bar once the amount of work is known, and the time gone by until then.

Nothing is drawn where standard error is no terminal. On one, NO_COLOR takes the colours away.
"""

import contextlib
import sys

# A bar that was there for fewer seconds leaves no line behind.
LASTING = 2.0


@contextlib.contextmanager
def progress_bar(what, first=None, terminal=None):
    """Show how far a piece of work is, how fast it goes and how long it will take; nothing where stderr is no terminal.

    Until the amount of work is told there is a clock. This is a maker of stages, as of `mrcnn.base.progress`.

    Args:
        what: str, shown before the bar.
        first: str, optional. What goes on until the first item is done. It stands in the place of `what` until then; where
            stderr is no terminal it is written there as a line.
        terminal: file, optional. Written to in the place of standard error, while that goes elsewhere.

    Yields:
        function (done, total), to be called after each item; None where nothing is shown.
    """
    if not (terminal or sys.stderr).isatty():
        if first:
            print(f"{first} ...", file=sys.stderr, flush=True)
        yield None
        return
    from mrcnn.training.progress import told_speed

    with _bar(terminal) as bar:
        task = bar.add_task(first or what, total=None, count="", rate="")

        def show(done, total):
            bar.update(task, description=what, completed=done, total=total, count=f"{done}/{total}")
            bar.update(task, rate=told_speed(bar.tasks[0].finished_speed or bar.tasks[0].speed))

        try:
            yield show
        finally:
            shown = bar.tasks[0]
            bar.live.transient = shown.total is None or shown.elapsed < LASTING


def working(what, terminal=None):
    """Show that a piece of work of unknown length goes on, and for how long; nothing where stderr is no terminal.

    Args:
        what: str, such as "reading ~/coco".
        terminal: see `progress_bar`.

    Returns:
        context manager.
    """
    return progress_bar(what, terminal=terminal)


def compiling_first():
    """Make a maker of stages of which the first begins with the compilation of the network, and says so; loads Keras.

    Returns:
        function (what) -> context manager, as `progress_bar`.
    """
    from mrcnn.training.progress import first_step

    firsts = iter([first_step()])
    return lambda what: progress_bar(what, next(firsts, None))


def _bar(terminal):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    from mrcnn.training.progress import Clock

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
               TextColumn("{task.fields[count]}"), TextColumn("{task.fields[rate]}"), Clock())
    # what is printed meanwhile stays above the bar on a terminal, and stays out of it where it goes to a file
    return Progress(*columns, console=Console(file=terminal, stderr=True, markup=False),
                    redirect_stdout=sys.stdout.isatty(), redirect_stderr=terminal is None)
