from dataclasses import replace

import numpy as np
import pytest

from mrcnn.inference.mold import MoldSettings, batches_of_one_size, fit_input, images_out_of_range, mold_inputs, padded_side

MEAN = np.array([123.7, 116.8, 103.9])
SETTINGS = MoldSettings(MEAN.astype(np.float32), resize_mode="square", min_dim=64, max_dim=128, min_scale=0, num_classes=5)


def test_padding_and_window_of_an_image():
    image = np.full((48, 96, 3), 200, np.uint8)
    fitted, meta, window = fit_input(image, SETTINGS, image_id=7)
    (molded,), _, _ = mold_inputs([image], SETTINGS)
    assert fitted.dtype == np.uint8 and fitted[64, 64].tolist() == [200] * 3 and not fitted[0].any()
    # scale 64 / 48 = 1.333 for the shorter side; the longer side becomes 128, which fits
    assert molded.shape == (128, 128, 3)
    assert tuple(window) == (32, 0, 96, 128)
    assert molded[64, 64].tolist() == pytest.approx([76.3, 83.2, 96.1], abs=1e-3)
    assert molded[0, 0].tolist() == pytest.approx((-MEAN).tolist(), abs=1e-3)
    assert meta.shape == (17,)
    expected = [7, 48, 96, 3, 128, 128, 3, 32, 0, 96, 128, 64 / 48, 1, 1, 1, 1, 1]
    assert np.asarray(meta).tolist() == pytest.approx(expected)


def test_mold_inputs_accepts_images_of_different_kinds():
    images = [np.zeros((48, 96), np.uint8), np.zeros((90, 30, 4), np.uint16), np.zeros((1, 1, 3))]
    molded, metas, windows = mold_inputs(images, SETTINGS)
    assert [m.shape for m in molded] == [(128, 128, 3)] * 3
    assert metas.shape == (3, 17) and windows.shape == (3, 4)


def test_batch_equals_its_images_molded_separately():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 70, 3), dtype=np.uint8), rng.integers(0, 256, (70, 40, 3), dtype=np.uint8)]
    molded, metas, windows = mold_inputs(images, SETTINGS)
    for ix, image in enumerate(images):
        (one,), (meta,), (window,) = mold_inputs([image], SETTINGS)
        assert (one == molded[ix]).all() and (meta == metas[ix]).all() and tuple(window) == tuple(windows[ix])


def test_mold_inputs_names_the_invalid_image_and_accepts_an_empty_list():
    with pytest.raises(ValueError, match=r"images\[1\].*7 channels"):
        mold_inputs([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 7), np.uint8)], SETTINGS)
    molded, metas, windows = mold_inputs([], SETTINGS)
    assert molded == [] and metas.shape == (0, 17) and windows.shape == (0, 4)


def test_crop_mode_keeps_the_whole_image():
    settings = replace(SETTINGS, resize_mode="crop", min_scale=2.0)
    molded, _, window = fit_input(np.zeros((50, 70, 3), np.uint8), settings)
    assert molded.shape[0] % 64 == 0 and molded.shape[1] % 64 == 0
    assert (window[2] - window[0], window[3] - window[1]) == (100, 140)


@pytest.mark.parametrize("mode, expected", [
    # one square size for all: two batches of bytes, one of floats
    ("square", [[0, 1, 2], [3, 5], [4]]),
    # 64 x 64, 64 x 128 and 128 x 64 pixels, of bytes and of floats
    ("pad64", [[0, 5], [4], [2], [1, 3]]),
])  # fmt: skip
def test_batches_have_one_size_and_dtype(mode, expected):
    kinds = [((50, 60, 3), np.uint8), ((100, 60, 3), bool), ((60, 100), np.uint16), ((90, 64, 4), np.int64),
             ((60, 60, 3), np.float64), ((64, 64), np.uint8)]  # fmt: skip
    images = [np.zeros(shape, dtype) for shape, dtype in kinds]
    settings = replace(SETTINGS, resize_mode=mode, min_dim=0)
    batches = batches_of_one_size(images, settings, 3)
    assert sorted(map(sorted, batches)) == sorted(map(sorted, expected))
    for positions in batches:
        fitted = [fit_input(images[position], settings)[0] for position in positions]
        assert len({(image.shape, image.dtype) for image in fitted}) == 1
    # a network with four channels uses the values unchanged, so only uint8 stays uint8
    four = replace(settings, mean_pixel=np.zeros(4, np.float32))
    images = [np.zeros((64, 64, 4), dtype) for dtype in (np.uint8, np.uint16, np.float32)]
    assert sorted(batches_of_one_size(images, four, 3)) == [[0], [1, 2]]


@pytest.mark.parametrize("side, padded", [
    (64, 64), (448, 448), (512, 512), (576, 640), (640, 640), (1024, 1024), (1088, 1280), (1984, 2048), (2112, 2560),
    (100, 100)])
def test_sides_are_padded_to_few_sizes(side, padded):
    assert padded_side(side) == padded


def test_there_are_few_padded_sizes():
    assert len({padded_side(side) for side in range(64, 2049, 64)}) == 8 + 4 + 4


@pytest.mark.parametrize("mode, size, fitted_size, window", [
    # 530 x 70 is scaled to nothing else; pad64 centres it in 576 x 128, and further padding leaves it there
    ("pad64", (530, 70), (640, 128), (23, 29, 553, 99)), ("crop", (530, 70), (640, 128), (23, 29, 553, 99)),
    ("none", (576, 64), (640, 64), (0, 0, 576, 64)), ("square", (64, 128), (128, 128), (32, 0, 96, 128))])
def test_further_padding_is_at_the_bottom_and_right(mode, size, fitted_size, window):
    settings = replace(SETTINGS, resize_mode=mode)
    image = np.random.default_rng(0).integers(1, 256, (*size, 3), dtype=np.uint8)
    fitted, meta, found = fit_input(image, settings, padded=True)
    assert fitted.shape == (*fitted_size, 3) and tuple(found) == window
    y1, x1, y2, x2 = window
    assert (fitted[y1:y2, x1:x2] == image).all() and np.count_nonzero(fitted) == image.size
    assert meta[4:6].tolist() == list(fitted_size) and meta[7:11].tolist() == list(window)
    assert settings.padded_plan(image).padding[0] == (y1, fitted_size[0] - y2)


def test_floats_that_are_not_in_the_range_of_bytes():
    images = [np.zeros((4, 4, 3)), np.full((4, 4, 3), 0.5), np.full((4, 4, 3), 200.0), np.full((4, 4), -3.0, np.float32),
              np.ones((4, 4, 3), np.uint8), np.full((4, 4, 3), 1.5)]
    assert images_out_of_range(images, SETTINGS) == [1, 3]
    assert images_out_of_range(images, replace(SETTINGS, mean_pixel=np.full(3, 0.5, np.float32))) == []
    assert images_out_of_range(images, replace(SETTINGS, mean_pixel=np.full(2, 100, np.float32))) == []
    with pytest.raises(ValueError, match=r"images\[1\]: not an image: shape \(7,\)"):
        images_out_of_range([images[0], np.zeros(7)], SETTINGS)
