"""The inspected stages of a sample agree with the loader and the generator."""
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.loading.inspection import (
    PositiveFractions,
    describe_anchors,
    describe_array,
    describe_batch,
    positive_roi_fractions,
    training_stages,
)
from mrcnn.training.settings import inspection_settings, make_generator
from tests.shared_data import shared_path


class Small(Config):
    NAME = "small"
    NUM_CLASSES = 1 + 2
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 20
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64


class Boxes(Dataset):
    """Images of 64 x 128 pixels: with two objects, with only crowds, empty, and broken."""

    def __init__(self):
        super().__init__()
        for class_id, name in ((1, "cat"), (2, "dog")):
            self.add_class("boxes", class_id, name)
        for image_id in range(4):
            self.add_image("boxes", image_id, None)
        self.prepare()

    def load_image(self, image_id):
        if image_id == 3:
            raise OSError("no such file")
        return np.full((64, 128, 3), 50, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((64, 128, 2), bool)
        masks[10:30, 20:60, 0] = masks[30:60, 80:110, 1] = True
        ids = {0: [1, 2], 1: [-1, -2], 2: []}[image_id]
        return masks[:, :, : len(ids)], np.array(ids, np.int32)


@pytest.fixture(scope="module")
def settings():
    return inspection_settings(Small())


@pytest.fixture(scope="module")
def stages(settings):
    return training_stages(Boxes(), 0, settings, random_rois=300)


def test_sample_is_resized_and_padded(stages):
    assert stages.image.shape == (128, 128, 3) and stages.image_meta[7:11].tolist() == [32, 0, 96, 128]
    assert stages.boxes.tolist() == [[42, 20, 62, 60], [62, 80, 92, 110]] and stages.class_ids.tolist() == [1, 2]
    full = stages.full_masks()
    assert full.shape == (128, 128, 2) and full[:, :, 0].sum() == 20 * 40 and full[42:62, 20:60, 0].all()


def test_anchors_are_grouped_by_their_overlap(stages, settings):
    best = compute_overlaps(stages.anchors, stages.boxes).max(axis=1)
    assert len(stages.anchors) == sum(settings.level_counts)
    assert 0 < len(stages.positive_anchors) <= 32 and (stages.rpn_match == -1).sum() == len(stages.negative_anchors)
    assert (best[stages.rpn_match == -1] < 0.3).all()
    neutral = compute_overlaps(stages.neutral_anchors, stages.boxes).max(axis=1)
    assert len(neutral) == ((best >= 0.3) & (stages.rpn_match == 0)).sum() > 0 and neutral.min() >= 0.3


def test_targets_lead_to_the_objects(stages):
    for refined in (stages.refined_anchors, stages.refined_rois[stages.roi_class_ids > 0]):
        distance = np.abs(refined[:, None] - stages.boxes).max(axis=2)  # [n, N]
        assert len(refined) and distance.min(axis=1).max() < 0.01
    negative = stages.roi_class_ids == 0
    np.testing.assert_array_equal(stages.refined_rois[negative], stages.rois[negative])
    assert not stages.roi_masks[negative].any() and stages.roi_masks[~negative].any(axis=(1, 2)).all()


def test_a_third_of_the_rois_is_positive(stages):
    assert stages.positive_fraction == 6 / 20  # 0.33 * 20, rounded down
    assert stages.unique_fraction == len({tuple(roi) for roi in stages.rois}) / 20
    assert (stages.roi_class_ids > 0).tolist() == [True] * 6 + [False] * 14  # positive ones first


def test_an_image_without_objects_has_no_positives(settings):
    empty = training_stages(Boxes(), 2, settings, random_rois=50)
    assert empty.positive_fraction == 0 and len(empty.positive_anchors) == len(empty.neutral_anchors) == 0
    assert empty.full_masks().shape == (128, 128, 0) and len(empty.negative_anchors) == 64


def test_sample_depends_on_its_seed_only(settings):
    first, again, other = (training_stages(Boxes(), 0, settings, random_rois=50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.rois, again.rois)
    assert (first.rois != other.rois).any()


def test_positive_fractions_skip_the_images_that_training_skips(settings):
    calls = []
    fractions = positive_roi_fractions(Boxes(), settings, random_rois=300, progress=lambda *at: calls.append(at))
    assert fractions.image_ids == [0] and fractions.fractions == [0.3] and fractions.mean == 0.3
    assert set(fractions.skipped) == {1, 2, 3}
    assert fractions.skipped[2] == "no objects" and "no such file" in fractions.skipped[3]
    assert calls[-1] == (4, 4)
    assert str(fractions) == "positive ROIs: 0.300 of 20 on average over 1 images (0.300 to 0.300); skipped: 3"
    assert "no image" in str(PositiveFractions()) and np.isnan(PositiveFractions().mean)


def test_describe_array():
    assert describe_array("image", np.array([[0, 255, 3]], np.uint8)) == (
        "image                    shape: (1, 3)                min:    0.00000  max:  255.00000  uint8")
    assert describe_array("none", np.zeros((0, 4))).split() == ["none", "shape:", "(0,", "4)", "min:", "max:", "float64"]


def test_default_configuration_has_known_shapes_on_photographs():
    """The numbers of anchors and the shapes of a batch on COCO are known from the classic code."""
    from mrcnn.datasets.catalog import open_dataset

    dataset = open_dataset(shared_path("data/tiny_coco"), "coco", "val")
    config = type("Coco", (Config,), {"NAME": "coco", "NUM_CLASSES": 81})()
    settings = inspection_settings(config)
    assert settings.level_counts == [196608, 49152, 12288, 3072, 768]
    lines = describe_anchors(settings).splitlines()
    assert lines[0].split() == "anchors shape: (261888, 4) min: -362.03867 max: 1322.03867 float64".split()
    assert lines[5] == "level 4:     768 anchors of 512 pixels on a map of 16 x 16, 64 pixels a cell"
    inputs, outputs = next(make_generator(dataset, config, random_rois=2000, batch_size=4, detection_targets=True))
    shapes = {line.split()[0]: line.split("shape: ")[1].split("  ")[0] for line in describe_batch(inputs, outputs).splitlines()}
    assert shapes == {
        "images": "(4, 1024, 1024, 3)", "image_meta": "(4, 93)", "rpn_match": "(4, 261888, 1)", "rpn_bbox": "(4, 256, 4)",
        "gt_class_ids": "(4, 100)", "gt_boxes": "(4, 100, 4)", "gt_masks": "(4, 56, 56, 100)", "rpn_rois": "(4, 2000, 4)",
        "rois": "(4, 200, 4)", "mrcnn_class_ids": "(4, 200, 1)", "mrcnn_bbox": "(4, 200, 81, 4)",
        "mrcnn_mask": "(4, 200, 28, 28, 81)"}
    assert 0.25 <= positive_roi_fractions(dataset, settings, dataset.image_ids[:4]).mean <= 0.34
