import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mrcnn import visualize
from mrcnn.viz import colors, draw, evaluation, figure, instances, layers, training_stages


def test_classic_names_are_the_functions_of_viz():
    modules = (colors, draw, evaluation, figure, instances, layers, training_stages)
    # what the classic module had imported itself
    imported = {"ROOT_DIR", "Polygon", "colorsys", "find_contours", "itertools", "lines", "np", "os", "patches", "plt",
                "random", "sys", "utils"}  # fmt: skip
    for name in visualize.__all__:
        if name not in imported:
            assert any(getattr(module, name, None) is getattr(visualize, name) for module in modules), name


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


MASKS = np.zeros((40, 60, 2), bool)
MASKS[5:20, 5:25, 0] = MASKS[22:38, 30:55, 1] = True
BOXES, IDS, NAMES = np.array([[5, 5, 20, 25], [22, 30, 38, 55]]), np.array([1, 2]), ["BG", "cat", "dog"]
SCORES = np.array([0.9, 0.8])
FIGURES = {
    "display_images": lambda image, n: visualize.display_images([image] * n),
    "display_instances": lambda image, n: visualize.display_instances(image, BOXES[:n], MASKS[:, :, :n], IDS[:n], NAMES),
    "display_differences": lambda image, n: visualize.display_differences(
        image, BOXES[:n], IDS[:n], MASKS[:, :, :n], BOXES[:n], IDS[:n], None, MASKS[:, :, :n], NAMES),
    "draw_rois": lambda image, n: visualize.draw_rois(image, BOXES[:n], BOXES[:n] + 1, np.ones((n, 28, 28)), IDS[:n], NAMES),
    "draw_boxes": lambda image, n: visualize.draw_boxes(image, BOXES[:n], BOXES[:n] + 2, MASKS[:, :, :n], ["a", "b"][:n]),
    "display_top_masks": lambda image, n: visualize.display_top_masks(image, MASKS[:, :, :n], IDS[:n], NAMES),
    "plot_precision_recall": lambda image, n: visualize.plot_precision_recall(0.5, SCORES[:n], SCORES[:n]),
    "plot_overlaps": lambda image, n: visualize.plot_overlaps(IDS[:n], IDS, None, np.ones((2, n)), NAMES),
}


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1), (40, 60, 3)])
@pytest.mark.parametrize("name", FIGURES)
def test_every_function_returns_a_figure_and_axes_for_any_image_and_count(name, shape, count):
    figure, axes = FIGURES[name](np.full(shape, 90, np.uint8), count)
    assert isinstance(figure, Figure) and all(isinstance(ax, Axes) for ax in np.ravel(axes))
    assert list(np.ravel(axes)) == figure.axes and all(ax.figure is figure for ax in figure.axes)


@pytest.mark.parametrize("backend", ["svg", "pdf", "cairo", "template"])
def test_display_instances_works_with_every_file_backend(backend, monkeypatch):
    if backend == "cairo":
        pytest.importorskip("cairo")
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    before = matplotlib.get_backend()
    try:
        plt.switch_backend(backend)
        figure, _ = FIGURES["display_instances"](np.zeros((40, 60), np.uint8), 2)
        figure.canvas.draw()
    finally:
        plt.close("all")
        plt.switch_backend(before)
