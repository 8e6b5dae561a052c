"""A project written for the classic code trains, saves, reloads, detects and evaluates here without changes.

Only the classic names are used: `mrcnn.config`, `mrcnn.utils`, `mrcnn.visualize` and `mrcnn.model`.
"""
import os
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn import utils, visualize
from mrcnn.config import Config


class ToyConfig(Config):
    NAME = "toys"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 2
    BACKBONE = "resnet50"
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TOP_DOWN_PYRAMID_SIZE = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    PRE_NMS_LIMIT = 200
    POST_NMS_ROIS_TRAINING = 40
    POST_NMS_ROIS_INFERENCE = 40
    TRAIN_ROIS_PER_IMAGE = 8
    MAX_GT_INSTANCES = 4
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1


class InferenceConfig(ToyConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0
    DETECTION_MAX_INSTANCES = 6


class ToyDataset(utils.Dataset):
    """Images with a ball (class 1); every second one also has a brick (class 2)."""

    def load_toys(self, count, height, width):
        self.add_class("toys", 1, "ball")
        self.add_class("toys", 2, "brick")
        for i in range(count):
            toys = [("ball", 8 + i, 10, 24)] + [("brick", 30, 20 + i, 16)] * (i % 2)
            self.add_image("toys", image_id=i, path=None, width=width, height=height, toys=toys)

    def load_image(self, image_id):
        info = self.image_info[image_id]
        image = np.full((info["height"], info["width"], 3), 128, np.uint8)
        for name, y, x, side in info["toys"]:
            image[y : y + side, x : x + side] = (250, 20, 20) if name == "ball" else (20, 20, 250)
        return image

    def load_mask(self, image_id):
        info = self.image_info[image_id]
        if info["source"] != "toys":
            return super(self.__class__, self).load_mask(image_id)
        mask = np.zeros([info["height"], info["width"], len(info["toys"])], dtype=bool)
        class_ids = []
        for i, (name, y, x, side) in enumerate(info["toys"]):
            mask[y : y + side, x : x + side, i] = True
            class_ids.append(self.class_names.index(name))
        return mask, np.array(class_ids, dtype=np.int32)

    def image_reference(self, image_id):
        return self.image_info[image_id]["id"]


def _toys(count):
    dataset = ToyDataset()
    dataset.load_toys(count, 56, 64)
    dataset.prepare()
    return dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train the heads for one epoch and more layers for another; return the model and the folder of the runs."""
    model_dir = str(tmp_path_factory.mktemp("logs"))
    config = ToyConfig()
    config.display()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=model_dir)
    dataset_train, dataset_val = _toys(4), _toys(2)
    model.train(dataset_train, dataset_val, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads")
    model.train(dataset_train, dataset_val, learning_rate=config.LEARNING_RATE / 10, epochs=2, layers="5+")
    return model, model_dir


@pytest.fixture(scope="module")
def reloaded(trained):
    """The last checkpoint in an inference model."""
    _, model_dir = trained
    model = modellib.MaskRCNN(mode="inference", model_dir=model_dir, config=InferenceConfig())
    model.load_weights(model.find_last(), by_name=True)
    return model


@pytest.mark.all_backends
def test_training_saves_a_checkpoint_per_epoch(trained):
    model, model_dir = trained
    (run,) = os.listdir(model_dir)
    assert re.fullmatch(r"toys\d{8}T\d{4}", run)
    assert {"mask_rcnn_toys_0001.h5", "mask_rcnn_toys_0002.h5"} <= set(os.listdir(os.path.join(model_dir, run)))
    assert model.epoch == 2
    assert model.find_last().endswith("mask_rcnn_toys_0002.h5")


@pytest.mark.all_backends
def test_checkpoint_contains_the_trained_weights(trained, reloaded):
    model, _ = trained
    for name in ("conv1", "res5a_branch2a", "fpn_p2", "mrcnn_class_logits", "mrcnn_mask"):
        for ours, theirs in zip(model.keras_model.get_layer(name).get_weights(),
                                reloaded.keras_model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert reloaded.epoch == 2


@pytest.mark.all_backends
def test_detection_and_evaluation(reloaded, tmp_path):
    dataset, config = _toys(3), InferenceConfig()
    aps = []
    for image_id in dataset.image_ids:
        image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
            dataset, config, image_id, use_mini_mask=False)
        assert image.shape == (64, 64, 3) and image_meta.shape == (12 + 3,)
        assert gt_mask.shape == (64, 64, 1 + image_id % 2) and len(gt_bbox) == len(gt_class_id)
        r = reloaded.detect([image], verbose=0)[0]
        count = len(r["class_ids"])
        assert r["rois"].shape == (count, 4) and r["masks"].shape == (64, 64, count) and count <= 6
        assert ((r["class_ids"] >= 1) & (r["class_ids"] <= 2)).all()
        ap, precisions, recalls, overlaps = utils.compute_ap(
            gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"])
        assert 0 <= ap <= 1 and overlaps.shape == (count, len(gt_class_id))
        aps.append(ap)
        _, ax = plt.subplots(1)
        visualize.display_instances(image, r["rois"], r["masks"], r["class_ids"], dataset.class_names, r["scores"],
                                    ax=ax)
        plt.savefig(tmp_path / f"{image_id}.png")
        plt.close("all")
    assert 0 <= np.mean(aps) <= 1


@pytest.mark.all_backends
def test_ground_truth_as_detections_has_ap_1():
    """The same call as above, with a known result."""
    dataset, config = _toys(2), InferenceConfig()
    _, _, class_ids, boxes, masks = modellib.load_image_gt(dataset, config, 1, use_mini_mask=False)
    ap, _, _, _ = utils.compute_ap(boxes, class_ids, masks, boxes, class_ids, np.array([0.9, 0.8]), masks)
    assert ap == pytest.approx(1)
