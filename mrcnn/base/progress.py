"""Long work in stages, and how far each is.

A function with one stage takes `progress`, a function (done, total) that it calls after each item. One with several takes a
maker of stages: a function (what) -> context manager, open as long as the stage goes on, that gives a function (done, total);
where it is never called, nobody knows how much there is to do. Both may be None. On a terminal the maker is
`mrcnn.cli.progress.progress_bar`.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

# Called with (items done, items in all) after each item.
Show = Callable[[int, int], object]
# Called with the name of a stage; gives a context manager, open for as long as the stage runs, of its `Show` or None.
Stages = Callable[[str], AbstractContextManager[Show | None]]


def unseen(what):
    """Make a stage that nobody sees, in the place of a maker of stages. Args: what: str. Returns: context manager."""
    return contextlib.nullcontext()


def counted_from(kept, total, show):
    """Make a function (done) that tells a stage how much is done, of which some was before it began.

    Args:
        kept: int. Items that were done already; where there are some, they are told at once.
        total: int. All items.
        show: function (done, total), or None.

    Returns:
        function (items done now), or None where `show` is None.
    """
    if show is None:
        return None
    if kept:
        show(kept, total)
    return lambda done: show(kept + done, total)


def tracked(items, show, total=None, every=1):
    """Go through items, and tell how many are done: each once the caller asks for the next.

    Args:
        items: iterable.
        show: function (done, total), or None.
        total: int. How many items there are; None asks for their len().
        every: int. Tell after so many, and at the end: a million calls take long.

    Yields:
        The items.
    """
    total = len(items) if total is None else total
    for done, item in enumerate(items, start=1):
        yield item
        if show is not None and (done % every == 0 or done == total):
            show(done, total)
