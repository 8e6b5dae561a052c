"""Copy-paste: which pixels are pasted, what of the objects behind them is left, and what a loader makes of it."""
import cv2
import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.geometry.rasterize import Frame, PolygonInstance, draw_instance, split_masks
from mrcnn.loading.augment import RandomFlip, ScaleJitter, named_augmentation
from mrcnn.loading.copy_paste import Placed, choose_objects, paste_objects
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import PasteSourceError, SampleSettings, make_sample
from mrcnn.training.settings import make_loader
from tests.loading.scenes import Scenes, scenes
from tests.training.small import small_config

SETTINGS = SampleSettings("square", min_dim=60, max_dim=64, mini_mask_shape=None, num_classes=4)
TARGETS = TargetSettings(np.array([[0, 0, 8, 8]]), 4, [0.1] * 4, 5, image_size=(64, 64))
SIZE = (8, 10)


def _placed(y1, x1, y2, x2):
    mask = np.zeros((*SIZE, 1), bool)
    mask[y1:y2, x1:x2] = True
    (instance,) = split_masks(mask)
    return Placed(instance, Frame.of_input(SIZE), (y1, x1, y2, x2))


def _pixels(placed):
    instance, frame, (y1, x1, y2, x2) = placed
    full = np.zeros(SIZE, bool)
    full[y1:y2, x1:x2] = draw_instance(instance, frame, (y1, x1, y2, x2), (y2 - y1, x2 - x1))
    return full


def test_pasting_by_hand():
    image, source = np.full((*SIZE, 3), 10, np.uint8), np.full((*SIZE, 3), 200, np.uint8)
    behind = [_placed(0, 0, 2, 2), _placed(1, 2, 4, 6), _placed(2, 4, 4, 5), _placed(3, 3, 6, 10)]
    rest, kept = paste_objects(image, behind, source, [_placed(2, 3, 6, 9)])
    assert (image[2:6, 3:9] == 200).all() and image.sum() == (80 * 10 + 24 * 190) * 3
    # the first is not touched, the third is hidden
    assert kept.tolist() == [0, 1, 3] and rest[0] is behind[0]
    # of the second, rows 1 to 3 and columns 2 to 5, the first row and the first column are left
    expected = np.zeros(SIZE, bool)
    expected[1, 2:6] = expected[2:4, 2] = True
    assert rest[1].box == (1, 2, 4, 6)
    np.testing.assert_array_equal(_pixels(rest[1]), expected)
    # of the fourth, its last column
    assert rest[2].box == (3, 9, 6, 10) and _pixels(rest[2]).sum() == 3


def test_a_sliver_is_dropped():
    image = np.zeros((*SIZE, 3), np.uint8)
    behind = [_placed(0, 0, 2, 10)]  # 20 pixels, of which 1 and then 2 are left
    pasted = [_placed(0, 0, 1, 10), _placed(1, 0, 2, 9)]
    assert not paste_objects(image, behind, image.copy(), pasted)[0]
    assert len(paste_objects(image, behind, image.copy(), [pasted[0], _placed(1, 0, 2, 8)])[0]) == 1


def test_a_box_that_is_covered_only_beside_its_mask_is_not_touched():
    triangle = PolygonInstance.of([[0, 0, 8, 0, 0, 8]])  # upper left
    behind = Placed(triangle, Frame.of_input(SIZE), (0, 0, 8, 8))
    image = np.zeros((*SIZE, 3), np.uint8)
    rest, _ = paste_objects(image, [behind], image.copy(), [_placed(6, 6, 8, 8)])
    assert rest[0] is behind, "outlines stay outlines"


def test_choice_of_objects():
    class_ids, active = np.array([1, -1, 2, 3], np.int32), np.array([1, 1, 0, 1], np.int32)
    chosen = [choose_objects(class_ids, active, np.random.default_rng(seed)).tolist() for seed in range(50)]
    assert {tuple(c) for c in chosen} == {(0,), (3,), (0, 3)}, "no crowd, and no class that is not active"
    assert not len(choose_objects(np.array([-1], np.int32), active, np.random.default_rng(0)))


ON, FROM = [(1, 5, 11, 35, 49)], [(3, 10, 20, 20, 30)]


def test_a_sample_by_hand():
    dataset = scenes(ON, FROM)  # 40 x 60 in 64 x 64: scaled to 43 x 64, 10 rows of padding above
    sample = make_sample(dataset, 0, SETTINGS, None, np.random.default_rng(0), paste_from=1)
    assert sample.class_ids.tolist() == [1, 3]
    (y1, x1, y2, x2) = sample.boxes[1]
    assert (sample.image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == 150).all()
    alone = make_sample(dataset, 1, SETTINGS, None, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.boxes[1], alone.boxes[0])
    np.testing.assert_array_equal(sample.masks[1], alone.masks[0])
    plain = make_sample(dataset, 0, SETTINGS, None, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.masks[0], plain.masks[0] & ~alone.masks[0])
    np.testing.assert_array_equal(sample.image_meta, plain.image_meta)
    inside = alone.masks[0]
    np.testing.assert_array_equal(sample.image[~inside], plain.image[~inside])
    np.testing.assert_array_equal(sample.image[inside], alone.image[inside])


