from dataclasses import replace

import numpy as np
import pytest

from mrcnn.inference.mold import MoldSettings, batches_of_one_size, fit_input, mold_inputs, to_channels

MEAN = np.array([123.7, 116.8, 103.9])
SETTINGS = MoldSettings(MEAN.astype(np.float32), resize_mode="square", min_dim=64, max_dim=128, min_scale=0, num_classes=5)


@pytest.mark.parametrize(
    "image, expected",
    [
        (np.array([[7, 9]], np.uint8), [7, 9]),  # grey
        (np.array([[[7], [9]]], np.uint8), [7, 9]),  # grey with an axis
        (np.array([[[7, 255], [9, 0]]], np.uint8), [7, 9]),  # grey and alpha
        (np.array([[True, False]]), [255, 0]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[257 * 10 + 128, 257 * 10 + 129]], np.uint16), [10, 11]),  # rounds to the nearest level
        (np.array([[7, 9]], np.int64), [7, 9]),
    ],
)
def test_grey_kinds_become_colour(image, expected):
    out = to_channels(image, 3)
    assert out.dtype == np.uint8 and out.shape == (1, 2, 3)
    assert out[0, :, 0].tolist() == expected
    assert (out == out[:, :, :1]).all()


def test_colour_is_left_alone_and_alpha_dropped():
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    assert (to_channels(colour, 3) == colour[:, :, :3]).all()
    assert (to_channels(colour[:, :, :3], 3) == colour[:, :, :3]).all()


def test_floats_keep_their_values():
    image = np.array([[0.0, 254.6]])
    out = to_channels(image, 3)
    assert out.dtype == np.float32
    assert out[0, 1].tolist() == pytest.approx([254.6] * 3)


def test_colour_to_grey_by_luma():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    out = to_channels(image, 1)
    assert out.shape == (1, 4, 1)
    assert out[0, :, 0].tolist() == [54, 182, 18, 255]  # 255 * (0.2125, 0.7154, 0.0721)


def test_other_numbers_of_channels_keep_their_values():
    depth = np.full((4, 6, 5), 3000, np.uint16)
    out = to_channels(depth, 5)
    assert out.dtype == np.float32 and (out == 3000).all()
    with pytest.raises(ValueError, match="has 3 channels.*expected 5"):
        to_channels(np.zeros((4, 6, 3), np.uint8), 5)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros(3), "not an image"),
        (np.zeros((1, 4, 4, 3)), "not an image"),
        (np.zeros((0, 4, 3), np.uint8), "without pixels"),
        (np.zeros((4, 4, 7), np.uint8), "has 7 channels"),
        (np.full((4, 4), 4000, np.int32), "0..255"),
        (np.full((4, 4), -1, np.int16), "0..255"),
        (np.zeros((4, 4), complex), "complex"),
    ],
)
def test_an_array_that_is_not_an_image_raises(image, message):
    with pytest.raises(ValueError, match=message):
        to_channels(image, 3)


def test_padding_and_window_of_an_image():
    image = np.full((48, 96, 3), 200, np.uint8)
    fitted, meta, window = fit_input(image, SETTINGS, image_id=7)
    (molded,), _, _ = mold_inputs([image], SETTINGS)
    assert fitted.dtype == np.uint8 and fitted[64, 64].tolist() == [200] * 3 and not fitted[0].any()
    # scale: 64 / 48 = 1.333 for the shorter side, and the longer one becomes 128: it fits
    assert molded.shape == (128, 128, 3)
    assert tuple(window) == (32, 0, 96, 128)
    assert molded[64, 64].tolist() == pytest.approx([76.3, 83.2, 96.1], abs=1e-3)
    assert molded[0, 0].tolist() == pytest.approx((-MEAN).tolist(), abs=1e-3)
    assert meta.shape == (17,)
    expected = [7, 48, 96, 3, 128, 128, 3, 32, 0, 96, 128, 64 / 48, 1, 1, 1, 1, 1]
    assert np.asarray(meta).tolist() == pytest.approx(expected)


def test_mold_inputs_takes_a_mixture():
    images = [np.zeros((48, 96), np.uint8), np.zeros((90, 30, 4), np.uint16), np.zeros((1, 1, 3))]
    molded, metas, windows = mold_inputs(images, SETTINGS)
    assert [m.shape for m in molded] == [(128, 128, 3)] * 3
    assert metas.shape == (3, 17) and windows.shape == (3, 4)


def test_a_batch_equals_its_images_one_by_one():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 70, 3), dtype=np.uint8), rng.integers(0, 256, (70, 40, 3), dtype=np.uint8)]
    molded, metas, windows = mold_inputs(images, SETTINGS)
    for ix, image in enumerate(images):
        (one,), (meta,), (window,) = mold_inputs([image], SETTINGS)
        assert (one == molded[ix]).all() and (meta == metas[ix]).all() and tuple(window) == tuple(windows[ix])


def test_mold_inputs_names_the_image_at_fault_and_accepts_an_empty_list():
    with pytest.raises(ValueError, match=r"images\[1\].*7 channels"):
        mold_inputs([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 7), np.uint8)], SETTINGS)
    molded, metas, windows = mold_inputs([], SETTINGS)
    assert molded == [] and metas.shape == (0, 17) and windows.shape == (0, 4)


def test_crop_mode_takes_the_whole_image():
    settings = replace(SETTINGS, resize_mode="crop", min_scale=2.0)
    molded, _, window = fit_input(np.zeros((50, 70, 3), np.uint8), settings)
    assert molded.shape[0] % 64 == 0 and molded.shape[1] % 64 == 0
    assert (window[2] - window[0], window[3] - window[1]) == (100, 140)


@pytest.mark.parametrize("mode, expected", [
    # one square for all: two batches of bytes, one of floats
    ("square", [[0, 1, 2], [3, 5], [4]]),
    # 64 x 64, 64 x 128 and 128 x 64 pixels, of bytes and of floats
    ("pad64", [[0, 5], [4], [2], [1, 3]]),
])  # fmt: skip
def test_batches_are_of_one_size_and_dtype_and_known_before_any_pixel_is_touched(mode, expected):
    kinds = [((50, 60, 3), np.uint8), ((100, 60, 3), bool), ((60, 100), np.uint16), ((90, 64, 4), np.int64),
             ((60, 60, 3), np.float64), ((64, 64), np.uint8)]  # fmt: skip
    images = [np.zeros(shape, dtype) for shape, dtype in kinds]
    settings = replace(SETTINGS, resize_mode=mode, min_dim=0)
    batches = batches_of_one_size(images, settings, 3)
    assert sorted(map(sorted, batches)) == sorted(map(sorted, expected))
    for positions in batches:
        fitted = [fit_input(images[position], settings)[0] for position in positions]
        assert len({(image.shape, image.dtype) for image in fitted}) == 1
    # a network of four channels takes the values as they are: only uint8 stays
    four = replace(settings, mean_pixel=np.zeros(4, np.float32))
    images = [np.zeros((64, 64, 4), dtype) for dtype in (np.uint8, np.uint16, np.float32)]
    assert sorted(batches_of_one_size(images, four, 3)) == [[0], [1, 2]]
