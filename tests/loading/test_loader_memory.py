"""A batch whose samples are written into its rows is the batch that stacking them makes."""
from dataclasses import replace

import numpy as np
import pytest

from mrcnn.loading.augment import RandomFlip
from tests.loading.scenes import Scenes
from tests.loading.test_loader import SAMPLE, TARGET, ids, loader_of, many, same


class Floats(Scenes):
    def load_image(self, image_id):
        return super().load_image(image_id) / 7.0


class OneBroken(Scenes):
    def load_image(self, image_id):
        if image_id == 1:
            raise OSError("no image")
        return super().load_image(image_id)


def rotation():
    return pytest.importorskip("imgaug.augmenters").Affine(rotate=(-30, 30))


@pytest.mark.parametrize("augmentation", [lambda: None, lambda: RandomFlip(0.5, 0.5), rotation])
@pytest.mark.parametrize("cls", [Scenes, Floats, OneBroken])
@pytest.mark.parametrize(
    "sample",
    [SAMPLE, replace(SAMPLE, resize_mode="crop", min_dim=64), replace(SAMPLE, min_dim=64, max_dim=64)],
)
def test_written_in_place_or_stacked_is_the_same(augmentation, cls, sample):
    settings = dict(augmentation=augmentation(), keep_empty=True, batch_size=3)
    stacked = loader_of(many(5, cls), sample=sample, **settings)
    known = replace(sample, num_channels=3)
    in_place = loader_of(many(5, cls), sample=known, target=replace(TARGET, image_size=(64, 64)), **settings)
    for step in range(4):
        assert same(stacked[step], in_place[step])
    kept = in_place[0]
    again = [array.copy() for array in kept]
    in_place[1]
    assert same(kept, again), "a later batch wrote over an earlier one"


class Kept(Scenes):
    """Images that the data set keeps and hands out again."""

    def prepare(self):
        super().prepare()
        self.kept = [np.full((64, 64, 3), 10 * i, np.uint8) for i in range(len(self.image_info))]
        for i, image in enumerate(self.kept):
            image[:, :32] += np.uint8(1 + i)
            self.image_info[i]["size"] = (64, 64)

    def load_image(self, image_id):
        return self.kept[image_id]


def test_a_flip_leaves_the_data_sets_own_image_alone():
    dataset = many(3, Kept)
    before = [image.copy() for image in dataset.kept]
    target, sample = replace(TARGET, image_size=(64, 64)), replace(SAMPLE, resize_mode="none", num_channels=3)
    for settings in ({"sample": sample, "target": target}, {"sample": replace(sample, num_channels=None)}):
        loader = loader_of(dataset, batch_size=1, shuffle=False, augmentation=RandomFlip(1.0, 0.0), **settings)
        for step in range(3):
            batch = loader[step]
            assert ids(batch) == [step]
            np.testing.assert_array_equal(batch[0][0], before[step][:, ::-1])
    assert all(np.array_equal(a, b) for a, b in zip(before, dataset.kept, strict=True))
