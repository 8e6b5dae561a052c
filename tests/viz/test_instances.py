import warnings

import numpy as np
import pytest
from matplotlib import patches
from matplotlib import pyplot as plt

from mrcnn.geometry.rle import encode_mask
from mrcnn.viz import figure
from mrcnn.viz.instances import display_differences, display_images, display_instances, display_top_masks, draw_boxes

NAMES = ["BG", "cat", "dog"]
BOXES = np.array([[10, 20, 30, 60], [40, 50, 70, 90]])
IDS = np.array([1, 2])


@pytest.fixture
def image():
    return np.full((80, 120, 3), 100, np.uint8)


@pytest.fixture
def masks():
    out = np.zeros((80, 120, 2), bool)
    out[10:30, 20:60, 0] = True
    out[40:70, 50:90, 1] = True
    return out


def texts(ax=None):
    return [t.get_text() for t in (ax or plt.gca()).texts]


def of_kind(kind, ax=None):
    return [p for p in (ax or plt.gca()).patches if isinstance(p, kind)]


def shown(ax=None):
    return np.asarray((ax or plt.gca()).images[0].get_array())


def test_display_instances(image, masks):
    display_instances(image, BOXES, masks, IDS, NAMES, np.array([0.91, 0.5]), title="two")
    ax = plt.gca()
    assert texts() == ["cat 0.910", "dog 0.500"] and ax.get_title() == "two"
    first = of_kind(patches.Rectangle)[0]
    assert (first.get_x(), first.get_y(), first.get_width(), first.get_height()) == (20, 10, 40, 20)
    assert len(of_kind(patches.Polygon)) == 2
    picture = shown()
    assert (picture[20, 40] != 100).any() and (picture[35, 40] == 100).all()
    assert (image == 100).all()  # the input is not modified


def test_missing_scores_captions_colors_and_switches(image, masks):
    display_instances(image, BOXES, masks, IDS, NAMES, show_mask=False, show_bbox=False)
    assert texts() == ["cat", "dog"] and (shown() == 100).all()
    assert len(of_kind(patches.Polygon)) == len(plt.gca().patches) == 2  # outlines, no boxes
    display_instances(image, BOXES, masks, IDS, NAMES, captions=["a", ""], colors=np.array([[1, 0, 0], [0, 0, 1.0]]))
    assert texts() == ["a"]
    assert shown()[20, 40].tolist() == [178, 50, 50]


def test_no_instances(image, capsys):
    display_instances(image, np.zeros((0, 4)), np.zeros((80, 120, 0)), np.zeros(0, int), NAMES, np.zeros(0))
    assert "No instances to display" in capsys.readouterr().out
    assert (shown() == 100).all()


def test_grey_float_and_integer_images(image, masks):
    for kind in (image[:, :, 0], image[:, :, :1], image / 255, image.astype(int)):
        display_instances(kind, BOXES, masks, IDS, NAMES)
        assert (shown()[35, 40] == 100).all() and (shown()[20, 40] != 100).any()


def test_display_a_single_instance_rle_masks_and_an_empty_box(image, masks):
    display_instances(image, BOXES[:1], masks[:, :, :1], IDS[:1], NAMES)
    assert texts() == ["cat"]
    display_instances(image, BOXES, [encode_mask(masks[:, :, i]) for i in range(2)], IDS, NAMES)
    assert (shown()[20, 40] != 100).any()
    display_instances(image, np.array([[0, 0, 0, 0], BOXES[1]]), masks, IDS, NAMES)
    assert texts() == ["dog"]


