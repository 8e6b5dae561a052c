import numpy as np
from matplotlib import pyplot as plt

from mrcnn.loading.inspection import training_stages
from mrcnn.viz.pipeline import display_top_masks, draw_rois, inspect_sample
from tests.viz.stages import Boxes, settings
from tests.viz.test_inference_stages import boxes_in

NAMES = ["BG", "cat", "dog"]
IMAGE = np.full((80, 120, 3), 100, np.uint8)


def test_draw_rois(capsys):
    rois = np.array([[10, 20, 30, 60], [40, 50, 70, 90], [5, 5, 5, 9]])
    masks = np.zeros((3, 28, 28))
    masks[0, :, :14] = 1
    draw_rois(IMAGE, rois, rois + 2, masks, np.array([1, 0, 2]), NAMES)
    out = capsys.readouterr().out
    assert "Positive ROIs:  2" in out and "Negative ROIs:  1" in out and "Positive Ratio: 0.67" in out
    ax = plt.gca()
    assert ax.get_title() == "3 ROIs" and [t.get_text() for t in ax.texts] == ["cat", "dog"]
    assert len(ax.patches) == 5  # two for each positive one, one for the negative
    picture = np.asarray(ax.images[0].get_array())
    assert (picture[20, 25] != 100).any() and (picture[20, 55] == 100).all()  # the left half of the first


def test_no_more_than_the_limit_are_drawn(capsys):
    rois = np.tile([[10, 20, 30, 60]], (15, 1))
    draw_rois(IMAGE, rois, rois, np.ones((15, 28, 28)), np.ones(15, int), NAMES, limit=4)
    assert len(plt.gca().texts) == 4 and plt.gca().get_title() == "Showing 4 random ROIs out of 15"
    draw_rois(IMAGE, np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 28, 28)), np.zeros(0, int), NAMES)
    assert "Positive Ratio: 0.00" in capsys.readouterr().out


def test_display_top_masks():
    masks = np.zeros((80, 120, 3), bool)
    masks[:10, :10, 0] = True  # a cat of 100 pixels
    masks[20:40, :10, 1] = True  # dogs of 200 and 200
    masks[50:70, :10, 2] = True
    display_top_masks(IMAGE, masks, np.array([1, 2, 2]), NAMES, limit=3)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["H x W=80x120", "dog", "cat", "-"]
    dogs = np.asarray(axes[1].images[0].get_array())
    assert 0 == dogs[5, 5] < dogs[30, 5] < dogs[60, 5]  # a shade for each


def test_display_top_masks_of_nothing():
    display_top_masks(IMAGE[:, :, 0], np.zeros((80, 120, 0)), np.zeros(0, int), NAMES, limit=2)
    assert [ax.get_title() for ax in plt.gcf().axes] == ["H x W=80x120", "-", "-"]


def test_a_sample_from_image_to_prediction():
    seen = []

    def detect(images):
        seen.append(images[0].shape)
        return [{"rois": np.array([[10, 10, 30, 40]]), "class_ids": np.array([1]), "scores": np.array([0.9]),
                 "masks": np.ones((64, 64, 1), bool)}]  # fmt: skip

    figure, axes = inspect_sample(Boxes(), 0, settings(), detect, random_rois=100, limit=4)
    assert seen == [(64, 64, 3)] and len(axes) == 6
    titles = [ax.get_title() for ax in axes]
    assert titles[0] == "image 0: 2 instances" and titles[3] == "3 of 10 ROIs positive" and titles[5] == "1 predictions"
    positive = len(training_stages(Boxes(), 0, settings(), random_rois=100).positive_anchors)
    assert 0 < positive < 4
    assert [boxes_in(ax) for ax in axes] == [0, 4 + positive, positive, 4 + 3, 0, 0]
    figure.canvas.draw()


def test_a_sample_without_a_model_and_without_objects():
    figure, axes = inspect_sample(Boxes(), 1, settings(), random_rois=20)
    assert len(axes) == 5 and axes[0].get_title() == "image 1: 0 instances"
    figure.canvas.draw()
