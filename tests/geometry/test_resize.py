import numpy as np
import pytest

from mrcnn.geometry.resize import (
    DETECTION_RESIZE,
    TRAINING_RESIZE,
    apply_plan,
    plan_resize,
    resize,
    resize_image,
    resize_pixels,
    resize_pixels_exactly,
    resize_pixels_fast,
)


def image_of(height, width, channels=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 255, (height, width, channels)).astype(dtype)


def test_mode_none_changes_nothing():
    image = image_of(7, 5)
    same, window, scale, padding, crop = resize_image(image, 100, 100, 2, mode="none")
    np.testing.assert_array_equal(same, image)
    assert (window, scale, padding, crop) == ((0, 0, 7, 5), 1, [(0, 0), (0, 0), (0, 0)], None)


def test_square_scales_down_to_max_dim_and_centres():
    # 100 x 200 to at most 64: scale 0.32, 32 x 64, 16 rows of padding above and below
    resized, window, scale, padding, crop = resize_image(image_of(100, 200), min_dim=50, max_dim=64)
    assert resized.shape == (64, 64, 3) and resized.dtype == np.uint8
    assert scale == 0.32 and window == (16, 0, 48, 64) and crop is None
    assert padding == [(16, 16), (0, 0), (0, 0)]
    assert not resized[:16].any() and not resized[48:].any() and resized[16:48].any(axis=(1, 2)).all()


def test_square_scales_up_for_min_dim_only():
    # the short side grows from 20 to 30: scale 1.5, 30 x 60; of 33 padding rows the odd one is below, of 3 columns at the right
    resized, window, scale, padding, _ = resize_image(image_of(20, 40), min_dim=30, max_dim=63)
    assert scale == 1.5 and resized.shape == (63, 63, 3)
    assert window == (16, 1, 46, 61) and padding == [(16, 17), (1, 2), (0, 0)]


def test_min_scale_may_exceed_the_scale_for_min_dim():
    assert resize_image(image_of(20, 30), min_dim=20, max_dim=128, min_scale=2)[2] == 2
    assert resize_image(image_of(20, 30), min_dim=20, max_dim=45, min_scale=2)[2] == 1.5  # max_dim limits both


def test_pad64_pads_each_side_to_a_multiple():
    resized, window, scale, padding, _ = resize_image(image_of(70, 128), min_dim=64, mode="pad64")
    assert resized.shape == (128, 128, 3) and scale == 1
    assert window == (29, 0, 99, 128) and padding == [(29, 29), (0, 0), (0, 0)]


def test_pad64_does_not_change_multiples():
    image = image_of(64, 192)
    assert resize_image(image, min_dim=64, mode="pad64")[0].shape == (64, 192, 3)


def test_a_crop_is_a_part_of_the_scaled_image():
    image = image_of(40, 60)
    corners = set()
    for _ in range(50):
        part, window, scale, padding, (y, x, h, w) = resize_image(image, min_dim=32, mode="crop")
        assert part.shape == (32, 32, 3) and window == (0, 0, 32, 32) and scale == 1 and (h, w) == (32, 32)
        np.testing.assert_array_equal(part, image[y : y + 32, x : x + 32])
        corners.add((y, x))
    assert len(corners) > 10 and max(y for y, _ in corners) <= 8 and max(x for _, x in corners) <= 28


def test_a_crop_of_the_whole_image_is_allowed():
    assert resize_image(image_of(32, 32), min_dim=32, mode="crop")[4] == (0, 0, 32, 32)


