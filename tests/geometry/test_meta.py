import numpy as np

from mrcnn.geometry.meta import compose_image_meta, parse_image_meta


def test_compose_image_meta_by_hand():
    meta = compose_image_meta(7, (97, 150, 3), (128, 256, 3), (2, 3, 100, 110), 1.25, np.array([1, 0, 1]))
    assert meta.dtype == np.float64
    np.testing.assert_array_equal(meta, [7, 97, 150, 3, 128, 256, 3, 2, 3, 100, 110, 1.25, 1, 0, 1])


def test_parse_image_meta_inverts_compose_image_meta():
    first = compose_image_meta(7, (97, 150, 3), (128, 256, 3), (2, 3, 100, 110), 1.25, [1, 0, 1])
    second = compose_image_meta(8, (1, 2, 4), (128, 256, 4), (0, 0, 5, 6), 0.5, [1, 1, 0])
    parsed = parse_image_meta(np.stack([first, second]))
    assert parsed["image_id"].tolist() == [7, 8]
    assert parsed["original_image_shape"].tolist() == [[97, 150, 3], [1, 2, 4]]
    assert parsed["image_shape"].tolist() == [[128, 256, 3], [128, 256, 4]]
    assert parsed["window"].tolist() == [[2, 3, 100, 110], [0, 0, 5, 6]]
    assert parsed["scale"].tolist() == [1.25, 0.5] and parsed["scale"].dtype == np.float32
    assert parsed["active_class_ids"].tolist() == [[1, 0, 1], [1, 1, 0]]
