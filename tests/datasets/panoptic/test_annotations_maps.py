"""Segment ids, and hand-computed panoptic maps."""
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.annotations import (
    check_segments,
    coco_categories,
    colors_of_ids,
    decode_segments,
    number_categories,
    panoptic_map,
)
from mrcnn.geometry.label_map import LabelMap
from mrcnn.io.images import ImageTooLargeError

# ids 1 and 3 are things; semantic ids 1, 2, 3, 4 in the order of the ids
CATEGORIES = number_categories([(200, "rug", False), (3, "car", True), (92, "banner", False), (1, "person", True)])
IDS = np.array([[10, 10, 20, 0],
                [30, 40, 20, 0],
                [50, 50, 50, 60]])  # fmt: skip
# segment, category, area, crowd
SEGMENTS = np.array([(20, 1, 2, 0), (10, 1, 2, 0), (30, 3, 1, 0), (40, 1, 1, 1), (50, 200, 3, 0), (60, 92, 1, 0)])


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_categories_are_numbered_by_their_ids():
    assert [(c.id, c.name, c.is_thing, c.semantic_id) for c in CATEGORIES.values()] == [
        (1, "person", True, 1), (3, "car", True, 2), (92, "banner", False, 3), (200, "rug", False, 4)]  # fmt: skip


def test_coco_categories_keep_their_numbers_if_only_some_are_listed():
    """The numbers of DeepLab2: things 1 to 80, stuff 81 to 133."""
    listed = [(200, "rug-merged", False), (13, "stop sign", True), (92, "banner", False), (90, "toothbrush", True)]
    assert [(i, c.semantic_id) for i, c in number_categories(listed).items()] == [(13, 12), (90, 80), (92, 81), (200, 133)]
    whole = coco_categories()
    assert [c.semantic_id for c in whole.values()] == list(range(1, 134))
    assert [c.semantic_id for c in whole.values() if c.is_thing] == list(range(1, 81))
    # one category that is not COCO's: another label space
    other = number_categories([*listed, (201, "carpet", False)])
    assert [c.semantic_id for c in other.values()] == [1, 2, 3, 4, 5]
    assert number_categories([(90, "toothbrush", False)])[90].semantic_id == 1  # COCO's is a thing


def test_panoptic_map_by_hand():
    """Persons are numbered in the order of the list, segment 20 first; a crowd is ignored, or has the instance number 0."""
    expected = np.array([[258, 258, 257, 0],
                         [513, 0, 257, 0],
                         [1024, 1024, 1024, 768]])  # fmt: skip
    result = panoptic_map(IDS, SEGMENTS, CATEGORIES, "image a")
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)
    expected[1, 1] = 256
    np.testing.assert_array_equal(panoptic_map(IDS, SEGMENTS, CATEGORIES, "image a", False), expected)


def test_image_without_segments_has_an_empty_map():
    result = panoptic_map(np.zeros((2, 3), int), np.zeros((0, 4), int), CATEGORIES, "image a")
    np.testing.assert_array_equal(result, np.zeros((2, 3)))


def test_255_instances_fit_and_256_do_not():
    ids = np.arange(1, 256)[None]
    segments = np.stack([ids[0], np.full(255, 3), np.ones(255, int), np.zeros(255, int)], axis=1)
    np.testing.assert_array_equal(panoptic_map(ids, segments, CATEGORIES, "image a"), 512 + ids)
    ids = np.arange(1, 257)[None]
    segments = np.stack([ids[0], np.full(256, 3), np.ones(256, int), np.zeros(256, int)], axis=1)
    with pytest.raises(DataError, match="image a, segment 256: it is instance 256 of car"):
        panoptic_map(ids, segments, CATEGORIES, "image a")


@pytest.mark.parametrize("change, message", [
    ((20, 1, 3, 0), "image a, segment 20: its area is given as 3 pixels, but the PNG shows 2"),
    ((21, 1, 2, 0), "image a, segment 21: its area is given as 2 pixels, but the PNG shows 0"),
])  # fmt: skip
def test_areas_that_differ_are_reported(change, message):
    segments = SEGMENTS.copy()
    segments[0] = change
    with pytest.raises(DataError, match=message):
        check_segments(LabelMap(IDS), segments, "image a")


def test_segment_that_is_drawn_but_not_listed_is_an_error():
    with pytest.raises(DataError, match="image a, segment 60: the PNG shows 1 pixels of it, but segments_info does not"):
        check_segments(LabelMap(IDS), SEGMENTS[:-1], "image a")


def test_segment_id_is_red_plus_256_green_plus_65536_blue():
    pixels = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[255, 255, 255], [0, 0, 0], [28, 21, 60]]], np.uint8)
    ids = decode_segments(png(pixels), (2, 3), "a.png")
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, [[1, 256, 65536], [16777215, 0, 28 + 256 * 21 + 65536 * 60]])


@given(arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(0, 2**24 - 1)))
def test_ids_survive_encoding_as_colours(ids):
    np.testing.assert_array_equal(decode_segments(png(colors_of_ids(ids)), ids.shape, "a.png"), ids)


NOISE = png(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))


@pytest.mark.parametrize("data, message", [
    (b"", "is not a PNG"),
    (b"\xff\xd8\xff\xe0" + bytes(40), "is not a PNG"),
    (png(np.zeros((4, 6), np.uint8)), "is a PNG with 8 bits per channel and colour type 0"),
    (png(np.zeros((4, 6, 4), np.uint8)), "is a PNG with 8 bits per channel and colour type 6"),
    (png(np.zeros((5, 6, 3), np.uint8)), r"is of size \(5, 6\) \(height, width\), but its image is of size \(4, 6\)$"),
    (png(np.zeros((6, 4, 3), np.uint8)), r"is of size \(6, 4\) .* height and width are swapped"),
    (NOISE[: len(NOISE) // 2], "cannot be decoded"),
])  # fmt: skip
def test_files_without_segments_are_errors(data, message):
    with pytest.raises(DataError, match="image 7, a.png " + message):
        decode_segments(data, (4, 6), "image 7, a.png")


@pytest.mark.parametrize("side", [2**31 - 1, 15_000])
def test_image_bomb_is_rejected_before_decoding(side, monkeypatch):
    """The header declares a huge image and the JSON agrees. Pillow's own limit is disabled."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    data = bytearray(png(np.zeros((1, 1, 3), np.uint8)))
    data[16:24] = side.to_bytes(4, "big") * 2
    with pytest.raises(ImageTooLargeError, match=f"image 7, a.png declares {side} x {side} pixels"):
        decode_segments(bytes(data), (side, side), "image 7, a.png")


@given(data=st.data())
def test_damage_raises_no_other_error_than_data_error(data):
    valid = png(colors_of_ids(np.arange(60).reshape(6, 10) * 1001))
    damaged = bytearray(valid[: data.draw(st.integers(0, len(valid)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode_segments(bytes(damaged), (6, 10), "a.png").shape == (6, 10)
    except DataError as error:
        assert str(error).startswith("a.png ")
