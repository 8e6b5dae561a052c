import numpy as np
import pytest

from mrcnn.loading.inspection import PositiveShares, training_stages
from mrcnn.viz import training_stages as figures
from tests.viz.stages import NAMES, Boxes, settings
from tests.viz.test_inference_stages import boxes_in


@pytest.fixture(scope="module")
def stages():
    return training_stages(Boxes(), 0, settings(), random_rois=100)


def test_a_picture_for_each_level():
    _, axes = figures.anchor_levels_figure(np.zeros((64, 64, 3), np.uint8), settings())
    assert [ax.get_title() for ax in axes] == [
        "level 0: 768 anchors of 16 pixels\nmap 16 x 16; shown: 64 pixels a side",
        "level 1: 192 anchors of 32 pixels\nmap 8 x 8; shown: 64 pixels a side"]  # fmt: skip
    for ax, side in zip(axes, (16, 32), strict=True):
        corners = np.array(ax.collections[0].get_segments()[1])  # the square one
        assert (corners.max(axis=0) - corners.min(axis=0)).tolist() == [side, side]
        assert np.abs(corners.mean(axis=0) - 32).max() < side


def test_anchors_by_kind(stages):
    _, axes = figures.anchor_targets_figure(stages, limit=3)
    assert [boxes_in(ax) for ax in axes] == [3, 3, 3]
    assert axes[1].get_title() == f"{len(stages.negative_anchors)} negative anchors, 3 of them shown"
    _, axes = figures.refined_anchors_figure(stages)
    assert [boxes_in(ax) for ax in axes] == [len(stages.positive_anchors)] * 2


def test_rois_and_their_targets(stages):
    _, axes = figures.roi_targets_figure(stages, NAMES)
    assert [boxes_in(ax) for ax in axes] == [3, 3, 7]
    assert axes[0].get_title() == "3 of 10 ROIs positive" and {t.get_text() for t in axes[1].texts} <= {"cat", "dog"}
    _, axes = figures.mask_targets_figure(stages, NAMES)
    assert axes.shape == (2, 3)
    y1, x1, y2, x2 = stages.rois[0]
    assert axes[0, 0].images[0].get_array().shape == (y2 - y1, x2 - x1, 3)
    assert axes[1, 0].images[0].get_extent() == [0, x2 - x1, y2 - y1, 0]


def test_mask_targets_lie_where_the_objects_are(stages):
    drawn = (figures.draw_mask_targets(stages) != 90).any(axis=2)
    truth = stages.full_masks().any(axis=2)
    assert drawn.any() and (drawn & ~truth).sum() < 0.15 * drawn.sum()


def test_an_image_without_objects():
    empty = training_stages(Boxes(), 1, settings(), random_rois=20)
    for figure, _ in (figures.anchor_targets_figure(empty), figures.refined_anchors_figure(empty),
                      figures.roi_targets_figure(empty, NAMES), figures.mask_targets_figure(empty, NAMES)):  # fmt: skip
        figure.draw_without_rendering()


def test_the_share_over_images():
    _, ax = figures.positive_share_figure(PositiveShares([0, 1], [0.3, 0.2], {}, 10))
    assert sum(bar.get_height() for bar in ax.patches) == 2 and ax.lines[0].get_xdata() == [0.25, 0.25]
    figures.positive_share_figure(PositiveShares())[0].canvas.draw()
