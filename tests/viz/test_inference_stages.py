import numpy as np
import pytest

from mrcnn.viz import inference_stages as figures
from tests.viz.stages import NAMES, inference_stages


def boxes_in(ax):
    return sum(len(collection.get_segments()) for collection in ax.collections)


def test_each_stage_has_a_figure():
    drawn = figures.stage_figures(inference_stages(), NAMES)
    assert [name.split("_", 1)[0] for name in drawn] == list("1234567")
    for figure in drawn.values():
        figure.draw_without_rendering()


@pytest.mark.parametrize("count", [0, 1])
def test_figures_of_no_proposal_and_of_one(count):
    drawn = figures.stage_figures(inference_stages(count), NAMES)
    assert [name.split("_", 1)[0] for name in drawn] == list("1234567")
    for figure in drawn.values():
        figure.draw_without_rendering()


def test_scores_are_split_by_level():
    scores = np.array([0.9, 0.1, 0.6, 0.2, 0.7])
    _, axes = figures.rpn_scores_figure(scores, [2, 3])
    assert [ax.get_title() for ax in axes] == ["level 0: 2 anchors\n1 above 0.5", "level 1: 3 anchors\n2 above 0.5"]
    assert [sum(bar.get_height() for bar in ax.patches) for ax in axes] == [2, 3]


def test_number_of_boxes_is_limited():
    boxes = np.tile([[1.0, 2, 30, 40]], (7, 1))
    image = np.zeros((50, 60), np.uint8)  # grey
    _, (ax,) = figures.top_anchors_figure(image, boxes, np.linspace(0.9, 0.3, 7), limit=4)
    assert boxes_in(ax) == 4 and ax.get_title() == "the best 4 of 7 anchors, scores 0.900 to 0.600"
    _, axes = figures.refinement_figure(image, boxes, boxes, boxes, limit=3)
    assert [boxes_in(ax) for ax in axes] == [3, 3, 3]
    _, axes = figures.proposals_figure(image, boxes, boxes[:2], limit=5)
    assert [boxes_in(ax) for ax in axes] == [5, 2]
    assert axes[0].collections[0].get_segments()[0].min(axis=0).tolist() == [1.5, 0.5]  # x, y of the upper left corner


def test_classes_of_proposals():
    probs = np.array([[0.9, 0.1, 0], [0.2, 0.1, 0.7], [0.1, 0, 0.9], [0.3, 0, 0.7]])
    _, axes = figures.class_probs_figure(probs, NAMES)
    assert [(t.get_text(), bar.get_height()) for t, bar in zip(axes[0].get_xticklabels(), axes[0].patches)] == [
        ("dog", 3), ("BG", 1)]  # fmt: skip


def test_outcomes_of_proposals():
    stages = inference_stages()
    _, axes = figures.outcomes_figure(stages.image, stages.clipped_proposals, stages.class_ids, stages.scores,
                                      ["kept", "low score", "suppressed", "background"], NAMES)  # fmt: skip
    assert [boxes_in(ax) for ax in axes] == [3, 2, 1]
    assert [ax.get_title().split(":")[0] for ax in axes] == ["3 of 4 proposals are not background", "2 left", "1 detections"]
    assert [t.get_text() for t in axes[2].texts] == ["cat 0.900"]


def test_masks_are_drawn_below_their_crops():
    stages = inference_stages()
    _, axes = figures.masks_figure(stages.image, stages.detections, stages.mask_probs, NAMES)
    assert axes.shape == (3, 2) and axes[0, 0].get_title() == "cat 0.900"
    assert axes[0, 0].images[0].get_array().shape == (20, 30, 3)
    assert axes[1, 0].images[0].get_extent() == [0, 30, 20, 0]
    assert (axes[2, 0].images[0].get_array() != 90).all()  # the mask fills its box