def test_padding_does_not_change_the_pixels():
    image = image_of(33, 77)
    padded, (y1, x1, y2, x2), *_ = resize_image(image, min_dim=50, max_dim=128)
    np.testing.assert_array_equal(padded[y1:y2, x1:x2], resize_pixels(image, (y2 - y1, x2 - x1)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_any_dtype_and_number_of_channels(dtype, channels):
    image = image_of(20, 30, channels, dtype)
    resized = resize_image(image, min_dim=40, max_dim=64)[0]
    assert resized.shape == (64, 64, channels) and resized.dtype == dtype
    each = [resize_image(image[..., i : i + 1], min_dim=40, max_dim=64)[0] for i in range(channels)]
    np.testing.assert_allclose(resized, np.concatenate(each, axis=2), atol=1)


@pytest.mark.parametrize("size", [(50, 70), (24, 72), (12, 18), (100, 20)])
def test_pixels_equal_those_of_scikit_image_truncated_including_the_borders(size):
    image = image_of(24, 36)
    ours = resize_pixels(image, size)
    theirs = resize(image, size, preserve_range=True).astype(np.uint8)
    off = np.abs(ours.astype(int) - theirs)
    # a value that is whole up to rounding may be truncated to either side
    assert off.max() <= 1 and (off > 0).mean() < 0.01


def test_an_enlarged_image_fades_into_black_over_half_a_source_pixel():
    image = np.full((2, 3), 100, np.uint8)
    # of the four rows per source row, the outermost is 3/8 of a source pixel beyond its centre, and the next one 1/8
    assert resize_pixels(image, (8, 3))[:, 1].tolist() == [62, 87, 100, 100, 100, 100, 87, 62]


def test_resizing_a_bool_mask_gives_fractions():
    half = resize(np.array([[True, False]]), (1, 2), order=1)
    assert half.dtype == np.float64 and half[0, 0] == 1 and half[0, 1] == 0


def test_a_one_pixel_image():
    resized, window, scale, _, _ = resize_image(image_of(1, 1), min_dim=8, max_dim=8)
    assert resized.shape == (8, 8, 3) and window == (0, 0, 8, 8) and scale == 8


def test_resized_side_is_at_least_one_pixel():
    assert plan_resize((1, 4000), max_dim=64).resized == (1, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "squeeze"}, "squeeze.*none, square, pad64, crop"),
        ({"mode": "square"}, "needs max_dim"),
        ({"mode": "crop"}, "needs min_dim"),
        ({"mode": "pad64", "min_dim": 100}, "multiple of 64, but it is 100"),
    ],
)
def test_invalid_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        resize_image(image_of(8, 8), **arguments)


@pytest.mark.parametrize("mode", ["square", "pad64", "crop"])
@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint8), (6, np.float32), (3, np.int32)])
def test_fast_resizing_gives_nearly_the_same_pixels(mode, channels, dtype):
    image = image_of(50, 70, channels, dtype)
    plan = plan_resize((50, 70), min_dim=64, max_dim=128, mode=mode, rng=np.random.default_rng(0))
    quick, exact = (apply_plan(image, plan, q).astype(float) for q in (resize_pixels_fast, resize_pixels_exactly))
    assert quick.shape == exact.shape
    y1, x1, y2, x2 = plan.window
    assert np.abs(quick - exact)[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].max() <= 1 or plan.crop
    assert np.abs(quick - exact).mean() < 2
    outside = np.ones(plan.size, bool)
    outside[y1:y2, x1:x2] = False
    assert not quick[outside].any()


@pytest.mark.parametrize(
    ("size", "mode"),
    [((50, 70), "square"), ((70, 50), "pad64"), ((50, 70), "crop"), ((64, 64), "crop"), ((64, 64), "none"),
     ((40, 40), "square"), ((128, 128), "square")],
)  # fmt: skip
def test_every_pixel_of_out_is_written(size, mode):
    image = image_of(*size, 3, np.uint8)
    plan = plan_resize(size, min_dim=64, max_dim=128, mode=mode, rng=np.random.default_rng(0))
    expected = apply_plan(image, plan, resize_pixels_fast)
    out = np.full(expected.shape, 77, np.uint8)
    assert apply_plan(image, plan, resize_pixels_fast, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_detectron2_averages_over_the_pixels_that_a_smaller_one_covers(channels):
    """Half the width: weights 0.75, 0.75 and 0.25 of the pixels 0.5, 0.5 and 1.5 from the centre, 1.75 in all."""
    image = np.repeat(np.array([[0, 100, 200, 40]], np.uint8)[..., None], channels, axis=2)
    plan = plan_resize((1, 4), max_dim=2, mode="square", in_corner=True)
    assert plan.resized == (1, 2)
    for method, expected in (("detectron2", [71, 117]), ("opencv", [50, 120])):
        for resize_by in (DETECTION_RESIZE, TRAINING_RESIZE):  # 125 / 1.75 and 205 / 1.75
            smaller = apply_plan(image, plan, resize_by[method])
            assert smaller.dtype == np.uint8 and smaller.shape == (2, 2, channels)
            assert smaller[0, :, 0].tolist() == expected and not smaller[1].any()


def test_detectron2_resizes_what_pillow_does_not_take_without_smoothing():
    for image in (image_of(9, 14, 3, np.float32), image_of(9, 14, 5, np.uint8)):
        plan = plan_resize((9, 14), max_dim=8)
        ours, quick = (apply_plan(image, plan, DETECTION_RESIZE[method]) for method in ("detectron2", "opencv"))
        np.testing.assert_array_equal(ours, quick)
