"""Findings about a single annotation, computed by hand. test_check tests damage in a data set."""
import numpy as np
import pytest

from mrcnn.geometry.rle import decode_rle, encode_mask
from mrcnn.tools.doctor.annotations import check_annotation

SIZE = (40, 60)
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


def check(annotation, size=SIZE):
    """Check an annotation, and return its mask or None and {kind: (message, severity, weight)}."""
    notes = {}

    def note(kind, message, severity=None, weight=0.0):
        notes[kind] = message, severity, weight

    return check_annotation(annotation, size, note), notes


def test_valid_annotation_has_no_findings():
    mask, notes = check({"segmentation": [SQUARE], "bbox": [10, 5, 20, 20], "area": 400})
    assert notes == {} and mask.area == 400 and mask.box == (5, 10, 25, 30) and not mask.is_cut


def test_area_and_box_refer_to_the_part_inside_the_image():
    mask, notes = check({"segmentation": [[-10, 5, 10, 5, 10, 25, -10, 25]], "bbox": [-10, 5, 20, 20], "area": 400})
    assert set(notes) == {"polygon_outside", "box_outside"} and mask.is_cut
    assert notes["polygon_outside"][0] == "its outline extends 10 pixels beyond the image of 40 x 60 (height x width)"
    assert mask.area == 200 and mask.box == (5, 0, 25, 10)
    np.testing.assert_array_equal(decode_rle(mask.rle).nonzero()[1].max(), 9)


@pytest.mark.parametrize("dx, reported", [(0.9, False), (1.1, True)])
def test_up_to_one_pixel_beyond_the_border_is_accepted(dx, reported):
    _, notes = check({"segmentation": [[40, 5, 60 + dx, 5, 60 + dx, 25, 40, 25]], "bbox": [40, 5, 20 + dx, 20]})
    assert ("polygon_outside" in notes) == ("box_outside" in notes) == reported


@pytest.mark.parametrize("segmentation", [[[100, 5, 120, 5, 120, 25]], [[10, -30, 30, -30, 30, -5]]])
def test_polygon_entirely_outside_is_an_error(segmentation):
    mask, notes = check({"segmentation": segmentation})
    assert mask is None and notes["polygon_outside"][1] == "error"


def test_valid_polygons_of_an_instance_are_used():
    mask, notes = check({"segmentation": [[1, 2, 3, 4], SQUARE, [1, 2, 3, 4, 5, float("nan")]]})
    assert notes == {"segmentation_malformed": (
        "polygon 0 has 4 numbers, expected at least three x, y pairs; 1 more are malformed", None, 0)}  # fmt: skip
    assert mask.area == 400 and mask.is_cut


@pytest.mark.parametrize("counts, message", [
    ([2399], "add up"), ([-1, 2401], "negative"), ([1.5, 2398.5], "whole"), (None, ""), ("", "empty"), ("abc", ""), (7, ""),
])  # fmt: skip
def test_invalid_rle_is_reported(counts, message):
    mask, notes = check({"segmentation": {"size": list(SIZE), "counts": counts}})
    assert mask is None and set(notes) == {"segmentation_malformed"} and message in notes["segmentation_malformed"][0]


def test_rle_must_have_the_size_of_the_image():
    rle = encode_mask(np.ones((60, 40)))
    mask, notes = check({"segmentation": rle})
    assert mask is None
    assert "its RLE has size 60 x 40, the image 40 x 60 (height x width)" in notes["segmentation_malformed"][0]


@pytest.mark.parametrize("box, kind", [
    ([10, 5, 20], "box_malformed"), ("box", "box_malformed"), ([10, 5, float("nan"), 1], "box_malformed"),
    ([10, 5, 0, 20], "box_malformed"), ([10, 5, 20, 10**400], "box_malformed"), ([10, 5, True, 20], "box_malformed"),
    ([10, 5, 20, 24], "box_mismatch"), ([12, 7, 18, 18], None), ([13, 5, 17, 20], "box_mismatch"), (None, None),
])  # fmt: skip
def test_boxes(box, kind):
    _, notes = check({"segmentation": [SQUARE], "bbox": box})
    assert set(notes) == ({kind} if kind else set())


def test_box_may_be_clipped_although_the_outline_is_not():
    _, notes = check({"segmentation": [[-10, 5, 10, 5, 10, 25, -10, 25]], "bbox": [0, 5, 10, 20]})
    assert set(notes) == {"polygon_outside"}


@pytest.mark.parametrize("area, reported", [(400, False), (470, False), (330, False), (500, True), (300, True), (0, True)])
def test_areas(area, reported):
    # 400 pixels: a fifth is 80, half the perimeter 40
    assert ("area_mismatch" in check({"segmentation": [SQUARE], "area": area})[1]) == reported


def test_area_of_a_thin_outline_may_differ_from_its_pixel_count():
    # 30 x 0.4 = 12 square pixels; how many pixels it covers depends on its position
    mask, notes = check({"segmentation": [[10, 5.3, 40, 5.3, 40, 5.7, 10, 5.7]], "area": 12})
    assert mask.area == 30 and notes == {}
