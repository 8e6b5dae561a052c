"""Instances are read in the order of the images, in this process or in workers, with the notes of their reader."""
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.tools.write import instances
from mrcnn.tools.write.instances import ReadImage, read_image_instances, read_instances

SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


class Lazy(AnnotatedDataset):
    """Image i has i % 3 squares. Image 5 is damaged; reading image 7 adds a skipped entry and a note."""

    source = "lazy"
    told = ()

    def annotations_of(self, image_id):
        if image_id == 5:
            raise DataError("5.png is damaged")
        if image_id == 7:
            self.skip("7.png", "it is empty")
            self.notes.append(("7.png", "it was rotated"))
        return [{"category_id": 1, "segmentation": SQUARE}] * (image_id % 3)


def lazy(count=40):
    dataset = Lazy()
    dataset.notes = []
    dataset.add_class("lazy", 1, "square")
    for i in range(count):
        dataset.add_annotated_image(i, None, (10, 20), None)
    dataset.prepare()
    dataset.skip("before", "it was skipped when the set was opened")
    return dataset


def check(reads, ids):
    assert [read.image_id for read in reads] == ids
    for read in reads:
        if read.image_id == 5:
            assert read.instances is None and read.skipped == [("image 5", "5.png is damaged")]
        else:
            assert [instance.area for instance in read.instances] == [16.0] * (read.image_id % 3)
            assert read.skipped == ([("7.png", "it is empty")] if read.image_id == 7 else [])
            assert read.notes == ([("7.png", "it was rotated")] if read.image_id == 7 else [])


def test_read_in_this_process():
    check(list(read_instances(lazy(), list(range(40)), 1)), list(range(40)))
    check(list(read_instances(lazy(), [9, 7, 5])), [9, 7, 5])  # too few images for worker processes


def test_read_in_worker_processes(monkeypatch):
    monkeypatch.setattr(instances, "_CHUNK", 3)
    check(list(read_instances(lazy(), list(range(40)), 2)), list(range(40)))


def test_custom_reading_function():
    def count(dataset, image_id):
        return ReadImage(image_id, len(read_image_instances(dataset, image_id).instances))

    assert [read.instances for read in read_instances(lazy(), [1, 2, 3], work=count)] == [1, 2, 0]


def test_programming_error_is_not_reported_as_invalid_data():
    class Faulty(Lazy):
        def annotations_of(self, image_id):
            return np.zeros(3)["area"]

    dataset = lazy()
    dataset.__class__ = Faulty
    with pytest.raises(IndexError):
        list(read_instances(dataset, [0]))


def test_data_set_class_of_the_running_script_is_read_in_this_process(monkeypatch):
    dataset = lazy()
    monkeypatch.setattr(Lazy, "__module__", "__main__")
    check(list(read_instances(dataset, list(range(40)), 2)), list(range(40)))
