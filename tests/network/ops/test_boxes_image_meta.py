"""Meta rows as tensors, compared with those as arrays."""
import keras
import numpy as np

from mrcnn.geometry import meta as array_meta
from mrcnn.geometry.meta import split_image_meta
from mrcnn.network.ops.boxes import image_size

METAS = np.stack([
    array_meta.compose_image_meta(7, (97, 150, 3), (128, 192, 3), (2, 3, 100, 110), 1.25, [1, 0, 1]),
    array_meta.compose_image_meta(8, (50, 40, 1), (64, 64, 1), (0, 5, 64, 59), 0.5, [0, 1, 1])]).astype(np.float32)


def test_fields_by_hand():
    tensors = split_image_meta(keras.ops.convert_to_tensor(METAS))
    parts = {name: keras.ops.convert_to_numpy(value).tolist() for name, value in tensors.items()}
    assert parts == {
        "image_id": [7, 8], "original_image_shape": [[97, 150, 3], [50, 40, 1]],
        "image_shape": [[128, 192, 3], [64, 64, 1]], "window": [[2, 3, 100, 110], [0, 5, 64, 59]],
        "scale": [1.25, 0.5], "active_class_ids": [[1, 0, 1], [0, 1, 1]]}  # fmt: skip


def test_tensor_and_numpy_versions_agree():
    tensors, arrays = split_image_meta(keras.ops.convert_to_tensor(METAS)), array_meta.parse_image_meta(METAS)
    assert tensors.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(tensors[name]), value)


def test_image_size_is_that_of_the_resized_image():
    assert keras.ops.convert_to_numpy(image_size(keras.ops.convert_to_tensor(METAS))).tolist() == [[128, 192], [64, 64]]
