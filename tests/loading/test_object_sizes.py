import numpy as np
import pytest

from mrcnn.datasets.dataset import Dataset
from mrcnn.loading.object_sizes import InputSettings, best_scales, measure_objects, place_objects, relative_sides


def test_boxes_are_transformed_to_the_networks_input():
    # 256 x 512 becomes 512 x 1024 in a square of 1024: twice as large, 256 rows lower
    boxes, shapes = place_objects([np.array([[10.0, 20, 30, 60]])], [(256, 512)], InputSettings())
    np.testing.assert_allclose(boxes, [[276, 40, 316, 120]])
    assert shapes.tolist() == [[1024, 1024]]


@pytest.mark.parametrize("mode", ["none", "pad64", "crop"])
def test_other_resize_modes(mode):
    settings = InputSettings(IMAGE_RESIZE_MODE=mode, IMAGE_MIN_DIM=512, IMAGE_MAX_DIM=1024)
    boxes, shapes = place_objects([np.array([[10.0, 20, 30, 60]])], [(512, 1024)], settings)
    np.testing.assert_allclose(boxes, [[10, 20, 30, 60]])
    assert shapes.tolist() == [[512, 1024]]


def test_sides_are_relative_to_the_longer_side_of_their_image():
    # 10 x 40 and 30 x 30 in 100 x 200: roots of 400 and 900, so 20 / 200 and 30 / 200; 8 x 8 in 80 x 50: 8 / 80
    boxes = [np.array([[0.0, 0, 30, 30], [0, 0, 10, 40]]), np.array([[1.0, 1, 9, 9]])]
    np.testing.assert_allclose(relative_sides(boxes, [(100, 200), (80, 50)]), [0.1, 0.1, 0.15])


def test_scales_of_equal_squares_at_the_nodes_of_a_level_contain_their_side():
    boxes = np.array([[64.0 - 16, 64 - 16, 64 + 16, 64 + 16]] * 3)
    score, scales = best_scales(boxes, np.full((3, 2), 128), InputSettings())
    assert score == 3 and 32 in scales


class Scenes(Dataset):
    """Four images of 20 x 30: a square of 4 and a crowd; only a crowd; nothing; masks that fail."""

    def load_mask(self, image_id):
        masks = np.zeros((20, 30, 2), bool)
        masks[2:6, 3:7, 0] = masks[10:, :, 1] = True
        if image_id == 3:
            raise ValueError("no masks")
        return [(masks, np.array([1, -1])), (masks[:, :, 1:], np.array([-1])), (masks[:, :, :0], np.array([], int))][image_id]


def test_objects_of_a_data_set_are_measured_without_crowds_and_images_that_fail():
    scenes = Scenes()
    scenes.add_class("toys", 1, "ball")
    for i in range(4):
        scenes.add_image("toys", i, None, height=20, width=30)
    scenes.prepare()
    boxes, sizes = measure_objects(scenes, 10)
    assert [of_image.tolist() for of_image in boxes] == [[[2, 3, 6, 7]]] and sizes == [(20, 30)]
    assert measure_objects(scenes, 1).sizes == [(20, 30)]  # only the first image
