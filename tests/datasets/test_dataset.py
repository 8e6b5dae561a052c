import time

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset, instances_of, overrides_later
from mrcnn.geometry.rle import decode_rle
from tests.loading.scenes import Scenes, scenes


def two_sources():
    dataset = Dataset()
    dataset.add_class("coco", 1, "person")
    dataset.add_class("coco", 18, "dog,hound")
    dataset.add_class("farm", "d", "dog")
    dataset.add_class("coco", 1, "person again")  # already added
    dataset.add_image("coco", 397133, "a.jpg", width=640, height=427)
    dataset.add_image("farm", "x", "b.jpg")
    return dataset


def test_classes_and_images_are_numbered():
    dataset = two_sources()
    dataset.prepare()
    assert dataset.class_info[0] == {"source": "", "id": 0, "name": "BG"}
    assert dataset.class_names == ["BG", "person", "dog,hound", "dog"]  # not cut at the comma
    assert dataset.num_classes == 4 and dataset.class_ids.tolist() == [0, 1, 2, 3]
    assert dataset.num_images == 2 and dataset.image_ids.tolist() == [0, 1]
    assert dataset.image_info[0] == {"id": 397133, "source": "coco", "path": "a.jpg", "width": 640, "height": 427}
    assert dataset.image_from_source_map == {"coco.397133": 0, "farm.x": 1}
    assert dataset.source_image_link(1) == "b.jpg" and dataset.image_reference(0) == ""


def test_class_ids_are_mapped_to_and_from_source_ids():
    dataset = two_sources()
    dataset.prepare()
    assert dataset.map_source_class_id("coco.18") == 2 and dataset.map_source_class_id("farm.d") == 3
    assert dataset.get_source_class_id(2, "coco") == 18
    with pytest.raises(ValueError, match="class 3 .dog. is of source 'farm', not of 'coco'"):
        dataset.get_source_class_id(3, "coco")


def test_each_source_has_its_classes():
    dataset = two_sources()
    dataset.prepare()
    assert dataset.source_class_ids == {"": [0], "coco": [0, 1, 2], "farm": [0, 3]}
    assert dataset.sources == ["", "coco", "farm"]


def test_classes_of_two_sources_can_be_merged():
    dataset = two_sources()
    dataset.prepare(class_map={"farm.d": "coco.18"})
    assert dataset.class_names == ["BG", "person", "dog,hound"]
    assert dataset.map_source_class_id("farm.d") == dataset.map_source_class_id("coco.18") == 2
    assert dataset.source_class_ids["farm"] == [0, 2]
    with pytest.raises(ValueError, match="'coco.99', which is not a remaining class"):
        two_sources().prepare(class_map={"farm.d": "coco.99"})


def test_images_added_after_prepare_count_after_the_next_prepare():
    dataset = two_sources()
    dataset.prepare()
    dataset.add_image("farm", "y", "c.jpg")
    assert len(dataset.image_ids) == 2
    dataset.prepare()
    assert len(dataset.image_ids) == 3


def test_many_classes_are_added_quickly_and_once():
    """40,000 categories took a minute and more, because each was compared with all before it."""
    dataset, started = Dataset(), time.process_time()
    for name in (*range(40_000), 0, 39_999):
        dataset.add_class("toys", name, f"toy {name}")
    assert time.process_time() - started < 10
    assert len(dataset.class_info) == 40_001 and dataset.class_info[-1]["id"] == 39_999
    del dataset.class_info[1:]  # as some projects do
    dataset.add_class("toys", 0, "a toy again")
    dataset.class_info.append({"source": "toys", "id": 7, "name": "added by hand"})
    dataset.add_class("toys", 7, "not added")
    assert [info["name"] for info in dataset.class_info] == ["BG", "a toy again", "added by hand"]


def test_source_name_with_a_dot_is_an_error():
    with pytest.raises(ValueError, match="must not have a dot"):
        Dataset().add_class("my.set", 1, "thing")


def test_default_mask_is_empty():
    masks, class_ids = two_sources().load_mask(0)
    assert masks.shape == (0, 0, 0) and class_ids.shape == (0,) and class_ids.dtype == np.int32
    assert two_sources().ground_truth(0) == []


def test_missing_image_file_is_named():
    dataset = two_sources()
    with pytest.raises(DataError, match="a.jpg does not exist"):
        dataset.load_image(0)
    dataset.add_image("farm", "z", None)
    with pytest.raises(DataError, match="image 2 has no path: override load_image"):
        dataset.load_image(2)


def test_image_size_comes_from_add_image_or_load_image():
    dataset = scenes([])
    assert dataset.image_size(0) == (40, 60)  # from load_image
    assert two_sources().image_size(0) == (427, 640)  # from add_image


def test_ground_truth_of_a_subclass_that_overrides_only_load_mask():
    dataset = scenes([(1, 2, 10, 12, 30), (-3, 0, 0, 40, 5), (2, 7, 7, 7, 7)])
    first, crowd = dataset.ground_truth(0)  # the third has no pixels
    assert first["class_id"] == 1 and first["iscrowd"] == 0
    assert first["bbox"] == [10.0, 2.0, 20.0, 10.0] and first["area"] == 200.0
    np.testing.assert_array_equal(decode_rle(first["segmentation"]), dataset.load_mask(0)[0][:, :, 0])
    assert crowd["class_id"] == 3 and crowd["iscrowd"] == 1 and crowd["area"] == 200.0


class Outlined(Scenes):
    """A reader that returns outlines."""

    def load_instances(self, image_id):
        return [[[0, 0, 4, 0, 4, 4]]], np.array([1])


class Overridden(Outlined):
    """A user's subclass that overrides only `load_mask`."""

    def load_mask(self, image_id):
        return np.ones((40, 60, 2), bool), np.array([2, 2])


def test_the_method_overridden_last_takes_effect():
    assert instances_of(scenes([(1, 0, 0, 5, 5)]), 0)[0].shape == (40, 60, 1)
    assert instances_of(scenes([], cls=Outlined), 0)[1].tolist() == [1]
    mine = scenes([], cls=Overridden)
    assert instances_of(mine, 0)[1].tolist() == [2, 2]
    assert overrides_later(mine, "load_mask", "load_instances")
    assert not overrides_later(mine, "load_instances", "load_mask")
