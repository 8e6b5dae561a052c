"""Images are selected by id, file name or class, and drawn with their annotations."""
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mrcnn.base.errors import DataError
from mrcnn.tools.view.figures import (
    annotations_of,
    choose_images,
    describe,
    draw_annotations,
    find_images,
    images_with,
    statistics_figure,
    view_figure,
)
from mrcnn.tools.view.statistics import dataset_statistics
from mrcnn.viz.colors import class_color
from tests.loading.scenes import Scenes, scenes

RED, GREEN, CROWD = (1, 5, 10, 25, 50), (2, 20, 0, 40, 30), (-1, 30, 40, 40, 60)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def dataset():
    return scenes([RED], [GREEN, CROWD], [])


# --- choosing images
def test_images_are_found_by_id_and_by_file_name(dataset):
    assert find_images(dataset, ["2", "0.png", "2.png", "1"]) == [2, 0, 1]
    dataset.image_info[1]["id"] = "000000000036"
    assert find_images(dataset, ["36"]) == find_images(dataset, ["000000000036"]) == [1]


def test_a_name_shared_by_two_images_gives_both():
    dataset = scenes([], [])
    for number, info in enumerate(dataset.image_info):
        info.update(id=f"day{number}/a", path=f"/data/day{number}/a.png")
    assert find_images(dataset, ["a"]) == [0, 1] and find_images(dataset, ["day1/a"]) == [1]


def test_an_unknown_image_is_reported_with_similar_names(dataset):
    with pytest.raises(DataError, match=r"none of the 3 images has the id or the file name '3.png'; there are (0|1|2).png"):
        find_images(dataset, ["3.png"])


def test_images_are_found_by_class(dataset):
    assert images_with(dataset, ["green"]) == [1] and images_with(dataset, ["red"]) == [0, 1]
    assert images_with(dataset, ["blue"]) == []
    with pytest.raises(ValueError, match="there is no class 'gren'; there are green"):
        images_with(dataset, ["gren"])


def test_subsets_are_searched_together(dataset):
    parts = [dataset, scenes([(3, 0, 0, 9, 9)], [RED], [RED], [GREEN])]
    assert choose_images(parts) == [[0, 1, 2], [0, 1, 2, 3]]
    assert choose_images(parts, names=["3", "0"]) == [[0], [3, 0]]
    assert choose_images(parts, class_names=["red"]) == [[0, 1], [1, 2]]
    assert choose_images(parts, names=["1", "0"], class_names=["blue"]) == [[], [0]]
    with pytest.raises(DataError, match="has the id or the file name '9'"):
        choose_images(parts, names=["0", "9"])
    with pytest.raises(ValueError, match="none of the chosen images contains blue"):
        choose_images(parts, names=["1"], class_names=["blue"])


# --- pictures
def test_annotations_have_the_format_of_detections(dataset):
    found = annotations_of(dataset, 1)
    assert found["rois"].tolist() == [[20, 0, 40, 30], [30, 40, 40, 60]] and found["class_ids"].tolist() == [2, -1]
    assert annotations_of(dataset, 2)["rois"].shape == (0, 4)


def test_a_mask_has_the_colour_of_its_class(dataset):
    plain = draw_annotations(dataset, 0, side=60, show_labels=False, show_boxes=False, alpha=1.0)
    assert plain.shape == (40, 60, 3)
    assert plain[15, 30].tolist() == np.rint(255 * np.array(class_color(1))).tolist()
    assert plain[35, 5].tolist() == [10, 10, 10], "the image is unchanged outside the mask"


@pytest.mark.parametrize("side, shape", [(30, (20, 30, 3)), (120, (80, 120, 3))])
def test_pictures_are_resized_with_their_annotations(dataset, side, shape):
    picture = draw_annotations(dataset, 0, side=side, show_labels=False, show_boxes=False, alpha=1.0)
    assert picture.shape == shape
    inside = picture[15 * side // 60, 30 * side // 60]
    assert inside.tolist() == np.rint(255 * np.array(class_color(1))).tolist()


def test_an_image_is_described(dataset):
    assert describe(dataset, 1) == ("1", "1 green, 1 red (crowd)") and describe(dataset, 2) == ("2", "no objects")


def _pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3]


def test_figure_shows_each_image_unscaled_with_a_title(dataset):
    figure, axes = view_figure(dataset, [0, 1, 2], columns=2, side=150)
    assert len(axes) == 3
    words = [text.get_text() for text in figure.texts]
    assert words == ["0", "1 red", "1", "1 green, 1 red (crowd)", "2", "no objects"]
    shown = _pixels(figure)
    box = axes[0].get_window_extent()
    top, left = shown.shape[0] - round(box.y1), round(box.x0)
    expected = draw_annotations(dataset, 0, side=150)
    np.testing.assert_array_equal(shown[top : top + 100, left : left + 150], expected)


@pytest.mark.parametrize("size, shape", [((300, 30), (180, 18, 3)), ((60, 40), (180, 120, 3))])
def test_the_height_of_a_tall_image_is_limited(size, shape):
    dataset = Scenes()
    dataset.add_class("scenes", 1, "red")
    dataset.add([(1, 0, 0, 9, 9)], *size)
    dataset.prepare()
    _, axes = view_figure(dataset, [0], side=120)
    assert axes[0].images[0].get_array().shape == shape


class Broken(Scenes):
    """No image can be read."""

    def load_image(self, image_id):
        raise DataError("image file $a_b$.png does not exist")


def test_an_image_that_cannot_be_read_is_replaced_by_the_reason():
    dataset = scenes([RED], cls=Broken)
    for info in dataset.image_info:
        info.update(height=40, width=60)
    figure, axes = view_figure(dataset, [0])
    assert "does not exist" in axes[0].texts[0].get_text()
    assert len(np.unique(_pixels(figure))) > 1


def test_no_image_gives_an_empty_figure(dataset):
    figure, axes = view_figure(dataset, [])
    assert axes == [] and _pixels(figure).size


# --- charts
def test_charts_show_the_counts(dataset):
    figure, axes = statistics_figure(dataset_statistics(dataset))
    assert [bar.get_width() for bar in axes[0].patches] == [1, 1], "a crowd is not an instance, and blue does not occur"
    assert [bar.get_height() for bar in axes[1].patches] == [1, 2], "one image without instances, two with one"
    assert axes[2].collections[0].get_offsets().tolist() == [[60, 40]] * 3
    assert [bar.get_height() for bar in axes[3].patches] == [2, 0, 0]
    counted = [axes[0].get_xticks(), axes[1].get_yticks(), axes[3].get_yticks()]
    assert all((ticks == np.round(ticks)).all() for ticks in counted), "ticks are whole numbers"
    statistics_figure(dataset_statistics(scenes()))