def test_given_axes_are_drawn_on_but_not_shown(image, masks, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    monkeypatch.setattr(figure.matplotlib, "get_backend", lambda: "a window")
    _, ax = plt.subplots()
    display_instances(image, BOXES, masks, IDS, NAMES, ax=ax)
    draw_boxes(image, BOXES, ax=ax)
    assert len(of_kind(patches.Rectangle, ax)) == 4


def test_backend_without_a_window_shows_nothing_and_does_not_warn(image, masks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display_instances(image, BOXES, masks, IDS, NAMES)


def test_window_is_shown_once(image, masks, monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(1))
    monkeypatch.setattr(figure.matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    display_instances(image, BOXES, masks, IDS, NAMES)
    assert calls == [1]


def test_different_numbers_of_boxes_and_ids_are_an_error(image, masks):
    with pytest.raises(ValueError, match="2 boxes, 1 class ids, 2 masks"):
        display_instances(image, BOXES, masks, IDS[:1], NAMES)


def test_display_differences(image, masks):
    # the lower score comes first: captions must be at their own boxes
    pred_box, pred_mask = BOXES[::-1], masks[:, :, ::-1].copy()
    pred_mask[40:55, :, 0] = False  # half of the dog: IoU 0.5
    display_differences(image, BOXES, IDS, masks, pred_box, IDS[::-1], np.array([0.6, 0.8]), pred_mask, NAMES)
    assert texts() == ["0.60 / 0.50", "0.80 / 1.00"]
    assert "blue" in plt.gca().get_title()
    assert len(of_kind(patches.Rectangle)) == 4


@pytest.mark.parametrize("num_gt, num_pred", [(0, 0), (0, 2), (2, 0)])
def test_differences_without_ground_truth_or_without_detections(image, masks, num_gt, num_pred):
    gt_mask = masks[:, :, :num_gt] if num_gt else np.empty((0, 0, 0))
    pred = (BOXES[:num_pred], IDS[:num_pred], np.full(num_pred, 0.5), masks[:, :, :num_pred])
    display_differences(image, BOXES[:num_gt], IDS[:num_gt], gt_mask, *pred, NAMES)
    assert texts() == ["0.50 / 0.00"] * num_pred


def test_draw_boxes(image, masks):
    draw_boxes(image, BOXES, BOXES + 3, masks, ["a", "b"], [0, 2], title="t")
    ax = plt.gca()
    assert texts() == ["a", "b"] and len(ax.lines) == 2
    styles = [p.get_linestyle() for p in of_kind(patches.Rectangle)]
    assert styles == [":", "-", "-", "-"] or styles == ["dotted", "solid", "solid", "solid"]


def test_draw_boxes_with_boxes_or_refined_boxes_only(image):
    draw_boxes(image, np.array([[0, 0, 0, 0], BOXES[0]]))
    assert len(of_kind(patches.Rectangle)) == 1
    draw_boxes(image, refined_boxes=BOXES, captions=["a", "b"])
    assert len(of_kind(patches.Rectangle)) == 2
    with pytest.raises(ValueError, match="boxes, refined_boxes or both"):
        draw_boxes(image)


@pytest.mark.parametrize("count, cols, rows", [(1, 4, 1), (4, 4, 1), (5, 4, 2), (3, 1, 3)])
def test_display_images(image, count, cols, rows):
    display_images([image] * count, titles=[str(i) for i in range(count)], cols=cols)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == [str(i) for i in range(count)]
    assert axes[-1].get_subplotspec().get_gridspec().get_geometry() == (rows, cols)


def test_mask_that_is_true_everywhere_has_the_colour_of_true():
    _, axes = display_images([np.ones((4, 6), bool), np.zeros((4, 6), bool)])
    assert [ax.images[0].get_clim() for ax in axes] == [(0, 1), (0, 1)]


def test_display_grey_and_boolean_images(image):
    display_images([image[:, :, 0], image[:, :, :1], image[:, :, 0] > 3], cmap="gray", interpolation="none")
    assert [ax.images[0].get_array().shape for ax in plt.gcf().axes] == [(80, 120)] * 3
    display_images([])


def test_display_top_masks(image):
    masks = np.zeros((80, 120, 3), bool)
    masks[:10, :10, 0] = True  # a cat with 100 pixels
    masks[20:40, :10, 1] = True  # two dogs with 200 pixels each
    masks[50:70, :10, 2] = True
    display_top_masks(image, masks, np.array([1, 2, 2]), NAMES, limit=3)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["H x W=80x120", "dog", "cat", "-"]
    dogs = np.asarray(axes[1].images[0].get_array())
    assert 0 == dogs[5, 5] < dogs[30, 5] < dogs[60, 5]  # each dog has its own shade


def test_display_top_masks_without_instances(image):
    display_top_masks(image[:, :, 0], np.zeros((80, 120, 0)), np.zeros(0, int), NAMES, limit=2)
    assert [ax.get_title() for ax in plt.gcf().axes] == ["H x W=80x120", "-", "-"]
