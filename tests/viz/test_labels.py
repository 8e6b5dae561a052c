import itertools

import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn.viz.instances import display_instances
from mrcnn.viz.labels import Label, add_captions, draw_labels, font_size, instance_text, place

RED = (0.8, 0.2, 0.2)
NAMES = ["BG", "cat", "dog"]


@pytest.mark.parametrize(
    "class_id, score, text",
    [(1, 0.934, "cat 0.934"), (2, None, "dog"), (-2, None, "dog (crowd)"), (7, 0.5, "class 7 0.500"), (1, 0, "cat 0.000")],
)
def test_instance_text(class_id, score, text):
    assert instance_text(class_id, NAMES, score) == text


def test_instance_text_without_names():
    assert instance_text(3) == "class 3"


@pytest.mark.parametrize("shape, size", [((128, 128), 11), ((480, 640), 13), ((1024, 1024), 22), ((4000, 6000), 48)])
def test_font_size_depends_on_the_picture_size(shape, size):
    assert font_size(shape) == size


@pytest.mark.parametrize(
    "box, position",
    [
        ((50, 30, 90, 80), (40, 30, 50, 60)),  # above the box
        ((4, 30, 90, 80), (0, 30, 10, 60)),  # moved down into the picture
        ((50, 180, 90, 200), (40, 170, 50, 200)),  # moved to the left
    ],
)
def test_position_of_the_first_label(box, position):
    assert place(box, (10, 30), [], (100, 200)) == position


def test_labels_of_the_same_box_do_not_overlap():
    taken = []
    for _ in range(8):
        position = place((50, 30, 90, 80), (10, 30), taken, (200, 200))
        assert all(position[2] <= y1 or y2 <= position[0] or position[3] <= x1 or x2 <= position[1] for y1, x1, y2, x2 in taken)
        taken.append(position)


@pytest.mark.parametrize("box", [(-40, -40, -20, -20), (500, 500, 600, 600), (0, 0, 0, 0), (0, 0, 100, 200)])
def test_label_stays_inside_the_picture(box):
    y1, x1, y2, x2 = place(box, (10, 30), [], (100, 200))
    assert 0 <= y1 < y2 <= 100 and 0 <= x1 < x2 <= 200


WHITE = (1.0, 1.0, 1.0)


def test_draw_labels_changes_only_the_pixels_of_the_label():
    image = np.full((100, 200, 3), 50, np.uint8)
    out = draw_labels(image, [Label("cat 0.93", (50, 30, 90, 80), (1.0, 1.0, 0.0))])
    assert (image == 50).all()  # the input is not modified
    changed = np.nonzero((out != 50).any(axis=-1))
    assert changed[0].min() >= 30 and changed[0].max() < 50 and changed[1].min() == 30
    assert (out[changed] == [255, 255, 0]).all(axis=-1).mean() > 0.4
    assert (out[changed].max(axis=-1) < 60).any()  # black letters


def test_text_wider_than_the_picture_is_cut():
    out = draw_labels(np.zeros((40, 40, 3), np.uint8), [Label("a very long name indeed", (20, 5, 30, 30), WHITE)])
    assert out.shape == (40, 40, 3) and out.any()


def test_non_ascii_letters_and_an_empty_text():
    black = np.zeros((60, 200, 3), np.uint8)
    assert draw_labels(black, [Label("Кошка çà ß", (30, 5, 50, 30), WHITE)]).any()
    assert not draw_labels(black, [Label("", (30, 5, 50, 30), WHITE)]).any()


def test_draw_no_labels():
    image = np.zeros((4, 4, 3), np.uint8)
    out = draw_labels(image, [])
    assert (out == image).all() and out is not image


def extents(ax):
    """Return the background of each caption, (y1, x1, y2, x2) in pixels of the picture."""
    ax.figure.canvas.draw()
    boxes = [t.get_bbox_patch().get_window_extent().transformed(ax.transData.inverted()) for t in ax.texts]
    return [(min(b.y0, b.y1), min(b.x0, b.x1), max(b.y0, b.y1), max(b.x0, b.x1)) for b in boxes]


def intersection(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


@pytest.mark.parametrize("shape", [(300, 500), (40, 64), (3000, 2000)])
def test_captions_of_overlapping_instances_do_not_overlap(shape):
    height, width = shape
    boxes = np.array([[0.5, 0.4, 0.7, 0.6], [0.51, 0.41, 0.71, 0.61], [0.52, 0.4, 0.7, 0.6], [0.5, 0.42, 0.72, 0.6]])
    boxes = boxes * [height, width, height, width]
    _, ax = display_instances(np.zeros(shape, np.uint8), boxes, None, [1] * 4, ["BG", "person"], np.full(4, 0.9),
                              figsize=(8, 8))  # fmt: skip
    found = extents(ax)
    assert len(found) == 4
    for a, b in itertools.combinations(found, 2):
        assert intersection(a, b) < 0.1 * (a[2] - a[0]) * (a[3] - a[1])


def test_captions_stay_inside_the_picture():
    _, ax = plt.subplots(figsize=(6, 6))
    ax.imshow(np.zeros((200, 300)))
    corners = [(0, 0, 20, 20), (0, 280, 20, 300), (180, 280, 200, 300), (180, 0, 200, 20)]
    add_captions(ax, [Label("a caption", box, RED) for box in corners] + [Label("", (0, 0, 9, 9), RED)], (200, 300))
    found = extents(ax)
    assert len(found) == 4
    for y1, x1, y2, x2 in found:
        assert y1 > -3 and x1 > -3 and y2 < 203 and x2 < 303


def test_first_label_is_on_top():
    _, ax = plt.subplots()
    ax.imshow(np.zeros((200, 300)))
    add_captions(ax, [Label(name, (50, 50, 90, 90), RED) for name in "ab"], (200, 300))
    first, second = ax.texts
    assert first.get_text() == "a" and first.get_zorder() > second.get_zorder()
