import numpy as np
import pytest

from mrcnn.semantic.figures import batch_figure, class_percentages, color_map, overlay
from mrcnn.viz.colors import class_color

NAMES = ["background", "cat", "dog"]
# two images of 4 x 5: a cat on 2 of the 20 pixels, and a dog on 10
MASKS = np.zeros((2, 4, 5, 1), np.int32)
MASKS[0, 0, :2] = 1
MASKS[1, 2:] = 2
IMAGES = np.full((2, 4, 5, 3), 0.4, np.float32)


def test_colours_are_those_of_the_classes_and_the_background_is_black():
    colors = color_map(MASKS[0])
    assert colors.shape == (4, 5, 3) and colors.dtype == np.uint8
    np.testing.assert_array_equal(colors[0, 1], np.rint(255 * np.array(class_color(1))))
    assert not colors[0, 2:].any() and not colors[1:].any()


def test_overlay_does_not_change_the_background():
    drawn = overlay(IMAGES[0], MASKS[0, :, :, 0])
    assert (drawn[1:] == 102).all() and (drawn[0, 2:] == 102).all()
    np.testing.assert_allclose(drawn[0, 0], 0.45 * 102 + 0.55 * 255 * np.array(class_color(1)), atol=1)


def test_class_percentages():
    assert class_percentages(MASKS[0], NAMES) == "cat 10 %" and class_percentages(MASKS[1]) == "class 2 50 %"
    speck = np.zeros((11, 10), int)
    speck[3, 3] = 1
    assert class_percentages(speck) == "class 1 <1 %"
    assert class_percentages(np.zeros((2, 3), int)) == "background only"
    speck[4] = 255
    assert class_percentages(speck, NAMES) == "cat <1 %, ignored 9 %"


def test_figure_has_a_row_for_each_image_and_a_legend():
    figure = batch_figure(IMAGES, MASKS, NAMES, predictions=MASKS[::-1])
    assert len(figure.axes) == 8
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:4] == ["image", "mask\ncat 10 %", "mask on image", "prediction\ndog 50 %"]
    assert titles[4:] == ["", "dog 50 %", "", "cat 10 %"]
    np.testing.assert_array_equal(figure.axes[5].images[0].get_array(), color_map(MASKS[1]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cat", "dog"]
    assert len(batch_figure(IMAGES, MASKS[..., 0], limit=1).axes) == 3


def test_different_sizes_are_errors():
    with pytest.raises(ValueError, match="do not match the prediction"):
        batch_figure(IMAGES, MASKS, predictions=MASKS[:, :3])
    with pytest.raises(ValueError, match="has no images"):
        batch_figure(IMAGES[:0], MASKS[:0])
