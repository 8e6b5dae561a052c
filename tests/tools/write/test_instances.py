"""Areas and boxes, computed by hand."""
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.geometry.rle import encode_mask
from mrcnn.tools.write.instances import instances_to_write, measure
from tests.loading.scenes import Scenes, scenes

SIZE = (40, 60)
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]


@pytest.mark.parametrize("polygons, area, bbox", [
    ([SQUARE], 400, [10, 5, 20, 20]),
    ([[10.25, 5, 30, 5, 30, 24.5]], 19.75 * 19.5 / 2, [10.25, 5, 19.75, 19.5]),
    ([[10, 5, 10, 25, 30, 25, 30, 5]], 400, [10, 5, 20, 20]),  # the opposite orientation
    ([SQUARE, [40, 5, 50, 5, 50, 15, 40, 15]], 500, [10, 5, 40, 20]),
    ([SQUARE, [20, 5, 40, 5, 40, 25, 20, 25]], 600, [10, 5, 30, 20]),  # half of one overlaps half of the other
    ([[-10, 5, 10, 5, 10, 25, -10, 25]], 200, [0, 5, 10, 20]),  # half of it is outside
    ([[50, 30, 1e9, 30, 1e9, 1e9, 50, 1e9]], 100, [50, 30, 10, 10]),
    ([[10, 5, 30, 25, 30, 5, 10, 25]], 200, [10, 5, 20, 20]),  # an hourglass; its halves cancel out in the shoelace formula
])  # fmt: skip
def test_areas_and_boxes_of_polygons(polygons, area, bbox):
    measured = measure(polygons, SIZE)
    assert measured[0] == pytest.approx(area, abs=15 if polygons[0][3] == 25 and len(polygons) == 1 else 1e-9)
    assert measured[1] == bbox


def test_area_and_box_of_a_mask():
    mask = np.zeros(SIZE, bool)
    mask[3:10, 50:60] = True
    mask[4, 55] = False
    assert measure(encode_mask(mask), SIZE) == (69.0, [50, 3, 10, 7])


class Drawn(AnnotatedDataset):
    source = "drawn"


def drawn(*annotations):
    dataset = Drawn()
    dataset.add_class("drawn", 8, "dog")
    dataset.add_annotated_image("a", None, SIZE, [{"category_id": 8, **a} for a in annotations])
    dataset.prepare()
    return dataset


def test_valid_area_and_box_of_an_annotation_are_kept():
    dataset = drawn({"segmentation": [SQUARE], "area": 387.5, "bbox": [10.5, 5, 19, 20]},
                    {"segmentation": [SQUARE], "area": float("nan"), "bbox": [1, 2, 3]},
                    {"segmentation": [SQUARE], "iscrowd": 1})  # fmt: skip
    skipped = []
    measured = instances_to_write(dataset, 0, skipped)
    assert [(i.area, i.bbox) for i in measured] == [(387.5, [10.5, 5, 19, 20])] + 2 * [(400.0, [10, 5, 20, 20])]
    assert [i.class_id for i in measured] == [1, 1, 1] and [i.iscrowd for i in measured] == [0, 0, 1] and skipped == []
    assert measured[0].segmentation == [SQUARE]


@pytest.mark.parametrize("segmentation, reason", [
    ([[1, 2, 3, 4]], "none of its polygons has three points"),
    ([[1, 2, 3, 4, 5, float("nan")]], "not a finite number"),
    ([[70, 5, 90, 5, 90, 25]], "it has no area inside the image"),
    ([SQUARE, [1, 1, 9, 9, 1, -601]], "extends to more than 10 times the size of the image"),
    ({"size": [60, 40], "counts": [2400]}, "has size (60, 40), the image (40, 60)"),
    ({"size": [40, 60], "counts": [2401]}, "not usable"),
    ({"size": [40, 60], "counts": [2400]}, "no area"),
])  # fmt: skip
def test_unusable_instances_are_skipped(segmentation, reason):
    skipped = []
    (kept,) = instances_to_write(drawn({"segmentation": segmentation}, {"segmentation": [SQUARE]}), 0, skipped)
    ((where, message),) = skipped
    assert kept.segmentation == [SQUARE] and where == "instance 0 of image a" and reason in message


def test_masks_become_rle_and_an_overridden_method_is_used():
    (measured,) = instances_to_write(scenes([(3, 5, 10, 25, 30)]), 0, [])
    assert (measured.class_id, measured.area, measured.bbox) == (3, 400.0, [10, 5, 20, 20])
    assert measured.segmentation["size"] == [40, 60]

    class Halved(Drawn):
        def load_mask(self, image_id):
            return np.ones((*SIZE, 1), bool), np.array([-1])

    dataset = drawn({"segmentation": [SQUARE], "area": 400})
    dataset.__class__ = Halved
    (measured,) = instances_to_write(dataset, 0, [])
    assert (measured.area, measured.iscrowd) == (2400.0, 1)


def test_different_numbers_of_masks_and_classes_are_an_error():
    class Odd(Scenes):
        def load_mask(self, image_id):
            return np.ones((*SIZE, 2), bool), np.array([1])

        def image_size(self, image_id):
            return SIZE

    with pytest.raises(DataError, match="image 0: 2 masks and 1 class ids"):
        instances_to_write(scenes([], cls=Odd), 0, [])
