"""Values that differ from the COCO format are converted if their meaning is unique; others are rejected later."""
import json

import pytest

from mrcnn.datasets.annotation_mending import mended_fields

SIZE = (64, 96)
RING = [10, 10, 40, 10, 40, 40, 10, 40]
POINTS = [[10, 10], [40, 10], [40, 40], [10, 40]]
OTHER = [50, 10, 60, 10, 60, 20]
WITHIN = [20, 20, 30, 20, 30, 30]


def read(field, value, size=SIZE):
    """Return the converted value, or the value itself if it is not converted."""
    return mended_fields({field: value}, size).get(field, (value, ""))[0]


@pytest.mark.parametrize("written", [
    RING, [[RING]], [[[RING]]], POINTS, [POINTS], [[POINTS]], json.dumps([RING]), json.dumps(RING), json.dumps([POINTS]),
    [list(map(str, RING))], list(map(str, RING)), [[str(x), str(y)] for x, y in POINTS], [[10.0, "1e1", *RING[2:]]],
], ids=str)  # fmt: skip
def test_polygon_in_many_forms(written):
    assert read("segmentation", written) == [RING]


def test_several_polygons_nested_too_deeply():
    assert read("segmentation", [[RING, OTHER]]) == read("segmentation", [[RING], [OTHER]]) == [RING, OTHER]
    assert read("segmentation", [POINTS, [[50, 10], [60, 10], [60, 20]]]) == [RING, OTHER]


@pytest.mark.parametrize("written", [
    [RING], [RING, WITHIN], [RING, [1, 2]], [[1, 2]], [[1, 2], [3, 4]], [], [[]],  # in COCO format, valid or invalid
    [[RING, WITHIN]], [[WITHIN, RING]], [POINTS, [[20, 20], [30, 20], [30, 30]]],  # WITHIN may be a part or a hole
    [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[None] * 6], [[*RING, None]], [RING, None], [["10,5"] * 6], [[True] * 6],
    [[{"x": 1, "y": 2}] * 3], "all of it", "", "10 10 40 10 40 40", "7", "null", 7, None, [[float("inf")] * 6], ["x"] * 6,
], ids=str)  # fmt: skip
def test_values_without_a_unique_meaning_are_unchanged(written):
    assert "segmentation" not in mended_fields({"segmentation": written}, SIZE)


def test_rles():
    rle = {"size": [64, 96], "counts": [650, 31, 5463]}
    floats = {"size": [64.0, 96.0], "counts": [650.0, 31, 5463.0]}
    for written in (floats, [rle], json.dumps(rle), [floats]):
        assert read("segmentation", written) == rle
    for left in (rle, {**rle, "counts": "abc"}, {**rle, "counts": [1.5]}, {"size": [64.0], "counts": [0.5]}, [rle, rle], {}):
        assert "segmentation" not in mended_fields({"segmentation": left}, SIZE)


@pytest.mark.parametrize("area", [-1, "900", [900], True, float("nan"), float("inf"), 1e300, 10**400, 65 * 97 + 1, {}])
def test_unusable_areas(area):
    assert read("area", area) is None


@pytest.mark.parametrize("area", [None, 0, 900, 900.5, 64 * 96, 65 * 97])
def test_usable_areas(area):
    assert mended_fields({"area": area}, SIZE) == {}


@pytest.mark.parametrize("box", [
    [1, 2, 3], [1, 2, 3, 4, 0], [1, 2, 0, 3], [1, 2, 3, -4], [None] * 4, "1,2,3,4", [1, 2, 3, "4"], [True] * 4, {"x": 1}, 7,
    [1e300, 0, 1, 1], [0, 0, 10**400, 1], [0, 0, 961, 1], [float("nan")] * 4,
])  # fmt: skip
def test_unusable_boxes(box):
    assert read("bbox", box) is None


@pytest.mark.parametrize("box", [None, [], [1, 2, 3, 4], [-5.5, 2, 3, 4], [0, 0, 900, 300]])
def test_usable_boxes(box):
    assert mended_fields({"bbox": box}, SIZE) == {}


def test_areas_and_boxes_of_an_image_of_unknown_size():
    assert read("area", 1e9, None) == 1e9 and read("bbox", [0, 0, 1e9, 1], None) == [0, 0, 1e9, 1]
    assert read("area", -1, None) is None and read("bbox", [0, 0, 1], None) is None


@pytest.mark.parametrize("written, crowd", [("0", 0), ("1", 1), ("true", 1), ("False", 0), (" 1 ", 1), ("1.0", 1)])
def test_crowds_in_text(written, crowd):
    assert read("iscrowd", written) == crowd


@pytest.mark.parametrize("crowd", [None, 0, 1, True, False, 1.0, 2, "2", "yes", "", [1], {}])
def test_other_crowds_are_unchanged(crowd):
    assert mended_fields({"iscrowd": crowd}, SIZE) == {}
