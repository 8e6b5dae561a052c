"""All batches of a loader are of one dtype: TensorFlow reads a data stream by the dtypes of its first batches."""
import numpy as np
import pytest

from tests.loading.scenes import Scenes
from tests.loading.test_loader import ids, loader_of, many


class OddOne(Scenes):
    """Image `odd` is of floats from 0 to 1, as scikit-image's conversions give them; the others are bytes."""

    odd = 2

    def load_image(self, image_id):
        image = super().load_image(image_id)
        return image / 255.0 if image_id == self.odd else image


class FirstIsBroken(OddOne):
    odd = 1

    def load_image(self, image_id):
        if image_id == 0:
            raise OSError("no image")
        return super().load_image(image_id)


@pytest.mark.parametrize("first_step", [0, 1, 2])
def test_an_image_of_another_dtype_is_left_out_and_reported(first_step):
    loader = loader_of(many(5, OddOne), batch_size=1, shuffle=False)
    steps = [first_step, *range(5)]
    assert {loader[step][0].dtype for step in steps} == {np.dtype(np.uint8)}
    assert ids(loader[2]) == [3]
    assert list(loader.broken) == [2]
    assert "image 2 is float64" in loader.broken[2] and "uint8" in loader.broken[2]


def test_the_first_image_that_can_be_read_decides():
    loader = loader_of(many(4, FirstIsBroken), batch_size=1, shuffle=False)
    assert [loader[step][0].dtype for step in (3, 1)] == [np.float32] * 2
    assert sorted(loader.broken) == [0, 3]
