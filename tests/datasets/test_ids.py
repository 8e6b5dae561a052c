"""Ids that programs write as 7, 7.0 or "7"."""
import pytest

from mrcnn.datasets.ids import ById, is_id, read_id, unify_numbers


def test_ids():
    assert is_id(7) and is_id("7") and not any(map(is_id, (True, 7.0, None, [7])))
    assert [read_id(value) for value in (7, "7", 7.0, -1.0, 7.5, True, None, [7], float("nan"), 1e300)] == [
        7, "7", 7, -1, None, None, None, None, None, None]  # fmt: skip


@pytest.mark.parametrize(("listed", "reference", "found"), [
    ([1, 2], 1, 1), ([1, 2], "1", 1), ([1, 2], 1.0, 1), ([1, 2], "1.0", 1), ([1, 2], " 2 ", 2), ([1, 2], "02", 2),
    (["1", "2"], 1, "1"), (["1", "2"], 2.0, "2"), (["000000000036"], 36, "000000000036"), ([36], "000000000036", 36),
    ([0, -1], "-1", -1), (["a", "b"], "a", "a"), (["1", 2], 1, "1"),
    ([1], True, None), ([1], None, None), ([1], [1], None), ([1], 1.5, None), ([1], "1.5", None), ([1], "1e0", None),
    ([1], "", None), ([1], "a", None), ([0], "", None), ([1], float("nan"), None), ([1], float("inf"), None),
    (["7", "007"], 7, None), (["7", "007"], "7", "7"), (["7", "007"], "007", "007"),
    ([2**53], float(2**53), None), ([2**53], str(2**53), None), ([2**53], 2**53, 2**53),
])  # fmt: skip
def test_reference_is_matched_if_only_one_id_has_its_number(listed, reference, found):
    result = ById.fromkeys(listed).find(reference)
    assert result == found and type(result) is type(found)


@pytest.mark.parametrize(("listed", "reference", "reason"), [
    ([1, 2], "a", "its image_id is text, but the ids of the images are numbers"),
    (["a", "b"], 1, "its image_id is a number, but the ids of the images are text"),
    ([1, 2], "3", "its image_id is not among the images"),
    (["a", "b"], "c", "its image_id is not among the images"),
    ([1, 2], None, "it has no image_id"),
    (["7", "007"], 7, "its image_id fits two ids of the images, which are text that stands for the same number"),
])  # fmt: skip
def test_reason_for_an_unmatched_reference(listed, reference, reason):
    assert ById.fromkeys(listed).fault(reference, "image_id", "images") == reason


def test_numbers_in_a_file_are_unified_and_nothing_else_is_changed():
    content = {
        "info": {"year": 2024.0},
        "images": [{"id": 1.0, "height": 64.0, "width": 96.5}, {"id": "x", "height": "64", "width": 96}, 3],
        "categories": [{"id": "5", "name": "cat"}],
        "annotations": [{"id": 1.0, "image_id": "1", "category_id": 5}, {"id": 2, "image_id": "y", "category_id": "5"}, None],
    }
    unified, messages = unify_numbers(content)
    assert unified == {
        "info": {"year": 2024.0},
        "images": [{"id": 1, "height": 64, "width": 96.5}, {"id": "x", "height": "64", "width": 96}, 3],
        "categories": [{"id": "5", "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": "5"}, {"id": 2, "image_id": "y", "category_id": "5"}, None],
    }
    assert type(unified["images"][0]["id"]) is int and type(unified["images"][0]["height"]) is int
    assert messages == [
        "images: 'id' of 1 of 3 entries is written differently, such as 1.0 for 1: read by its number",
        "images: 'height' of 1 of 3 entries is written differently, such as 64.0 for 64: read by its number",
        "annotations: 'id' of 1 of 3 entries is written differently, such as 1.0 for 1: read by its number",
        "annotations: 'image_id' of 1 of 3 entries is written differently, such as '1' for 1: read by its number",
        "annotations: 'category_id' of 1 of 3 entries is written differently, such as 5 for '5': read by its number",
    ]
    assert content["images"][0] == {"id": 1.0, "height": 64.0, "width": 96.5}, "the content itself is not changed"
