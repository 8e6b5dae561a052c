import dataclasses

import imgaug.augmenters as iaa
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn.loading.inspection import PositiveFractions, training_stages
from mrcnn.loading.loader import Loader
from mrcnn.viz import training_stages as figures
from mrcnn.viz.colors import class_color
from tests.viz.stages import NAMES, Boxes, settings
from tests.viz.test_inference_stages import boxes_in

IMAGE = np.full((80, 120, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def stages():
    return training_stages(Boxes(), 0, settings(), random_rois=100)


def test_anchor_levels_figure_has_a_picture_per_level():
    _, axes = figures.anchor_levels_figure(np.zeros((64, 64, 3), np.uint8), settings())
    assert [ax.get_title() for ax in axes] == [
        "level 0: 768 anchors of 16 pixels\nmap 16 x 16; window 64 x 64",
        "level 1: 192 anchors of 32 pixels\nmap 8 x 8; window 64 x 64"]  # fmt: skip
    for ax, side in zip(axes, (16, 32), strict=True):
        corners = np.array(ax.collections[0].get_segments()[1])  # the square anchor
        assert (corners.max(axis=0) - corners.min(axis=0)).tolist() == [side, side]
        assert np.abs(corners.mean(axis=0) - 32).max() < side


def test_anchor_targets_are_drawn_by_kind(stages):
    _, axes = figures.anchor_targets_figure(stages, limit=3)
    assert [boxes_in(ax) for ax in axes] == [3, 3, 3]
    assert axes[1].get_title() == f"{len(stages.negative_anchors)} negative anchors, 3 of them shown"
    _, axes = figures.refined_anchors_figure(stages)
    assert [boxes_in(ax) for ax in axes] == [len(stages.positive_anchors)] * 2


def test_rois_are_drawn_with_their_targets(stages):
    _, axes = figures.roi_targets_figure(stages, NAMES)
    assert [boxes_in(ax) for ax in axes] == [3, 3, 7]
    assert axes[0].get_title() == "3 of 10 ROIs positive" and {t.get_text() for t in axes[1].texts} <= {"cat", "dog"}
    _, axes = figures.mask_targets_figure(stages, NAMES)
    assert axes.shape == (2, 3)
    y1, x1, y2, x2 = stages.rois[0]
    assert axes[0, 0].images[0].get_array().shape == (y2 - y1, x2 - x1, 3)
    assert axes[1, 0].images[0].get_extent() == [0, x2 - x1, y2 - y1, 0]


def test_mask_targets_are_on_the_objects(stages):
    drawn = (figures.draw_mask_targets(stages) != 90).any(axis=2)
    truth = stages.full_masks().any(axis=2)
    assert drawn.any() and (drawn & ~truth).sum() < 0.15 * drawn.sum()


def test_overlapping_mask_targets_of_an_object_are_blended_once(stages):
    boxes = np.array([[10, 10, 30, 40]] * 9, np.int32)
    rois = dataclasses.replace(stages, rois=boxes, roi_class_ids=np.ones(9, np.int32), roi_deltas=np.zeros((9, 4), np.float32),
                               refined_rois=boxes.astype(np.float32), roi_masks=np.ones((9, 14, 14), np.float32))  # fmt: skip
    blended = 0.5 * 90 + 0.5 * 255 * np.array(class_color(1))
    np.testing.assert_allclose(figures.draw_mask_targets(rois)[20, 20], blended, atol=1)


def test_image_without_objects_is_drawn():
    empty = training_stages(Boxes(), 1, settings(), random_rois=20)
    for figure, _ in (figures.anchor_targets_figure(empty), figures.refined_anchors_figure(empty),
                      figures.roi_targets_figure(empty, NAMES), figures.mask_targets_figure(empty, NAMES)):  # fmt: skip
        figure.draw_without_rendering()


def test_positive_fraction_figure():
    _, ax = figures.positive_fraction_figure(PositiveFractions([0, 1], [0.3, 0.2], {}, 10))
    assert sum(bar.get_height() for bar in ax.patches) == 2 and ax.lines[0].get_xdata() == [0.25, 0.25]
    figures.positive_fraction_figure(PositiveFractions())[0].canvas.draw()


@pytest.mark.parametrize("mini_masks", [True, False])
def test_training_samples_are_drawn_as_the_loader_makes_them(mini_masks):
    sample = dataclasses.replace(settings().sample, mini_mask_shape=(28, 28) if mini_masks else None)
    loader = Loader(Boxes(), sample, settings().targets, 1, shuffle=False, keep_empty=True, augmentation=iaa.Fliplr(1.0))
    _, axes = figures.training_samples_figure(loader, NAMES, count=5)
    assert [ax.get_title() for ax in axes] == ["image 0: 2 instances", "image 1: 0 instances"]
    first, second = (np.asarray(ax.images[0].get_array()) for ax in axes)
    # enlarged ten times; the cat covers columns 10 to 39 of the data set's image, and 24 to 53 of its mirror image
    assert first.shape == (640, 640, 3) and (first[200, 500] != 90).any() and (first[200, 150] == 90).all()
    assert (second == 90).all()


def test_draw_rois(capsys):
    rois = np.array([[10, 20, 30, 60], [40, 50, 70, 90], [5, 5, 5, 9]])
    masks = np.zeros((3, 28, 28))
    masks[0, :, :14] = 1
    figures.draw_rois(IMAGE, rois, rois + 2, masks, np.array([1, 0, 2]), NAMES)
    out = capsys.readouterr().out
    assert "Positive ROIs:  2" in out and "Negative ROIs:  1" in out and "Positive Ratio: 0.67" in out
    ax = plt.gca()
    assert ax.get_title() == "3 ROIs" and [t.get_text() for t in ax.texts] == ["cat", "dog"]
    assert len(ax.patches) == 5  # two for each positive ROI, one for the negative
    picture = np.asarray(ax.images[0].get_array())
    assert (picture[20, 25] != 100).any() and (picture[20, 55] == 100).all()  # the left half of the first ROI


def test_number_of_drawn_rois_is_limited(capsys):
    rois = np.tile([[10, 20, 30, 60]], (15, 1))
    figures.draw_rois(IMAGE, rois, rois, np.ones((15, 28, 28)), np.ones(15, int), NAMES, limit=4)
    assert len(plt.gca().texts) == 4 and plt.gca().get_title() == "Showing 4 random ROIs out of 15"
    figures.draw_rois(IMAGE, np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 28, 28)), np.zeros(0, int), NAMES)
    assert "Positive Ratio: 0.00" in capsys.readouterr().out


def test_inspect_sample():
    shapes = []

    def detect(images):
        shapes.append(images[0].shape)
        return [{"rois": np.array([[10, 10, 30, 40]]), "class_ids": np.array([1]), "scores": np.array([0.9]),
                 "masks": np.ones((64, 64, 1), bool)}]  # fmt: skip

    figure, axes = figures.inspect_sample(Boxes(), 0, settings(), detect, random_rois=100, limit=4)
    assert shapes == [(64, 64, 3)] and len(axes) == 6
    titles = [ax.get_title() for ax in axes]
    assert titles[0] == "image 0: 2 instances" and titles[3] == "3 of 10 ROIs positive" and titles[5] == "1 predictions"
    positive = len(training_stages(Boxes(), 0, settings(), random_rois=100).positive_anchors)
    assert 0 < positive < 4
    assert [boxes_in(ax) for ax in axes] == [0, 4 + positive, positive, 4 + 3, 0, 0]
    figure.canvas.draw()


def test_inspect_sample_without_a_model_and_without_objects():
    figure, axes = figures.inspect_sample(Boxes(), 1, settings(), random_rois=20)
    assert len(axes) == 5 and axes[0].get_title() == "image 1: 0 instances"
    figure.canvas.draw()
