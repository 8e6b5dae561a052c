import numpy as np
import pytest

from mrcnn.geometry.rle import encode_mask
from mrcnn.viz.draw import apply_mask, cut_mask, draw_box, draw_detections, to_rgb

NAMES = ["BG", "cat", "dog"]


@pytest.mark.parametrize(
    "image, expected",
    [
        (np.array([[7, 9]], np.uint8), [[7] * 3, [9] * 3]),
        (np.array([[[7], [9]]], np.uint8), [[7] * 3, [9] * 3]),
        (np.array([[[1, 2, 3, 4], [5, 6, 7, 8]]], np.uint8), [[1, 2, 3], [5, 6, 7]]),
        (np.array([[True, False]]), [[255] * 3, [0] * 3]),
        (np.array([[0.0, 1.0]]), [[0] * 3, [255] * 3]),
        (np.array([[0.0, 200.6]]), [[0] * 3, [201] * 3]),
        (np.array([[-5, 300]]), [[0] * 3, [255] * 3]),
        (np.array([[0, 65535]], np.uint16), [[0] * 3, [255] * 3]),
        (np.array([[np.nan, 0.5]]), [[0] * 3, [128] * 3]),
    ],
)
def test_to_rgb(image, expected):
    out = to_rgb(image)
    assert out.dtype == np.uint8 and out[0].tolist() == expected


def test_to_rgb_copies_images_and_rejects_other_arrays():
    image = np.zeros((4, 5, 3), np.uint8)
    assert not np.shares_memory(to_rgb(image), image)
    for bad in (np.zeros(3), np.zeros((0, 4)), np.zeros((2, 2, 2, 2))):
        with pytest.raises(ValueError, match="not an image: shape"):
            to_rgb(bad)


@pytest.mark.parametrize("form", [lambda m: m, lambda m: m.astype(np.uint8) * 7, encode_mask])
def test_cut_mask(form):
    mask = np.zeros((20, 30), bool)
    mask[5:8, 10:20] = True
    mask[6, 12] = False
    part, y1, x1 = cut_mask(form(mask))
    assert part.shape == (3, 10) and (y1, x1) == (5, 10) and part.dtype == bool
    assert not part[1, 2] and part.sum() == 29
    assert cut_mask(form(np.zeros((20, 30), bool)))[0].size == 0


def test_apply_mask_by_hand():
    image = np.full((4, 5, 3), 100, np.uint8)
    mask = np.zeros((4, 5), bool)
    mask[1, 2] = mask[2, 3] = True
    out = apply_mask(image, mask, (1.0, 0.0, 0.5))
    assert out is image  # in place
    assert image[1, 2].tolist() == image[2, 3].tolist() == [178, 50, 114]  # the means of 100 and 255, 0, 127.5
    image[mask] = 100
    assert (image == 100).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 4), (4, 5, 6)])
def test_apply_mask_with_any_number_of_channels(shape):
    image = np.zeros(shape, np.float32)
    apply_mask(image, np.eye(4, 5), (1.0, 1.0, 1.0), alpha=0.2)
    assert image[1, 1] == pytest.approx(51) and image[1, 2] == pytest.approx(0)


def test_apply_mask_that_is_empty_or_an_rle():
    image = np.full((4, 5, 3), 100, np.uint8)
    assert (apply_mask(image, np.zeros((4, 5)), (1, 1, 1)) == 100).all()
    assert apply_mask(image, encode_mask(np.ones((4, 5))), (1, 1, 1), alpha=1.0)[3, 4].tolist() == [255] * 3


def test_draw_box():
    image = np.zeros((12, 16, 3), np.uint8)
    assert draw_box(image, (2, 3, 10, 14), [1, 2, 3]) is image
    inside = image[2:10, 3:14]
    assert (inside[:2] == [1, 2, 3]).all() and (inside[-2:] == [1, 2, 3]).all()
    assert (inside[:, :2] == [1, 2, 3]).all() and (inside[:, -2:] == [1, 2, 3]).all()
    assert not inside[2:-2, 2:-2].any()
    inside[:] = 0
    assert not image.any()


@pytest.mark.parametrize("box", [(-5, -5, 40, 40), (3, 3, 4, 4), (5, 5, 5, 9), (30, 30, 40, 40), (-9, -9, -1, -1)])
def test_draw_box_at_and_beyond_the_edge(box):
    image = np.zeros((12, 16, 3), np.uint8)
    draw_box(image, box, 9)
    y1, x1, y2, x2 = np.clip(box, 0, [12, 16, 12, 16])
    assert image.any() == (y2 > y1 and x2 > x1)
    image[y1:y2, x1:x2] = 0
    assert not image.any()


def detections(size=(400, 600), form="dense"):
    masks = np.zeros((*size, 2), bool)
    masks[100:200, 100:300, 0] = True
    masks[250:300, 400:500, 1] = True
    return {
        "rois": np.array([[100, 100, 200, 300], [250, 400, 300, 500]], np.int32),
        "class_ids": np.array([1, 2], np.int32),
        "scores": np.array([0.6, 0.9], np.float32),
        "masks": masks if form == "dense" else [encode_mask(masks[:, :, i]) for i in range(2)],
    }


