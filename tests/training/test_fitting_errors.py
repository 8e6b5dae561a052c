"""An error in a later batch is raised unchanged to the caller of `train`."""
import os

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from tests.training.small import shapes, small_model


class FailingAugmenter:
    """An augmenter that changes nothing, and raises after `good` images."""

    def __init__(self, good):
        self.remaining = good

    def to_deterministic(self):
        self.remaining -= 1
        if self.remaining < 0:
            raise ValueError("the augmenter broke down")
        return self

    def seed_(self, *args, **kwargs):
        """Accept a seed, like the augmenters of imgaug."""

    def __call__(self, image, segmentation_maps=None):
        return image if segmentation_maps is None else (image, segmentation_maps)


@pytest.mark.parametrize(("workers", "processes"), [
    pytest.param(0, False, marks=pytest.mark.tensorflow_only), (2, False),
    pytest.param(1, True, marks=pytest.mark.tensorflow_only)])
def test_error_in_a_later_batch_is_raised_unchanged(tmp_path, workers, processes):
    model = small_model("training", tmp_path, IMAGES_PER_GPU=1, STEPS_PER_EPOCH=6, LOADER_WORKERS=workers,
                        LOADER_PROCESSES=processes)
    with pytest.raises(ValueError) as caught:
        model.train(shapes(6), None, 0.001, 1, "heads", augmentation=FailingAugmenter(good=3))
    assert str(caught.value) == "the augmenter broke down"


class ImagesWithoutObjects(Dataset):
    """A user's data set without objects, which is known only after loading the masks."""

    def load_image(self, image_id):
        return np.zeros((64, 64, 3), np.uint8)

    def load_mask(self, image_id):
        return np.zeros((64, 64, 0), bool), np.zeros(0, np.int32)


def test_validation_set_without_objects_is_rejected_before_training(tmp_path):
    validation = ImagesWithoutObjects()
    for number, name in enumerate(("square", "circle", "triangle"), start=1):
        validation.add_class("shapes", number, name)
        validation.add_image("shapes", number, None, height=64, width=64)
    validation.prepare()
    model = small_model("training", tmp_path)
    with pytest.raises(DataError, match="the validation data set cannot be used: none of the 3 images of the data set can be "
                       "trained on: 0 are broken and 3 are without instances. Choose images with objects, or train without"):
        model.train(shapes(2), validation, 0.01, 1, "heads")
    assert os.listdir(tmp_path) == []


def test_a_validation_set_of_training_images_is_warned_of(tmp_path, caplog):
    dataset = ImagesWithoutObjects()  # training ends at once, after the warning
    dataset.add_class("toys", 1, "ball"), dataset.add_class("toys", 2, "brick"), dataset.add_class("toys", 3, "cat")
    for number in range(3):
        dataset.add_image("toys", number, str(tmp_path / f"{number}.png"))
    dataset.prepare()
    model = small_model("training", tmp_path)
    with pytest.raises(DataError):
        model.train(dataset, dataset, 0.001, 1, "heads")
    assert "3 of 3 validation images are also training images, such as" in caplog.text
