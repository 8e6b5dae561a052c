"""Precision-recall curves and the confusion matrix, tested by the content of their axes."""
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn.evaluation.coco import CocoResult, evaluate
from mrcnn.evaluation.mistakes import Confusion
from mrcnn.viz.evaluation import confusion_figure, plot_overlaps, plot_precision_recall, precision_recall_figure
from tests.evaluation.fake_dataset import FakeDataset, instance, result

SIZE = (120, 200)
NAMES = ["BG", "cat", "dog"]
BOX, OTHER = (0, 0, 40, 40), (60, 100, 110, 150)


def _result(*found, classes=("square", "circle", "triangle")):
    dataset = FakeDataset([[instance(SIZE, 1, BOX), instance(SIZE, 1, OTHER), instance(SIZE, 2, OTHER)]], classes=classes)
    return evaluate(lambda images: [result(SIZE, *found)], dataset)


def _lines(ax):
    return {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in ax.get_lines()}


def test_legends_show_the_metrics_of_the_result():
    found = _result((1, BOX, 0.9))  # one of two squares is found, and no circle
    _, (mean, classes) = precision_recall_figure(found)
    assert set(_lines(mean)) == {"IoU 0.50: AP50 0.252", "IoU 0.75: AP75 0.252", "IoU 0.50 to 0.95: AP 0.252"}
    assert set(_lines(classes)) == {"square: 0.505", "circle: 0.000"}  # there is no triangle in the ground truth
    recall, precision = _lines(classes)["square: 0.505"]
    assert (precision[recall <= 0.5] == 1).all() and not precision[recall > 0.5].any()
    _, precision = _lines(mean)["IoU 0.50: AP50 0.252"]
    assert precision.max() == 0.5  # the mean of the two classes
    assert precision_recall_figure(found, kind="box")[1][0].get_title() == "box: mean over the classes"


def test_only_the_most_frequent_classes_are_drawn():
    _, (_, classes) = precision_recall_figure(_result((1, BOX, 0.9)), limit=1)
    assert set(_lines(classes)) == {"square: 0.505"} and "most frequent of 2 classes" in classes.get_title()


def test_figures_without_detections_and_without_objects():
    _, (mean, _) = precision_recall_figure(_result())
    assert not any(precision.any() for _, precision in _lines(mean).values())
    empty = evaluate(lambda images: [result(SIZE)], FakeDataset([[]]))
    for ax in precision_recall_figure(empty)[1]:
        assert not ax.get_lines() and ax.texts[0].get_text() == "no objects in these images"
    with pytest.raises(ValueError, match="no curves of kind='mask'"):
        precision_recall_figure(CocoResult({}, {}))


def test_confusion_figure_shows_the_counts_with_the_background_last():
    counts = np.array([[0, 3, 0], [1, 7, 2], [4, 0, 5]])
    _, ax = confusion_figure(Confusion(counts, ["BG", "cat", "a name that is too long to be written out"]))
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["cat", "a name that is too long…", "background"] == [t.get_text() for t in ax.get_yticklabels()]
    cells = {(int(y), int(x)): t.get_text() for t in ax.texts for x, y in [t.get_position()]}
    assert cells == {(0, 0): "7", (0, 1): "2", (0, 2): "1", (1, 1): "5", (1, 2): "4", (2, 0): "3"}
    fractions = ax.images[0].get_array()
    assert fractions[0, 0] == 0.7 and fractions[2, 0] == 1


def test_confusion_figure_without_classes_and_with_many():
    _, ax = confusion_figure(Confusion(np.zeros((1, 1), int), ["BG"]))
    assert not ax.texts
    _, ax = confusion_figure(Confusion(np.eye(81, dtype=int), ["BG"] + [f"class $ {ix}" for ix in range(80)]), limit=20)
    assert len(ax.get_xticklabels()) == 21
    ax.figure.canvas.draw()  # dollar signs in names do not start a formula


def test_precision_recall_curve():
    plot_precision_recall(0.5, [1.0, 0.5, 0.0], [0.0, 0.5, 1.0])
    ax = plt.gca()
    assert "AP@50 = 0.500" in ax.get_title()
    assert ax.lines[0].get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Recall", "Precision")


def test_undefined_curve_is_drawn_without_a_value():
    for AP in (None, float("nan")):
        figure, ax = plot_precision_recall(AP, [np.nan, np.nan], [np.nan, np.nan])
        assert "AP@50 = none" in ax.get_title()
        figure.canvas.draw()


def test_overlaps_without_scores_and_of_many_instances():
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


def test_no_overlaps():
    plot_overlaps(np.zeros(0, int), np.array([1]), np.array([0.5]), np.zeros((1, 0)), NAMES)
    assert not plt.gca().texts
