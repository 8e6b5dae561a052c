"""Progress of long work: what is shown while items are done."""
import pytest

from mrcnn.base.progress import counted_from, tracked, unseen


def test_an_item_is_shown_once_it_is_done():
    events = []
    for item in tracked("abc", lambda *call: events.append(call)):
        events.append(item)
    assert events == ["a", (1, 3), "b", (2, 3), "c", (3, 3)]


@pytest.mark.parametrize("count, calls", [(7, [3, 6, 7]), (6, [3, 6]), (2, [2]), (0, [])])
def test_every_few_items_and_the_last_are_shown(count, calls):
    shown = []
    assert list(tracked(iter(range(count)), lambda *call: shown.append(call), count, every=3)) == list(range(count))
    assert shown == [(done, count) for done in calls]


def test_progress_is_optional():
    assert list(tracked([1, 2], None)) == [1, 2]
    with unseen("reading") as show:
        assert show is None


def test_items_done_before_are_counted():
    shown = []
    show = counted_from(3, 5, lambda *call: shown.append(call))
    show(1), show(2)
    assert shown == [(3, 5), (4, 5), (5, 5)]
    assert counted_from(3, 5, None) is None
    shown.clear()
    counted_from(0, 5, lambda *call: shown.append(call))
    assert shown == []
