"""Progress on a terminal: a bar once the amount of work is known, a clock until then.

Nothing is drawn if standard error is not a terminal. NO_COLOR switches colours off.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

    from mrcnn.base.progress import Show, Stages

# A bar that was shown for less than this many seconds is erased when it is done.
MIN_SECONDS = 2.0


@contextlib.contextmanager
def progress_bar(what: str, first: str | None = None, terminal: TextIO | None = None) -> "Iterator[Show | None]":
    """Show the progress, speed and remaining time of a stage of work; the protocol is that of `mrcnn.base.progress`.

    Args:
        what: label of the bar.
        first: label until the first item is done. If standard error is not a terminal, it is written there as a line.
        terminal: where to write while standard error is redirected.

    Yields:
        function (done, total), to be called after each item; None if nothing is shown.
    """
    if not (terminal or sys.stderr).isatty():
        if first:
            print(f"{first} ...", file=sys.stderr, flush=True)
        yield None
        return
    from mrcnn.base.terminal import speed_text

    with _bar(terminal) as bar:
        task = bar.add_task(first or what, total=None, count="", rate="")

        def show(done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, count=f"{done}/{total}")
            bar.update(task, rate=speed_text(bar.tasks[0].finished_speed or bar.tasks[0].speed))

        try:
            yield show
        finally:
            shown = bar.tasks[0]
            bar.live.transient = shown.total is None or (shown.elapsed or 0.0) < MIN_SECONDS


def working(what: str, terminal: TextIO | None = None) -> "contextlib.AbstractContextManager[Show | None]":
    """Show a clock during work whose amount is unknown; arguments as of `progress_bar`."""
    return progress_bar(what, terminal=terminal)


def compiling_first() -> "Stages":
    """Return a `progress_bar` whose first stage starts with the compilation of the network, and says so. Loads Keras."""
    from mrcnn.training.progress import first_step

    firsts = iter([first_step()])
    return lambda what: progress_bar(what, next(firsts, None))


def _bar(terminal: TextIO | None) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    from mrcnn.base.terminal import Clock

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
               TextColumn("{task.fields[count]}"), TextColumn("{task.fields[rate]}"), Clock())
    # Printed lines go above the bar on a terminal, and to the file if output is redirected.
    return Progress(*columns, console=Console(file=terminal, stderr=True, markup=False),
                    redirect_stdout=sys.stdout.isatty(), redirect_stderr=terminal is None)