@pytest.mark.parametrize("name", ["none", "flip", "flip+color", "rotate"])
def test_masks_follow_the_pixels_through_other_augmentations(name):
    if name == "rotate":
        pytest.importorskip("imgaug")
    dataset = scenes(ON, FROM)
    settings = SampleSettings("square", max_dim=128, mini_mask_shape=None, num_classes=4, random_scale=ScaleJitter(0.7, 1.4))
    pasted = 0
    for seed in range(8):
        sample = make_sample(dataset, 0, settings, named_augmentation(name), np.random.default_rng(seed), paste_from=1)
        for class_id, mask in zip(sample.class_ids, sample.masks, strict=True):
            padded = np.pad(mask.astype(np.uint8), 3)
            inner = cv2.erode(padded, np.ones((7, 7)))[3:-3, 3:-3] > 0  # away from interpolated borders
            if name != "flip+color":
                assert (np.abs(sample.image[inner][:, 0].astype(int) - 50 * class_id) <= 1).all()
            else:
                assert inner.sum() < 20 or np.ptp(sample.image[inner], axis=0).max() <= 1, "an object has one colour"
        assert not (sample.masks.sum(axis=0) > 1).any() or name == "rotate", "what is hidden is cut out"
        pasted += 3 in sample.class_ids
    assert pasted >= 4


def test_the_images_of_the_data_set_are_not_changed():
    class Cached(Scenes):
        """One image in memory, of the size of the network's input."""

        image = np.full((64, 64, 3), 10, np.uint8)

        def load_image(self, image_id):
            return self.image if image_id == 0 else np.full((64, 64, 3), 200, np.uint8)

    dataset = scenes([(1, 0, 0, 64, 64)], [(2, 10, 10, 20, 20)], cls=Cached)
    for info in dataset.image_info:
        info["size"] = (64, 64)
    out = np.zeros((64, 64, 3), np.uint8)
    for memory in (None, out):
        sample = make_sample(dataset, 0, SETTINGS, None, np.random.default_rng(0), memory, paste_from=1)
        assert (sample.image == 200).sum() == 300 and (Cached.image == 10).all()
        assert (sample.image is out) == (memory is out)


def test_a_loader_pastes_with_its_probability_by_seed_and_step_alone():
    dataset = scenes(*[[(1, 5, 11, 15, 20)], [(2, 25, 31, 35, 50)]] * 10)
    first, second = (Loader(dataset, SETTINGS, TARGETS, 1, shuffle=False, copy_paste=0.5, augmentation=RandomFlip())
                     for _ in range(2))  # fmt: skip
    batches = [first[step] for step in range(40)]
    for step in (33, 2):
        for a, b in zip(second[step], batches[step], strict=True):
            np.testing.assert_array_equal(a, b)
    two = [int((batch[5][0] != 0).sum()) > 1 for batch in batches]
    assert 5 < sum(two) < 35
    plain = Loader(dataset, SETTINGS, TARGETS, 1, shuffle=False, copy_paste=1.0, no_augmentation_sources=["scenes"])
    assert (plain[0][5][0] != 0).sum() == 1


def test_a_broken_image_to_paste_from_is_recorded_and_the_other_is_used():
    class Broken(Scenes):
        """The second image cannot be read."""

        def load_image(self, image_id):
            if image_id == 1:
                raise OSError("truncated")
            return super().load_image(image_id)

    dataset = scenes(ON, FROM, cls=Broken)
    with pytest.raises(PasteSourceError, match="image 1 .*: the image cannot be loaded: OSError: truncated"):
        make_sample(dataset, 0, SETTINGS, paste_from=1)
    loader = Loader(dataset, SETTINGS, TARGETS, 1, shuffle=False, copy_paste=1.0)
    assert all(loader[step][1][0, 0] == 0 for step in range(0, 12, 2))
    assert set(loader.broken) == {1}


def test_settings_of_a_configuration():
    dataset = scenes(ON, FROM)
    assert make_loader(dataset, small_config(COPY_PASTE=1.0)).copy_paste == 0, "validation is not changed"
    for values, words in (({"COPY_PASTE": 1.5}, "COPY_PASTE is 1.5: it must be a probability"),
                          ({"COPY_PASTE": 0.5, "IMAGE_RESIZE_MODE": "none"}, "pasting needs images of one size")):
        with pytest.raises(ConfigError, match=words):
            small_config(**values).validate()
