"""Progress of long operations: how many items of a stage are done.

A function with one stage takes a `Show`, which it calls after each item. A function with several stages takes a `Stages`,
which it calls with the name of each; a stage that never calls its `Show` has an unknown length. Both may be None. The
implementation for a terminal is `mrcnn.cli.progress.progress_bar`, a `Stages`.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar, cast

Item = TypeVar("Item")
# Called with (items done, total items) after each item.
Show = Callable[[int, int], object]
# Called with the name of a stage; returns a context manager, open while the stage runs, that yields its `Show` or None.
Stages = Callable[[str], AbstractContextManager[Show | None]]


def unseen(what: str) -> AbstractContextManager[None]:
    """Make a stage that shows nothing: the `Stages` to use instead of None."""
    return contextlib.nullcontext()


def counted_from(kept: int, total: int, show: Show | None) -> Callable[[int], object] | None:
    """Make a function (items done in this run) for a stage that resumes after earlier work.

    Args:
        kept: Number of items done earlier. Unless it is 0, it is shown at once.
        total: Total number of items, including those.

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
        total: Number of items; None uses len(items).
        every: Show after this many items, and at the end, because a call per item is slow for millions of items.
    """
    total = len(cast(list, items)) if total is None else total
    for done, item in enumerate(items, start=1):
        yield item
        if show is not None and (done % every == 0 or done == total):
            show(done, total)
