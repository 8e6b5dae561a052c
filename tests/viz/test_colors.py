import itertools

import numpy as np
import pytest

from mrcnn.viz.colors import (
    GROUND_TRUTH,
    PALETTE,
    PREDICTION,
    class_color,
    contrast,
    instance_colors,
    pick_colors,
    random_colors,
    text_color,
)

# Simulates vision without green-sensitive cones. Source: Machado, Oliveira and Fernandes, A Physiologically-
# based Model for Simulation of Color Vision Deficiency, 2009, table 1, deuteranomaly of severity 1.0; on linear RGB.
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)


def test_colors_are_the_same_on_every_call():
    assert instance_colors(5) == instance_colors(9)[:5] == random_colors(5)
    assert [class_color(i) for i in (1, 2, 80)] == [class_color(i) for i in (1, 2, 80)]
    assert class_color(-3) == class_color(3)


def test_all_colors_are_different_and_in_range():
    assert len(set(PALETTE)) == len(PALETTE) == 21
    assert all(0 <= v <= 1 for color in PALETTE for v in color)
    assert len(instance_colors(100)) == 100


def simulate_deuteranopia(color):
    color = np.asarray(color)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    simulated = np.clip(DEUTERANOPIA @ linear, 0, 1)
    return np.where(simulated <= 0.0031308, simulated * 12.92, 1.055 * simulated ** (1 / 2.4) - 0.055)


def test_first_colors_differ_for_colour_blind_readers():
    colors = [*PALETTE[:7]]
    gaps = [np.abs(simulate_deuteranopia(a) - simulate_deuteranopia(b)).max() for a, b in itertools.combinations(colors, 2)]
    assert min(gaps) > 0.1
    pure = np.abs(simulate_deuteranopia((0.0, 0.6, 0.0)) - simulate_deuteranopia((0.75, 0.0, 0.0))).max()
    ours = np.abs(simulate_deuteranopia(GROUND_TRUTH) - simulate_deuteranopia(PREDICTION)).max()
    assert ours > 0.6 > pure  # pure green and red look similar


@pytest.mark.parametrize("ground, text", [((1, 1, 0), (0, 0, 0)), ((0, 0, 0.4), (1, 1, 1)), ((0, 0, 0), (1, 1, 1))])
def test_text_is_black_or_white(ground, text):
    assert text_color(ground) == text


def test_contrast_by_hand_and_of_text_on_each_color():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast((1, 0, 0), (1, 0, 0)) == 1
    # WCAG requires 4.5 for small text
    assert min(contrast(text_color(color), color) for color in PALETTE) >= 4.5


def test_pick_colors():
    ids = [5, 3, 5]
    by_instance, by_class = pick_colors(ids), pick_colors(ids, "class")
    assert len(set(by_instance)) == 3
    assert by_class[0] == by_class[2] != by_class[1]
    with pytest.raises(ValueError, match='color_by="hue".*instance.*class'):
        pick_colors(ids, "hue")


def test_dark_random_colors():
    assert random_colors(1, bright=False)[0] == pytest.approx([0.7 * v for v in random_colors(1)[0]])
    assert random_colors(0) == []
