"""The pyramid level of each ROI, in non-square images."""
import keras
import numpy as np
import pytest

from mrcnn.geometry.boxes import norm_boxes
from mrcnn.geometry.meta import compose_image_meta
from mrcnn.network.layers.pyramid_roi_align import PyramidROIAlign
from tests.network.layers.check import assert_round_trip, assert_same_in_a_model, run


def _meta(*sizes):
    return np.stack([compose_image_meta(i, (*size, 3), (*size, 3), (0, 0, *size), 1.0, [1, 1])
                     for i, size in enumerate(sizes)]).astype(np.float32)


def _maps(batch, height, width):
    """Return P2 to P5 with their level as value."""
    return [np.full((batch, height // s, width // s, 1), level, np.float32)
            for level, s in ((2, 4), (3, 8), (4, 16), (5, 32))]


IMAGES = [(1024, 512), (256, 1024), (512, 512)]
BOXES = [
    (224, 224, 4),
    (112, 112, 3), (56, 224, 3), (224, 56, 3),  # half the side: one level lower
    (448, 448, 5), (896, 224, 5), (56, 56, 2), (14, 14, 2),
    (112 * 1.40, 112 * 1.40, 3), (112 * 1.43, 112 * 1.43, 4),  # the boundary is at sqrt(2)
]  # fmt: skip


@pytest.mark.parametrize("height, width, box_height, box_width, level", [
    (*image, *box) for image in IMAGES for box in BOXES if box[0] <= image[0] and box[1] <= image[1]])
def test_level_depends_on_the_side_in_pixels(height, width, box_height, box_width, level):
    # the area is that of the normalised box times that of the image
    box = np.array([[[0, 0, box_height / height, box_width / width]]], np.float32)
    pooled = run(PyramidROIAlign((3, 3)), [box, _meta((height, width)), *_maps(1, height, width)])
    np.testing.assert_allclose(pooled, level)


def test_every_image_of_a_batch_has_its_own_size():
    # the same normalised box is 128 x 128 pixels in one image and 512 x 256 in the other
    box = np.tile(norm_boxes(np.array([[0, 0, 128, 128]]), (256, 256)), (2, 1, 1)).astype(np.float32)
    meta = _meta((256, 256), (1024, 512))
    pooled = run(PyramidROIAlign((2, 2)), [box, meta, *_maps(2, 256, 256)])
    assert pooled[:, 0, 0, 0, 0].tolist() == [3, 5]


def test_padding_rows_change_nothing():
    rng = np.random.default_rng(0)
    maps = [rng.random((1, 256 // s, 128 // s, 2)).astype(np.float32) for s in (4, 8, 16, 32)]
    boxes = np.sort(rng.random((1, 5, 2, 2)), axis=2).reshape(1, 5, 4).astype(np.float32)
    padded = np.concatenate([boxes, np.zeros((1, 3, 4), np.float32)], axis=1)
    layer = PyramidROIAlign((7, 5))
    assert_same_in_a_model(layer, [boxes, _meta((256, 128)), *maps])
    plain = run(layer, [boxes, _meta((256, 128)), *maps])
    assert plain.shape == (1, 5, 7, 5, 2)
    pooled = run(layer, [padded, _meta((256, 128)), *maps])
    np.testing.assert_allclose(pooled[:, :5], plain, atol=1e-6)
    assert np.isfinite(pooled).all()


def test_features_and_boxes_keep_their_precision():
    maps = [keras.ops.cast(m, "bfloat16") for m in _maps(1, 1024, 1024)]
    # 157.7 and 158.9 pixels wide, on both sides of the boundary between P3 and P4; bfloat16 has no numbers between 0.15234
    # and 0.15625
    boxes = np.array([[[0, 0, 0.1540, 0.1540], [0, 0, 0.1552, 0.1552]]], np.float32)
    pooled = PyramidROIAlign((2, 2))([boxes, _meta((1024, 1024)), *maps])
    assert keras.backend.standardize_dtype(pooled.dtype) == "bfloat16"
    pooled = keras.ops.convert_to_numpy(keras.ops.cast(pooled, "float32"))
    assert pooled[0, :, 0, 0, 0].tolist() == [3, 4]


def test_arguments_survive_the_configuration():
    assert_round_trip(PyramidROIAlign([7, 5], name="mine"), pool_shape=(7, 5))
