"""The counts of a data set, computed by hand."""
import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.tools.view.statistics import dataset_statistics
from tests.loading.scenes import Scenes, scenes

# three images of 40 x 60: two red and a green; nothing; a blue one and a crowd of red ones
IMAGES = ([(1, 0, 0, 10, 10), (1, 0, 20, 40, 60), (2, 10, 0, 20, 5)], [], [(3, 0, 0, 4, 6), (-1, 20, 20, 30, 30)])


def test_instances_images_and_crowds_are_counted():
    statistics = dataset_statistics(scenes(*IMAGES))
    assert (statistics.images, statistics.instances, statistics.crowds, statistics.without_objects) == (3, 4, 1, 1)
    assert [(c.name, c.instances, c.images, c.crowds) for c in statistics.classes] == [
        ("red", 2, 2, 1), ("green", 1, 1, 0), ("blue", 1, 1, 0)]  # fmt: skip
    assert statistics.per_image.tolist() == [3, 0, 1]
    assert statistics.image_sizes.tolist() == [[40, 60]] * 3
    # 100, 1600, 50 and 24 pixels: one of them 32 ** 2 or more; the 100 of the crowd do not count
    assert statistics.areas == {"small": 3, "medium": 1, "large": 0}


def test_given_images_are_counted_with_progress():
    calls = []
    statistics = dataset_statistics(scenes(*IMAGES), [2], progress=lambda *step: calls.append(step))
    assert (statistics.images, statistics.instances, statistics.crowds) == (1, 1, 1) and calls == [(1, 1)]


def test_the_table_lists_present_and_absent_classes():
    dataset = scenes([(2, 0, 0, 10, 10)] * 3, [(1, 0, 0, 8, 8)])
    text = dataset_statistics(dataset).table(80)
    assert "2 images, 0 without objects; 4 instances\n" in text and "all 40 x 60 pixels" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["green", "3", "75.0%", "1", "#" * 20] in rows and ["red", "1", "25.0%", "1", "#" * 7] in rows
    assert "1 of 3 classes do not occur: blue" in text
    assert max(map(len, text.splitlines())) <= 80


def test_classes_beyond_the_limit_are_summed():
    rows = [line.split() for line in dataset_statistics(scenes(*IMAGES)).table(classes=1).splitlines()]
    assert ["2", "more", "classes", "2", "50.0%", "0"] in rows and not [row for row in rows if "green" in row]


def test_an_empty_data_set_has_a_table():
    statistics = dataset_statistics(scenes())
    assert (statistics.images, statistics.instances) == (0, 0) and statistics.areas == {"small": 0, "medium": 0, "large": 0}
    assert statistics.table().startswith("0 images, 0 without objects; 0 instances\n")
    assert "1 image, 1 without objects; 0 instances\n" in dataset_statistics(scenes([])).table()


class Broken(Scenes):
    """The second image cannot be read."""

    def load_mask(self, image_id):
        if image_id == 1:
            raise DataError("1.png: no such file")
        return super().load_mask(image_id)


def test_an_image_that_cannot_be_read_is_skipped_and_named():
    statistics = dataset_statistics(scenes(*IMAGES[:1] * 2, cls=Broken))
    assert statistics.images == 1 and statistics.skipped == [(1, "1.png: no such file")]
    assert "skipped: image 1: 1.png: no such file" in statistics.table()


def test_control_characters_in_names_are_escaped():
    dataset = scenes([(1, 0, 0, 5, 5)])
    dataset.class_names[1] = "red\x1b[31m"
    assert "\x1b" not in dataset_statistics(dataset).table()
    assert np.all(dataset_statistics(dataset).per_image == 1)
