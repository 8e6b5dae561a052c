"""Progress of long work: how many items of a stage are done.

A function with one stage takes a `Show`, which it calls after each item. A function with several takes a `Stages`, which it
calls with the name of each; a stage that never calls its `Show` is of unknown length. Both may be None. On a terminal,
`mrcnn.cli.progress.progress_bar` is a `Stages`.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar, cast

Item = TypeVar("Item")
# Called with (items done, items in all) after each item.
Show = Callable[[int, int], object]
# Called with the name of a stage; returns a context manager, open while the stage runs, that yields its `Show` or None.
Stages = Callable[[str], AbstractContextManager[Show | None]]


def unseen(what: str) -> AbstractContextManager[None]:
    """Make a stage that shows nothing: the `Stages` to use for None."""
    return contextlib.nullcontext()


def counted_from(kept: int, total: int, show: Show | None) -> Callable[[int], object] | None:
    """Make a function (items done now) for a stage of which some items were done before.

    Args:
        kept: Items that were done before. If there are any, they are shown at once.
        total: All items, with those.

    Returns:
        None if `show` is None.
    """
    if show is None:
        return None
    if kept:
        show(kept, total)
    return lambda done: show(kept + done, total)


def tracked(items: Iterable[Item], show: Show | None, total: int | None = None, every: int = 1) -> Iterator[Item]:
    """Yield items, and show how many are done: an item is done when the caller asks for the next one.

    Args:
        total: The number of items; None takes their len().
        every: Show after this many items, and at the end: a million calls take long.
    """
    total = len(cast(list, items)) if total is None else total
    for done, item in enumerate(items, start=1):
        yield item
        if show is not None and (done % every == 0 or done == total):
            show(done, total)
