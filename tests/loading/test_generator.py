from itertools import islice

import numpy as np
import pytest

from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.loading.generator import DetectionTargetSettings, data_generator
from tests.loading.scenes import Scenes, scenes
from tests.loading.test_loader import ANCHORS, OBJECT, SAMPLE, TARGET, many

HEADS = DetectionTargetSettings(20, 0.33, 4, np.array([0.1, 0.1, 0.2, 0.2]), (28, 28), True)


def generator(dataset, **kwargs):
    return data_generator(dataset, SAMPLE, TARGET, **{"batch_size": 3, "seed": 0, **kwargs})


def test_arrays_without_rois():
    inputs, outputs = next(generator(scenes(OBJECT, OBJECT), mean_pixel=[1, 2, 3]))
    assert outputs == []
    assert [(a.shape, str(a.dtype)) for a in inputs] == [
        ((3, 64, 64, 3), "float32"),
        ((3, 16), "float64"),
        ((3, len(ANCHORS), 1), "int32"),
        ((3, 32, 4), "float64"),
        ((3, 5), "int32"),
        ((3, 5, 4), "int32"),
        ((3, 14, 14, 5), "bool"),
    ]
    assert inputs[0][0, 0, 0].tolist() == [-1, -2, -3]


def test_arrays_with_rois_and_head_targets():
    inputs, outputs = next(generator(scenes(OBJECT, OBJECT), random_rois=200, detection=HEADS))
    assert [(a.shape, str(a.dtype)) for a in inputs[7:] + outputs] == [
        ((3, 200, 4), "int32"),
        ((3, 20, 4), "int32"),
        ((3, 20, 1), "int32"),
        ((3, 20, 4, 4), "float32"),
        ((3, 20, 28, 28, 4), "float32"),
    ]
    rois, (class_ids, deltas, masks) = inputs[8], outputs
    # a third is positive, and the targets are not all zero
    assert (class_ids > 0).sum(axis=(1, 2)).tolist() == [6, 6, 6]
    assert all(d.any() for d in deltas) and all(m.any() for m in masks)
    overlaps = compute_overlaps(rois[0], inputs[5][0][:1])[:, 0]
    np.testing.assert_array_equal(class_ids[0, :, 0] > 0, overlaps >= 0.5)


def test_rois_without_head_targets():
    inputs, outputs = next(generator(scenes(OBJECT), random_rois=50))
    assert len(inputs) == 8 and inputs[7].shape == (3, 50, 4) and outputs == []


def test_batches_are_full_and_never_end():
    seen = [int(i) for inputs, _ in islice(generator(many(4), shuffle=False), 4) for i in inputs[1][:, 0]]
    assert seen == [0, 1, 2, 3] * 3


def test_every_pass_has_each_image_once_in_a_new_order():
    seen = [int(i) for inputs, _ in islice(generator(many(6)), 8) for i in inputs[1][:, 0]]
    passes = [seen[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(p) == list(range(6)) for p in passes) and len(set(map(tuple, passes))) > 1


def test_broken_and_empty_images_are_skipped():
    class Faulty(Scenes):
        def load_image(self, image_id):
            if image_id == 1:
                raise OSError("gone")
            return super().load_image(image_id)

    dataset = scenes(OBJECT, OBJECT, [], cls=Faulty)
    for inputs, _ in islice(generator(dataset), 3):
        assert (inputs[1][:, 0] == 0).all()


def test_head_targets_need_rois():
    with pytest.raises(ValueError, match="give random_rois too"):
        generator(scenes(OBJECT), detection=HEADS)