@pytest.mark.parametrize("shape", [(400, 600, 3), (400, 600), (400, 600, 4)])
def test_draw_detections(shape):
    image = np.full(shape, 100, np.uint8)
    out = draw_detections(image, detections(), NAMES, show_labels=False, alpha=0.5)
    assert out.shape == (400, 600, 3) and out.dtype == np.uint8 and (image == 100).all()
    # the instance with the higher score has the first color, vermilion (213, 94, 0)
    assert out[275, 450].tolist() == [156, 97, 50]
    assert out[150, 200].tolist() == [93, 140, 166]  # sky blue (86, 180, 233)
    assert out[250, 450].tolist() == [213, 94, 0]  # the edge of the box
    assert (out[:95] == 100).all() and (out[305:] == 100).all()


def test_rle_and_dense_masks_give_the_same_picture():
    image = np.full((400, 600, 3), 100, np.uint8)
    assert (draw_detections(image, detections(), NAMES) == draw_detections(image, detections(form="rle"), NAMES)).all()


def test_picture_is_independent_of_the_order_of_the_detections():
    image = np.full((400, 600, 3), 100, np.uint8)
    one = detections()
    other = {"rois": one["rois"][::-1], "class_ids": one["class_ids"][::-1], "scores": one["scores"][::-1]}
    other["masks"] = one["masks"][:, :, ::-1]
    assert (draw_detections(image, one, NAMES) == draw_detections(image, other, NAMES)).all()


def test_color_by_class_and_captions():
    image = np.full((400, 600, 3), 100, np.uint8)
    out = draw_detections(image, detections(), NAMES, color_by="class", show_labels=False, alpha=1.0)
    assert out[150, 200].tolist() == [213, 94, 0] and out[275, 450].tolist() == [86, 180, 233]
    calls = []
    draw_detections(image, detections(), NAMES, captions=lambda class_id, score: calls.append((int(class_id), score)) or "x")
    assert calls == [(2, pytest.approx(0.9)), (1, pytest.approx(0.6))]


def test_scores_below_the_minimum_and_padding_rows_are_not_drawn():
    image = np.full((400, 600, 3), 100, np.uint8)
    out = draw_detections(image, detections(), NAMES, min_score=0.7)
    assert (out[100:200, 100:300] == 100).all() and (out[250:300, 400:500] != 100).any()
    padded = detections()
    padded["rois"][0] = 0
    assert (draw_detections(image, padded, NAMES)[100:200, 100:300] == 100).all()


@pytest.mark.parametrize("masks", [np.zeros((400, 600, 0), bool), [], None])
def test_no_detections(masks):
    image = np.full((400, 600, 3), 100, np.uint8)
    nothing = {"rois": np.zeros((0, 4)), "class_ids": np.zeros(0, int), "scores": np.zeros(0), "masks": masks}
    assert (draw_detections(image, nothing, NAMES) == 100).all()


def test_ground_truth_without_scores_and_masks():
    image = np.full((400, 600, 3), 100, np.uint8)
    truth = {key: detections()[key] for key in ("rois", "class_ids")}
    out = draw_detections(image, truth, NAMES)
    assert (out != 100).any() and (out[150, 150:250] == 100).all()


def test_small_pictures_are_enlarged_by_a_whole_factor():
    small = detections((400, 600))
    small = {**small, "rois": small["rois"] // 10, "masks": small["masks"][::10, ::10]}
    image = np.full((40, 60, 3), 100, np.uint8)
    out = draw_detections(image, small, NAMES, show_labels=False, alpha=1.0)
    assert out.shape == (280, 420, 3)  # 7 x 60 is the first multiple of at least 384
    assert out[7 * 27, 7 * 45].tolist() == [213, 94, 0] and (out[:65] == 100).all()
    assert draw_detections(image, small, NAMES, min_side=0).shape == (40, 60, 3)


def test_different_numbers_of_boxes_and_masks_are_an_error():
    wrong = {**detections(), "class_ids": np.array([1])}
    with pytest.raises(ValueError, match="2 boxes, 1 class ids, 2 masks"):
        draw_detections(np.zeros((400, 600, 3)), wrong, NAMES)


def test_boxes_outside_and_one_pixel_masks():
    image = np.full((400, 600, 3), 100, np.uint8)
    odd = detections()
    odd["rois"] = np.array([[-50, -50, 900, 900], [399, 599, 400, 600]])
    odd["masks"][:] = False
    odd["masks"][399, 599, 1] = True
    assert draw_detections(image, odd, NAMES).shape == image.shape


def test_colours_and_captions_belong_to_their_instances():
    """The first row has the lowest score, so the instances are drawn in a different order."""
    image = np.zeros((40, 80, 3), np.uint8)
    result = {"rois": np.array([[5, 5, 20, 20], [0, 0, 0, 0], [5, 50, 20, 70]]), "class_ids": np.array([1, 0, 1]),
              "scores": np.array([0.3, 0.5, 0.9])}  # fmt: skip
    red, blue = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    drawn = draw_detections(image, result, colors=[red, (0, 1, 0), blue], show_labels=False, min_side=0)
    assert drawn[10, 5].tolist() == [255, 0, 0] and drawn[10, 50].tolist() == [0, 0, 255]
    only_third = {"rois": result["rois"][2:], "class_ids": [1], "scores": [0.9]}
    alone = draw_detections(image, only_third, captions=["x"], colors=[blue], min_side=0)
    both = draw_detections(image, result, captions=["", "", "x"], colors=[red, red, blue], min_side=0)
    np.testing.assert_array_equal(alone[:, 40:], both[:, 40:])
