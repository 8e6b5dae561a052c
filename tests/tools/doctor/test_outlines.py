"""What is said of one annotation, with the numbers; the damages of a whole set are in test_doctor."""
import numpy as np
import pytest

from mrcnn.geometry.rle import decode_rle, encode_mask
from mrcnn.tools.doctor.outlines import look_at

SIZE = (40, 60)
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


def look(annotation, size=SIZE):
    """Returns: (Drawn or None, {kind: (found, severity, weight)})."""
    notes = {}

    def note(kind, found, severity=None, weight=0):
        notes[kind] = found, severity, weight

    return look_at(annotation, size, note), notes


def test_a_healthy_annotation():
    drawn, notes = look({"segmentation": [SQUARE], "bbox": [10, 5, 20, 20], "area": 400})
    assert notes == {} and drawn.area == 400 and drawn.box == (5, 10, 25, 30) and not drawn.is_cut


def test_area_and_box_of_the_part_inside():
    drawn, notes = look({"segmentation": [[-10, 5, 10, 5, 10, 25, -10, 25]], "bbox": [-10, 5, 20, 20], "area": 400})
    assert set(notes) == {"polygon_outside", "box_outside"} and drawn.is_cut
    assert notes["polygon_outside"][0] == "its outline reaches 10 pixels out of the image of 40 x 60 (height x width)"
    assert drawn.area == 200 and drawn.box == (5, 0, 25, 10)
    np.testing.assert_array_equal(decode_rle(drawn.rle).nonzero()[1].max(), 9)


@pytest.mark.parametrize("dx, told", [(0.9, False), (1.1, True)])
def test_a_pixel_beyond_the_border_is_rounding(dx, told):
    _, notes = look({"segmentation": [[40, 5, 60 + dx, 5, 60 + dx, 25, 40, 25]], "bbox": [40, 5, 20 + dx, 20]})
    assert ("polygon_outside" in notes) == ("box_outside" in notes) == told


@pytest.mark.parametrize("segmentation", [[[100, 5, 120, 5, 120, 25]], [[10, -30, 30, -30, 30, -5]]])
def test_wholly_outside_is_an_error(segmentation):
    drawn, notes = look({"segmentation": segmentation})
    assert drawn is None and notes["polygon_outside"][1] == "error"


def test_good_polygons_of_an_instance_outlive_the_bad_ones():
    drawn, notes = look({"segmentation": [[1, 2, 3, 4], SQUARE, [1, 2, 3, 4, 5, float("nan")]]})
    assert notes == {"segmentation_malformed": (
        "polygon 0 has 4 numbers, expected at least three x, y pairs, and so for 1 more", None, 0)}  # fmt: skip
    assert drawn.area == 400 and drawn.is_cut


@pytest.mark.parametrize("counts, said", [
    ([2399], "add up"), ([-1, 2401], "negative"), ([1.5, 2398.5], "whole"), (None, ""), ("", "empty"), ("abc", ""), (7, ""),
])  # fmt: skip
def test_rles_that_would_harm(counts, said):
    drawn, notes = look({"segmentation": {"size": list(SIZE), "counts": counts}})
    assert drawn is None and set(notes) == {"segmentation_malformed"} and said in notes["segmentation_malformed"][0]


def test_an_rle_is_held_against_the_size_of_the_image():
    rle = encode_mask(np.ones((60, 40)))
    drawn, notes = look({"segmentation": rle})
    assert drawn is None
    assert "its RLE is of size 60 x 40, and the image of 40 x 60 (height x width)" in notes["segmentation_malformed"][0]


@pytest.mark.parametrize("box, kind", [
    ([10, 5, 20], "box_malformed"), ("box", "box_malformed"), ([10, 5, float("nan"), 1], "box_malformed"),
    ([10, 5, 0, 20], "box_malformed"), ([10, 5, 20, 10**400], "box_malformed"), ([10, 5, True, 20], "box_malformed"),
    ([10, 5, 20, 24], "box_mismatch"), ([12, 7, 18, 18], None), ([13, 5, 17, 20], "box_mismatch"), (None, None),
])  # fmt: skip
def test_boxes(box, kind):
    _, notes = look({"segmentation": [SQUARE], "bbox": box})
    assert set(notes) == ({kind} if kind else set())


def test_a_box_may_end_at_the_border_where_its_outline_does_not():
    _, notes = look({"segmentation": [[-10, 5, 10, 5, 10, 25, -10, 25]], "bbox": [0, 5, 10, 20]})
    assert set(notes) == {"polygon_outside"}


@pytest.mark.parametrize("area, told", [(400, False), (470, False), (330, False), (500, True), (300, True), (0, True)])
def test_areas(area, told):
    # 400 pixels: a fifth of it is 80, and half of the way around it 40
    assert ("area_mismatch" in look({"segmentation": [SQUARE], "area": area})[1]) == told


def test_outlines_of_thin_things_need_not_have_the_area_of_their_pixels():
    # 30 x 0.4 = 12 square pixels; whether pixels are met depends on where it lies
    drawn, notes = look({"segmentation": [[10, 5.3, 40, 5.3, 40, 5.7, 10, 5.7]], "area": 12})
    assert drawn.area == 30 and notes == {}
