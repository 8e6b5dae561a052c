"""Stages of long work: what is told of items while they are gone through."""
import pytest

from mrcnn.base.progress import counted_from, tracked, unseen


def test_each_item_is_told_once_it_is_dealt_with():
    events = []
    for item in tracked("abc", lambda *call: events.append(call)):
        events.append(item)
    assert events == ["a", (1, 3), "b", (2, 3), "c", (3, 3)]


@pytest.mark.parametrize("count, calls", [(7, [3, 6, 7]), (6, [3, 6]), (2, [2]), (0, [])])
def test_now_and_then_and_at_the_end(count, calls):
    told = []
    assert list(tracked(iter(range(count)), lambda *call: told.append(call), count, every=3)) == list(range(count))
    assert told == [(done, count) for done in calls]


def test_nobody_needs_to_be_told():
    assert list(tracked([1, 2], None)) == [1, 2]
    with unseen("reading") as show:
        assert show is None


def test_what_was_done_before_counts():
    told = []
    show = counted_from(3, 5, lambda *call: told.append(call))
    show(1), show(2)
    assert told == [(3, 5), (4, 5), (5, 5)]
    assert counted_from(3, 5, None) is None
    told.clear()
    counted_from(0, 5, lambda *call: told.append(call))
    assert told == []
