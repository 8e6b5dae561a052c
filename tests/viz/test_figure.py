import sys
import types

import numpy as np
from matplotlib import patches
from matplotlib import pyplot as plt

from mrcnn.viz.figure import add_boxes, add_mask_outline, display_table, picture_grid, show_around, spread


def test_pictures_are_arranged_in_rows():
    pictures = [np.zeros((10, 20), np.uint8)] * 5
    figure, axes = picture_grid(pictures, list("abcde"), columns=3)
    assert [ax.get_title() for ax in axes] == list("abcde") and len(figure.axes) == 6
    width, height = figure.get_size_inches()
    assert width == 3 * 4.2 and height == 2 * (4.2 / 2 + 0.4)


def test_boxes_are_on_pixel_edges_and_do_not_change_the_axis_limits():
    _, (ax,) = picture_grid([np.zeros((10, 20, 3), np.uint8)], [""])
    add_boxes(ax, [[2, 3, 5, 30]], "red", dashed=True)
    (segment,) = ax.collections[0].get_segments()
    assert segment.min(axis=0).tolist() == [2.5, 1.5] and segment.max(axis=0).tolist() == [29.5, 4.5]
    assert ax.get_xlim() == (-0.5, 19.5)
    show_around(ax, (5, 8), 6.0)
    assert ax.get_xlim() == (5, 11) and ax.get_ylim() == (8, 2)
    add_boxes(ax, np.zeros((0, 4)), [])


def test_spread():
    assert spread(9, 3).tolist() == [0, 4, 8] and spread(2, 5).tolist() == [0, 1] and spread(0, 5).tolist() == []


def test_table_is_printed_as_text(capsys):
    display_table([["A", "B"], [1, "[red]x"], ["only"]])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["A", "B"], ["1", "[red]x"], ["only"]]
    display_table([])


def test_table_in_a_notebook_is_html(monkeypatch):
    pages, shell = [], types.SimpleNamespace(kernel="a kernel")
    fake_ipython = types.SimpleNamespace(HTML=lambda text: text, display=pages.append, get_ipython=lambda: shell)
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, fake_ipython)
    display_table([["a<b", 1]])
    assert pages == ["<table><tr><td>a&lt;b</td><td>1</td></tr></table>"]
    shell = None  # IPython is imported in a script
    display_table([["a<b", 1]])
    assert len(pages) == 1


def test_mask_outline_is_on_pixel_edges():
    mask = np.zeros((20, 30), bool)
    mask[0:4, 5:9] = True  # touches the upper edge
    _, ax = plt.subplots()
    add_mask_outline(ax, mask, "red")
    (outline,) = [child for child in ax.get_children() if isinstance(child, patches.Polygon)]
    x, y = outline.get_xy().T
    assert (x.min(), x.max(), y.min(), y.max()) == (4.5, 8.5, -0.5, 3.5)
    add_mask_outline(ax, np.zeros((20, 30)), "red")
    assert len([child for child in ax.get_children() if isinstance(child, patches.Polygon)]) == 1
