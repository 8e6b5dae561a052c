"""An error in the data of a later step reaches the caller unwrapped."""
import pytest

from tests.training.small import shapes, small_model


class BreaksLater:
    """An augmenter that does nothing, until it breaks."""

    def __init__(self, good):
        self.left = good

    def to_deterministic(self):
        self.left -= 1
        if self.left < 0:
            raise ValueError("the augmenter broke down")
        return self

    def seed_(self, *args, **kwargs):
        """Take a seed as imgaug's augmenters do."""

    def __call__(self, image, segmentation_maps=None):
        return image if segmentation_maps is None else (image, segmentation_maps)


@pytest.mark.parametrize(("workers", "processes"), [(0, False), (2, False), (1, True)])
def test_an_error_in_a_later_batch_reaches_the_caller_unwrapped(tmp_path, workers, processes):
    model = small_model("training", tmp_path, IMAGES_PER_GPU=1, STEPS_PER_EPOCH=6, LOADER_WORKERS=workers,
                        LOADER_PROCESSES=processes)
    with pytest.raises(ValueError) as caught:
        model.train(shapes(6), None, 0.001, 1, "heads", augmentation=BreaksLater(good=3))
    assert str(caught.value) == "the augmenter broke down"
