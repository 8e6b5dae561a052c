import numpy as np
import pytest

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.polygons import rasterize_polygons
from mrcnn.geometry.rasterize import (
    Frame,
    PolygonInstance,
    as_instance,
    box_in_frame,
    draw_instance,
    move_instance,
    split_masks,
)
from mrcnn.geometry.resize import plan_resize
from mrcnn.geometry.rle import encode_mask

SIZE = (60, 100)
# an L with its corners on whole pixels
L_SHAPE = [[10, 8, 30, 8, 30, 20, 70, 20, 70, 40, 10, 40]]


def instance_in_every_format():
    mask = rasterize_polygons(L_SHAPE, SIZE)
    return [as_instance(form, SIZE) for form in (L_SHAPE, encode_mask(mask), mask, np.asarray(mask))]


def test_a_box_by_hand():
    # scaled by 2, shifted by 3 down and 5 to the right
    frame = Frame(SIZE, (128, 256), (2.0, 2.0), (3, 5))
    for part in instance_in_every_format():
        assert box_in_frame(part, frame) == (8 * 2 + 3, 10 * 2 + 5, 40 * 2 + 3, 70 * 2 + 5)


def test_a_mini_mask_by_hand():
    # the box is 32 high and 60 wide; the notch of the L is 12 down and 20 to the right: 3 of 8 rows and 4 of 12 columns
    expected = np.ones((8, 12), bool)
    expected[:3, 4:] = False
    for frame in (Frame(SIZE, SIZE, (1.0, 1.0), (0, 0)), Frame(SIZE, (256, 256), (2.0, 2.0), (7, 9))):
        for part in instance_in_every_format():
            np.testing.assert_array_equal(draw_instance(part, frame, box_in_frame(part, frame), (8, 12)), expected)


@pytest.mark.parametrize("flips", [(False, True), (True, False), (True, True)])
def test_flipped_frame_flips_boxes_and_masks(flips):
    frame = Frame(SIZE, (128, 256), (2.0, 2.0), (3, 5))
    step = (-1 if flips[0] else 1, -1 if flips[1] else 1)
    for part in instance_in_every_format():
        straight = np.zeros(frame.size, bool)
        y1, x1, y2, x2 = box = box_in_frame(part, frame)
        straight[y1:y2, x1:x2] = draw_instance(part, frame, box, (y2 - y1, x2 - x1))
        flipped = np.zeros(frame.size, bool)
        y1, x1, y2, x2 = box = box_in_frame(part, frame.flipped(*flips))
        flipped[y1:y2, x1:x2] = draw_instance(part, frame.flipped(*flips), box, (y2 - y1, x2 - x1))
        np.testing.assert_array_equal(flipped, straight[:: step[0], :: step[1]])


