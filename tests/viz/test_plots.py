import sys
import types

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.viz.plots import display_table, display_weight_stats, plot_overlaps, plot_precision_recall
from tests.viz.layers import Layer

NAMES = ["BG", "cat", "dog"]


def test_precision_recall_curve():
    plot_precision_recall(0.5, [1.0, 0.5, 0.0], [0.0, 0.5, 1.0])
    ax = plt.gca()
    assert "AP@50 = 0.500" in ax.get_title()
    assert ax.lines[0].get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Recall", "Precision")


def test_a_curve_without_figures():
    for AP in (None, float("nan")):
        figure, ax = plot_precision_recall(AP, [np.nan, np.nan], [np.nan, np.nan])
        assert "AP@50 = none" in ax.get_title()
        figure.canvas.draw()


def test_overlaps_without_scores_and_of_many():
    _, ax = plot_overlaps(np.array([1]), np.array([2]), None, np.array([[0.2]]), NAMES)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dog"]
    overlaps = np.zeros((30, 30))
    overlaps[3, 4] = 0.7
    figure, ax = plot_overlaps(np.ones(30, int), np.ones(30, int), np.ones(30), overlaps, NAMES)
    assert [t.get_text() for t in ax.texts] == ["0.70\nmatch"]


def test_overlaps():
    overlaps = np.array([[0.8, 0.1], [0.6, 0.0]])
    plot_overlaps(np.array([1, 2, 0]), np.array([1, 2, 0]), np.array([0.9, 0.7, 0]), overlaps, NAMES)
    ax = plt.gca()
    assert [t.get_text() for t in ax.texts] == ["0.80\nmatch", "0.10", "0.60\nwrong", "0.00"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat (0.90)", "dog (0.70)"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["cat", "dog"]


def test_overlaps_of_nothing():
    plot_overlaps(np.zeros(0, int), np.array([1]), np.array([0.5]), np.zeros((1, 0)), NAMES)
    assert not plt.gca().texts


def test_table_as_text(capsys):
    display_table([["A", "B"], [1, "[red]x"], ["only"]])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["A", "B"], ["1", "[red]x"], ["only"]]
    display_table([])


def test_table_in_a_notebook(monkeypatch):
    pages, shell = [], types.SimpleNamespace(kernel="a kernel")
    stand_in = types.SimpleNamespace(HTML=lambda text: text, display=pages.append, get_ipython=lambda: shell)
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, stand_in)
    display_table([["a<b", 1]])
    assert pages == ["<table><tr><td>a&lt;b</td><td>1</td></tr></table>"]
    shell = None  # imported in a script
    display_table([["a<b", 1]])
    assert len(pages) == 1


def test_weight_stats_tell_what_looks_wrong(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    layers = [
        Layer("conv1", kernel=np.array([[-1.0, 3.0]]), bias=np.zeros(2)),
        Layer("dead", kernel=np.ones((2, 2))),
        Layer("wild", kernel=np.array([0.0, 2000.0]), bias=np.array([np.nan, 1.0])),
    ]
    display_weight_stats(types.SimpleNamespace(get_trainable_layers=lambda: layers))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "WEIGHT NAME SHAPE MIN MAX STD"
    assert lines[1] == "conv1/kernel (1, 2) -1.0000 +3.0000 +2.0000"
    assert lines[2].startswith("conv1/bias (as initialised) (2,)")
    assert lines[3].startswith("dead/kernel *** dead?")
    assert lines[4].startswith("wild/kernel *** overflow?")
    assert lines[5].startswith("wild/bias *** not finite")
