import itertools

import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn.viz.instances import display_instances
from mrcnn.viz.labels import Label, add_captions

RED = (0.8, 0.2, 0.2)


def extents(ax):
    """The ground of each caption in pixels of the picture, (y1, x1, y2, x2)."""
    ax.figure.canvas.draw()
    boxes = [t.get_bbox_patch().get_window_extent().transformed(ax.transData.inverted()) for t in ax.texts]
    return [(min(b.y0, b.y1), min(b.x0, b.x1), max(b.y0, b.y1), max(b.x0, b.x1)) for b in boxes]


def shared(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


@pytest.mark.parametrize("shape", [(300, 500), (40, 64), (3000, 2000)])
def test_captions_of_a_crowd_do_not_cover_one_another(shape):
    height, width = shape
    boxes = np.array([[0.5, 0.4, 0.7, 0.6], [0.51, 0.41, 0.71, 0.61], [0.52, 0.4, 0.7, 0.6], [0.5, 0.42, 0.72, 0.6]])
    boxes = boxes * [height, width, height, width]
    _, ax = display_instances(np.zeros(shape, np.uint8), boxes, None, [1] * 4, ["BG", "person"], np.full(4, 0.9),
                              figsize=(8, 8))  # fmt: skip
    found = extents(ax)
    assert len(found) == 4
    for a, b in itertools.combinations(found, 2):
        assert shared(a, b) < 0.1 * (a[2] - a[0]) * (a[3] - a[1])


def test_captions_stay_inside_the_picture():
    _, ax = plt.subplots(figsize=(6, 6))
    ax.imshow(np.zeros((200, 300)))
    corners = [(0, 0, 20, 20), (0, 280, 20, 300), (180, 280, 200, 300), (180, 0, 200, 20)]
    add_captions(ax, [Label("a caption", box, RED) for box in corners] + [Label("", (0, 0, 9, 9), RED)], (200, 300))
    found = extents(ax)
    assert len(found) == 4
    for y1, x1, y2, x2 in found:
        assert y1 > -3 and x1 > -3 and y2 < 203 and x2 < 303


def test_the_first_lies_on_top():
    _, ax = plt.subplots()
    ax.imshow(np.zeros((200, 300)))
    add_captions(ax, [Label(name, (50, 50, 90, 90), RED) for name in "ab"], (200, 300))
    first, second = ax.texts
    assert first.get_text() == "a" and first.get_zorder() > second.get_zorder()
