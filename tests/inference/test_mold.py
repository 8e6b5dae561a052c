from dataclasses import replace

import numpy as np
import pytest

from mrcnn.inference.mold import MoldSettings, batches_of_one_size, fit_input, mold_inputs

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
