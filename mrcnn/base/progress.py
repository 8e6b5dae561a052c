"""Progress of long operations: how many items of a stage are done.

A function with one stage takes a `Show`, which it calls after each item. A function with several stages takes a `Stages`,
which it calls with the name of each; a stage that never calls its `Show` has an unknown length. Both may be None.
`progress_bar` is the `Stages` for a terminal: a bar once the amount of work is known, a clock until then. Nothing is drawn if
standard error is not a terminal. NO_COLOR switches colours off.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
# Called with (items done, total items) after each item.
Show = Callable[[int, int], object]
# Called with the name of a stage; returns a context manager, open while the stage runs, that yields its `Show` or None.
Stages = Callable[[str], AbstractContextManager[Show | None]]

# A bar that was shown for less than this many seconds is erased when it is done.
MIN_SECONDS = 2.0


def unseen(what: str) -> AbstractContextManager[None]:
    """Make a stage that shows nothing: the `Stages` to use instead of None."""
    return contextlib.nullcontext()


def counted_from(kept: int, total: int, show: Show | None) -> Callable[[int], object] | None:
    """Make a function (items done in this run) for a stage that resumes after earlier work.

    Args:
        kept: number of items done earlier. Unless it is 0, it is shown at once.
        total: total number of items, including those.

    Returns:
        None if `show` is None.
    """
    if show is None:
        return None
    if kept:
        show(kept, total)
    return lambda done: show(kept + done, total)


def tracked(items: Iterable[Item], show: Show | None, total: int | None = None, every: int = 1) -> Iterator[Item]:
    """Yield items, and show how many are done: an item is done when the caller requests the next one.

    Args:
        total: number of items; None uses len(items).
        every: show after this many items, and at the end, because a call per item is slow for millions of items.
    """
    total = len(cast(list, items)) if total is None else total
    for done, item in enumerate(items, start=1):
        yield item
        if show is not None and (done % every == 0 or done == total):
            show(done, total)


@contextlib.contextmanager
def progress_bar(what: str, first: str | None = None, terminal: TextIO | None = None) -> Iterator[Show | None]:
    """Show the progress, speed and remaining time of a stage of work; a `Stages`.

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


def working(what: str, terminal: TextIO | None = None) -> AbstractContextManager[Show | None]:
    """Show a clock during work whose amount is unknown; arguments as of `progress_bar`."""
    return progress_bar(what, terminal=terminal)


def _bar(terminal: TextIO | None) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    from mrcnn.base.terminal import Clock

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
               TextColumn("{task.fields[count]}"), TextColumn("{task.fields[rate]}"), Clock())
    # Printed lines go above the bar on a terminal, and to the file if output is redirected.
    return Progress(*columns, console=Console(file=terminal, stderr=True, markup=False),
                    redirect_stdout=sys.stdout.isatty(), redirect_stderr=terminal is None)
