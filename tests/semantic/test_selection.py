"""Which images hold a class, and the numbers of classes, against rectangles drawn by hand."""
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.semantic.selection import class_list, filter_images, number_classes
from tests.loading.scenes import Scenes, scenes
from tests.semantic.drawn import RED, SCENES, Broken


@pytest.mark.parametrize("classes, expected", [
    (None, [0, 1, 2, 3, 4]),
    (["red"], [0, 3]),
    ("red", [0, 3]),
    (["green", "blue"], [0, 1, 4]),
])  # fmt: skip
def test_images_that_hold_a_class_each_once(classes, expected):
    dataset, ids = filter_images(scenes(*SCENES), classes)
    assert ids.dtype == np.int64 and sorted(ids.tolist()) == expected and dataset.num_images == 5


def test_the_order_follows_from_the_seed():
    dataset = scenes(*[[(RED, 0, 0, 9, 9)]] * 30)
    orders = [filter_images(dataset, ["red"], seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and orders[0] != sorted(orders[0])


@pytest.mark.parametrize("classes, said", [
    (["red", "pink"], "no class 'pink'; it has red, green, blue"),
    (["red", "red"], "'red' is asked for twice"),
    (["BG"], "no class 'BG'"),
    ([], "no class is asked for"),
])  # fmt: skip
def test_classes_that_cannot_be_found_are_told(classes, said):
    with pytest.raises(DataError, match=said):
        filter_images(scenes(*SCENES), classes)


def test_no_image_at_all_is_told():
    with pytest.raises(DataError, match="no image holds any of the classes green, blue"):
        filter_images(scenes([(RED, 0, 0, 9, 9)]), ["green", "blue"])
    with pytest.raises(DataError, match="has no images"):
        filter_images(Scenes())
    with pytest.raises(ValueError, match="an open data set was given"):
        filter_images(scenes(*SCENES), ["red"], "train")


def test_an_image_whose_instances_cannot_be_read_is_left_out(caplog):
    _, ids = filter_images(scenes(*SCENES, cls=Broken), ["red"])
    assert ids.tolist() == [0] and "image 3" in caplog.text and "the disk is gone" in caplog.text


def test_numbers_of_classes():
    dataset = scenes(*SCENES)
    assert number_classes(dataset).tolist() == [0, 1, 2, 3]
    assert number_classes(dataset, ["blue", "red"]).tolist() == [0, 2, 0, 1]
    assert number_classes(dataset, ["blue", "red"], "binary").tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="mask_type is 'both', expected binary or normal"):
        number_classes(dataset, None, "both")


def test_classes_of_one_name_in_two_sources_are_one():
    dataset = scenes()
    dataset.add_class("other", 7, "green")
    dataset.add_class("other", 8, "grey")
    dataset.prepare()
    assert class_list(dataset) == ["red", "green", "blue", "grey"]
    assert number_classes(dataset).tolist() == [0, 1, 2, 3, 2, 4]