@pytest.mark.parametrize("mode", ["none", "square", "pad64", "crop"])
def test_formats_agree_in_every_resize_mode(mode):
    plan = plan_resize(SIZE, min_dim=64, max_dim=96, mode=mode, rng=np.random.default_rng(3))
    frame = Frame.of_plan(plan)
    assert frame.size == plan.size
    outline = [[13, 9, 61, 4, 88, 30, 52, 55, 20, 41]]
    mask = rasterize_polygons(outline, SIZE)
    parts = [as_instance(form, SIZE) for form in (outline, encode_mask(mask), mask)]
    boxes = [box_in_frame(part, frame) for part in parts]
    assert np.abs(np.subtract(boxes, boxes[0])).max() <= 1
    drawn = [draw_instance(part, frame, boxes[0], (28, 28)) for part in parts]
    np.testing.assert_array_equal(drawn[1], drawn[2])
    assert (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum() > 0.93


def test_an_instance_cut_by_the_border_has_the_box_of_its_visible_part():
    # a triangle whose wide base is below the frame, so that only its narrow tip is visible
    part = PolygonInstance.of([[50, 0, 100, 100, 0, 100]])
    frame = Frame((100, 100), (20, 100), (1.0, 1.0), (0, 0))
    y1, x1, y2, x2 = box = box_in_frame(part, frame)
    full = rasterize_polygons(part.polygons, (20, 100))
    np.testing.assert_array_equal(box, extract_bboxes(full[:, :, None])[0])
    assert x2 - x1 <= 20
    np.testing.assert_array_equal(draw_instance(part, frame, box, (y2 - y1, x2 - x1)), full[y1:y2, x1:x2])


def test_an_instance_outside_or_smaller_than_a_pixel_has_no_box():
    frame = Frame(SIZE, (30, 50), (0.5, 0.5), (-100, 0))
    assert all(box_in_frame(part, frame) is None for part in instance_in_every_format())
    speck = PolygonInstance.of([[10.1, 10.1, 10.3, 10.1, 10.3, 10.3]])
    assert box_in_frame(speck, Frame(SIZE, SIZE, (1.0, 1.0), (0, 0))) is None


def test_an_instance_too_thin_for_any_pixel_centre_is_still_drawn():
    wire = PolygonInstance.of([[10, 10, 90, 50, 90.01, 50]])
    frame = Frame(SIZE, SIZE, (1.0, 1.0), (0, 0))
    assert draw_instance(wire, frame, box_in_frame(wire, frame), (4, 4)).any()


def test_dense_masks_are_cropped_one_by_one():
    masks = np.zeros((*SIZE, 3), np.uint8)
    masks[5:9, 20:40, 0] = masks[59, 99, 2] = 255
    parts = split_masks(masks)
    assert [part.bounds for part in parts] == [(5, 20, 9, 40), (0, 0, 0, 0), (59, 99, 60, 100)]
    frame = Frame(SIZE, SIZE, (1.0, 1.0), (0, 0))
    assert [box_in_frame(part, frame) for part in parts] == [(5, 20, 9, 40), None, (59, 99, 60, 100)]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (np.ones((100, 60), bool), r"mask is of size \(100, 60\), but its image is of size \(60, 100\)"),
        ({"size": [100, 60], "counts": [6000]}, r"mask is of size \(100, 60\), but its image is of size \(60, 100\)"),
        ([[1, 2, 3, 4]], "has 4 numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite numbers"),
        ([["a", "b", "c", "d", "e", "f"]], "could not convert"),
        ([], "list of polygons, an RLE dict or a bool array"),
        ("circle", "list of polygons, an RLE dict or a bool array"),
    ],
)
def test_invalid_segmentation_is_an_error(segmentation, message):
    with pytest.raises(ValueError, match=message):
        as_instance(segmentation, SIZE)


def test_a_frame_maps_boxes_by_hand():
    # 60 x 100 resized to 30 x 50, and padded to 50 x 50 with 10 rows above
    frame = Frame.of_plan(plan_resize(SIZE, min_dim=20, max_dim=50, mode="square"))
    assert frame == Frame(SIZE, (50, 50), (0.5, 0.5), (10, 0))
    assert frame.place((10, 20, 30, 60)) == (15, 10, 25, 30)
    # flipped vertically, row 15 becomes 50 - 15, and the upper edge of the box its lower edge
    assert frame.flipped(True, False).place((10, 20, 30, 60)) == (25, 10, 35, 30)
    assert Frame.of_input((7, 9)).place((1, 2, 3, 4)) == (1, 2, 3, 4)


# 90 degrees: (x, y) to (70 - y, x)
QUARTER_TURN = np.array([[0.0, -1, 70], [1, 0, 0]])


def test_instances_are_moved_by_hand():
    # the L has rows 8..40 and columns 10..70, and its notch at the upper right; after a clockwise turn it is at the lower right
    frame, after = Frame(SIZE, (80, 100), (1.0, 1.0), (0, 0)), Frame.of_input((80, 100))
    expected = np.ones((60, 32), bool)
    expected[20:, 20:] = False
    for instance in instance_in_every_format():
        moved = move_instance(instance, frame, QUARTER_TURN)
        assert type(moved) is type(instance)
        assert box_in_frame(moved, after) == (10, 70 - 40, 70, 70 - 8)
        np.testing.assert_array_equal(draw_instance(moved, after, (10, 30, 70, 62), (60, 32)), expected)


def test_parts_beyond_the_border_are_not_moved_inside():
    # the L has rows 8..40, and the input shows the first 20 rows; what is below must not appear when the L moves up by 10
    frame, after = Frame(SIZE, (20, 100), (1.0, 1.0), (0, 0)), Frame.of_input((20, 100))
    up = np.array([[1.0, 0, 0], [0, 1, -10]])
    for instance in instance_in_every_format():
        assert box_in_frame(move_instance(instance, frame, up), after) == (0, 10, 10, 30)
        # an input of 5 rows shows no part of it
        assert move_instance(instance, Frame(SIZE, (5, 100), (1.0, 1.0), (0, 0)), up) is None
