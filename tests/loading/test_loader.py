import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors
from mrcnn.geometry.boxes import apply_box_deltas
from mrcnn.loading.augment import RandomFlip
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings
from tests.loading.scenes import Scenes, scenes

ANCHORS = generate_pyramid_anchors((16, 32), (0.5, 1, 2), backbone_shapes((64, 64), (4, 8)), (4, 8), 1)
SAMPLE = SampleSettings("square", min_dim=40, max_dim=64, mini_mask_shape=(14, 14), num_classes=4)
TARGET = TargetSettings(ANCHORS, 32, np.array([0.1, 0.1, 0.2, 0.2]), 5)
OBJECT = [(1, 5, 10, 25, 50), (-2, 30, 0, 40, 20)]


def loader_of(dataset, batch_size=2, sample=SAMPLE, target=TARGET, **kwargs):
    return Loader(dataset, sample, target, batch_size, **kwargs)


def many(count=7, cls=Scenes):
    """Return distinguishable images: the object of image i is i pixels further to the right."""
    return scenes(*[[(1 + i % 3, 5, i, 25, i + 20)] for i in range(count)], cls=cls)


def ids(batch):
    """The image ids of a batch, without its padding rows."""
    return [int(meta[0]) for meta in batch[1] if meta[12:].any()]


def same(a, b):
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_by_hand():
    images, meta, positions, labels, deltas, class_ids, boxes, masks = loader_of(scenes(OBJECT, OBJECT), shuffle=False)[0]
    assert images.shape == (2, 64, 64, 3) and images.dtype == np.uint8
    assert meta.shape == (2, 16) and meta.dtype == np.float32 and meta[:, 0].tolist() == [0, 1]
    assert positions.shape == labels.shape == (2, 32) and positions.dtype == labels.dtype == np.int32
    assert deltas.shape == (2, 32, 4) and deltas.dtype == np.float32
    for row in range(2):
        num_positive = (labels[row] == 1).sum()
        assert num_positive > 0 and labels[row].tolist() == [1] * num_positive + [-1] * (32 - num_positive)
        reached = apply_box_deltas(ANCHORS[positions[row, :num_positive]], deltas[row, :num_positive] * TARGET.rpn_bbox_std_dev)
        np.testing.assert_allclose(reached, np.tile(boxes[row, 0], (num_positive, 1)), atol=1e-3)
        assert not deltas[row, num_positive:].any()
    assert class_ids.dtype == np.int32 and class_ids.tolist() == [[1, -2, 0, 0, 0]] * 2
    assert boxes.dtype == np.int32 and boxes.shape == (2, 5, 4)
    # 40 x 60 in 64 x 64: not scaled, shifted 12 down and 2 to the right
    assert boxes[0].tolist() == [[17, 12, 37, 52], [42, 2, 52, 22], [0] * 4, [0] * 4, [0] * 4]
    assert masks.shape == (2, 5, 14, 14) and masks.dtype == bool
    assert masks[:, :2].all() and not masks[:, 2:].any()


def test_every_image_is_used_once_per_pass():
    loader = loader_of(many(7), batch_size=3)
    assert len(loader) == 3
    batches = [loader[i] for i in range(3)]
    assert [len(ids(batch)) for batch in batches] == [3, 3, 1]
    assert sorted(sum(map(ids, batches), [])) == list(range(7))


def test_last_batch_is_padded_with_rows_that_losses_ignore():
    full, last = (loader_of(many(3), batch_size=2, shuffle=False)[step] for step in (0, 1))
    assert [array.shape for array in last] == [array.shape for array in full]
    assert [array.dtype for array in last] == [array.dtype for array in full]
    images, metas, *targets = last
    np.testing.assert_array_equal(images[0], images[1])
    assert metas[0, 12:].any() and not metas[1, 12:].any() and metas[1, :12].tolist() == metas[0, :12].tolist()
    assert all(array[0].any() and not array[1].any() for array in targets)
    # the row of the image is not changed
    unpadded = loader_of(many(3), batch_size=1, shuffle=False)[2]
    for array, expected in zip(last, unpadded, strict=True):
        np.testing.assert_array_equal(array[:1], expected)


def test_each_pass_has_a_reproducible_order():
    loader = loader_of(many(7), batch_size=7)
    orders = [ids(loader[i]) for i in range(4)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders == [ids(loader_of(many(7), batch_size=7)[i]) for i in range(4)]
    assert orders != [ids(loader_of(many(7), batch_size=7, seed=1)[i]) for i in range(4)]


def test_order_without_shuffling_is_that_of_the_data_set():
    loader = loader_of(many(5), batch_size=2, shuffle=False)
    assert [ids(loader[i]) for i in range(6)] == [[0, 1], [2, 3], [4]] * 2


def test_batch_depends_on_seed_and_step_only():
    """Fails for a loader that ignores its index or has a state."""
    crop = SampleSettings("crop", min_dim=32, mini_mask_shape=(14, 14), num_classes=4)
    settings = dict(sample=crop, augmentation=RandomFlip(0.5, 0.5), seed=3, keep_empty=True)
    forwards = [loader_of(many(), **settings)[i] for i in range(8)]
    loader = loader_of(many(), **settings)
    backwards = [loader[i] for i in reversed(range(8))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(loader.__getitem__, [*range(8)] * 3))
    assert all(same(a, b) for a, b in zip(forwards * 3, threaded, strict=True))
    copied = pickle.loads(pickle.dumps(loader))
    assert all(same(a, copied[i]) for i, a in enumerate(forwards))
    # in another pass the same image is cropped, flipped and matched differently
    image_0 = [b[0][ids(b).index(0)] for b in forwards if 0 in ids(b)]
    assert len(image_0) == 2 and (image_0[0] != image_0[1]).any()


def test_batch_of_two_equals_two_batches_of_one():
    pair = loader_of(many(4), batch_size=2, shuffle=False, augmentation=RandomFlip())[1]
    singles = [loader_of(many(4), batch_size=1, shuffle=False, augmentation=RandomFlip())[i] for i in (2, 3)]
    assert same(pair, [np.concatenate(arrays) for arrays in zip(*singles, strict=True)])


def test_a_negative_step_is_an_error():
    with pytest.raises(IndexError, match="but is -1"):
        loader_of(many())[-1]


@pytest.mark.parametrize("keep_empty", [False, True])
def test_images_without_objects_are_skipped_unless_kept(keep_empty):
    dataset = scenes([], OBJECT, [(-1, 0, 0, 9, 9)], OBJECT)  # the first is empty; the third has only a crowd
    loader = loader_of(dataset, batch_size=4, shuffle=False, keep_empty=keep_empty)
    batch = loader[0]
    if keep_empty:
        assert ids(batch) == [0, 1, 2, 3] and loader.empty == set()
        assert not batch[5][0].any() and batch[5][2].tolist() == [-1, 0, 0, 0, 0]
        assert (batch[3][0] == -1).all() and not batch[4][0].any()
    else:
        assert ids(batch) == [1, 1, 3, 3] and loader.empty == {0, 2}
        assert loader.broken == {}


def test_images_known_to_be_empty_are_not_part_of_a_pass():
    class Counted(Scenes):
        def num_instances(self, image_id):
            return len(self.image_info[image_id]["rectangles"])

    dataset = scenes([], OBJECT, [], OBJECT, cls=Counted)
    loader = loader_of(dataset, batch_size=1)
    assert len(loader) == 2 and loader.empty == {0, 2}
    assert len(loader_of(dataset, batch_size=1, keep_empty=True)) == 4
    with pytest.raises(DataError, match="none of the 2 images .* has an instance to train on"):
        loader_of(scenes([], [], cls=Counted))


def test_data_set_of_empty_images_is_an_error_and_not_an_endless_loop():
    with pytest.raises(DataError, match="0 are broken and 3 are without instances"):
        loader_of(scenes([], [], []))[0]


def test_surplus_objects_are_dropped_at_random():
    rectangles = [(1 + i % 3, 2 * i, 2 * i, 2 * i + 8, 2 * i + 8) for i in range(12)]
    loader = loader_of(scenes(rectangles), batch_size=1)
    kept = [{tuple(box) for box in loader[step][6][0]} for step in range(4)]
    assert all(len(boxes) == 5 for boxes in kept) and len(set(map(frozenset, kept))) > 1
    assert same(loader[2], loader_of(scenes(rectangles), batch_size=1)[2])


class Faulty(Scenes):
    """Image 1 cannot be read, image 3 has a mask of the wrong size."""

    def load_image(self, image_id):
        if image_id == 1:
            raise OSError("truncated file")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        info = self.image_info[image_id]
        if image_id == 3:
            return np.ones((60, 40, 1), bool), np.array([1])
        class_id, y1, x1, y2, x2 = info["rectangles"][0]
        mask = np.zeros((40, 60, 1), bool)
        mask[y1:y2, x1:x2] = True
        return mask, np.array([class_id])


def test_broken_samples_are_reported_once_and_replaced(caplog):
    loader = loader_of(many(5, Faulty), batch_size=5, shuffle=False)
    with caplog.at_level(logging.WARNING):
        first, second = loader[0], loader[1]
    assert ids(first) == ids(second) == [0, 2, 2, 4, 4]
    assert sorted(loader.broken) == [1, 3]
    assert "image 1" in loader.broken[1] and "truncated file" in loader.broken[1]
    assert "(60, 40)" in loader.broken[3]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and all("path" in message for message in messages)
    # the replacement does not depend on whether the fault is already known
    assert same(second, loader_of(many(5, Faulty), batch_size=5, shuffle=False)[1])


def test_many_broken_images_are_counted(caplog):
    """Of 45 broken images, the first ten are logged, and the count at 20 and at 40."""

    class MostlyBroken(Scenes):
        def load_image(self, image_id):
            if image_id < 45:
                raise RuntimeError("no such codec")
            return super().load_image(image_id)

    loader = loader_of(many(46, MostlyBroken), batch_size=1, shuffle=False)
    with caplog.at_level(logging.WARNING):
        assert ids(loader[0]) == [45] and len(loader.broken) == 45
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 12 and [m.split(",")[0] for m in messages[10:]] == [
        "skipped in training: 20 images so far", "skipped in training: 40 images so far"]  # fmt: skip


def test_error_about_broken_images_says_why():
    class Hopeless(Scenes):
        def load_image(self, image_id):
            raise RuntimeError("no such codec")

    with pytest.raises(DataError, match="none of the 3 images .* 3 are broken .* RuntimeError: no such codec"):
        loader_of(many(3, Hopeless))[0]


def test_a_class_out_of_range_is_reported():
    dataset = many(3)
    dataset.image_info[1]["rectangles"] = [(5, 0, 0, 5, 5)]
    loader = loader_of(dataset, batch_size=3, shuffle=False)
    assert ids(loader[0]) == [0, 2, 2] and "class id 5 is out of range" in loader.broken[1]


def test_image_emptied_by_augmentation_is_not_marked_as_empty():
    iaa = pytest.importorskip("imgaug.augmenters")
    away = iaa.Sometimes(0.5, iaa.Affine(translate_px=100))
    loader = loader_of(many(6), batch_size=6, shuffle=False, augmentation=away)
    batches = [ids(loader[step]) for step in range(4)]
    assert any(batch != [0, 1, 2, 3, 4, 5] for batch in batches)
    assert set(sum(batches, [])) == set(range(6)) and loader.empty == set()


def test_a_data_set_without_images_is_an_error():
    with pytest.raises(DataError, match="no images: check its folder"):
        loader_of(scenes())
    unprepared = Scenes()
    unprepared.add_class("scenes", 1, "red")
    unprepared.add(OBJECT)
    with pytest.raises(DataError, match=r"has 1 images, but prepare\(\) was not called"):
        loader_of(unprepared)


def test_more_classes_than_the_network_has_is_an_error():
    with pytest.raises(ValueError, match="has 4 classes .* NUM_CLASSES is 3: set it to 4"):
        loader_of(many(), sample=SampleSettings("square", 40, 64, num_classes=3))


def test_images_of_different_sizes_are_an_error():
    dataset = scenes(OBJECT)
    dataset.add([(1, 0, 0, 9, 9)], height=30)
    dataset.prepare()
    with pytest.raises(ValueError, match="different sizes.*IMAGE_RESIZE_MODE=square or crop"):
        loader_of(dataset, sample=SampleSettings("none", num_classes=4))[0]
    assert len(loader_of(dataset, batch_size=1, sample=SampleSettings("none", num_classes=4))[0][0]) == 1


def test_error_in_the_augmentation_stops_training():
    with pytest.raises(ValueError, match="must be an imgaug augmenter"):
        loader_of(many(), augmentation=str)[0]


def test_no_augmentation_sources_are_not_augmented():
    plain = loader_of(many(2), shuffle=False)[0]
    flipped = loader_of(many(2), shuffle=False, augmentation=RandomFlip(1.0))[0]
    excluded = loader_of(many(2), shuffle=False, augmentation=RandomFlip(1.0), no_augmentation_sources=["scenes"])[0]
    assert (plain[0] != flipped[0]).any()
    np.testing.assert_array_equal(plain[0], excluded[0])
    np.testing.assert_array_equal(plain[6], excluded[6])
    assert (plain[6] != flipped[6]).any()


@pytest.mark.parametrize("pixels, dtype, expected", [
    (np.full((40, 60, 3), 200 * 257, np.uint16), np.uint8, 200),
    (np.full((40, 60, 3), True), np.uint8, 255),
    (np.full((40, 60), 200.5), np.float32, 200.5),
], ids=["uint16", "bool", "grey floats"])  # fmt: skip
def test_images_of_other_dtypes_are_converted_to_the_range_of_8_bits(pixels, dtype, expected):
    class Deep(Scenes):
        def load_image(self, image_id):
            return pixels

    images = loader_of(many(2, Deep))[0][0]
    assert images.dtype == dtype and images[0, 32, 32].tolist() == [expected] * 3
    assert images[0, 0, 0].tolist() == [0] * 3  # padding


def test_8_bit_and_16_bit_images_can_be_mixed():
    class Mixed(Scenes):
        def load_image(self, image_id):
            image = super().load_image(image_id)
            return image.astype(np.uint16) * 257 if image_id % 2 else image

    for mixed, plain in zip(loader_of(many(4, Mixed))[0], loader_of(many(4))[0], strict=True):
        np.testing.assert_array_equal(mixed, plain)


def test_base_class_dataset_without_image_files_is_an_error():
    dataset = Dataset()
    dataset.add_class("things", 1, "thing")
    dataset.add_image("things", 0, "nowhere.png")
    dataset.prepare()
    with pytest.raises(DataError, match="nowhere.png does not exist"):
        loader_of(dataset)[0]


def test_a_batch_size_of_0_is_an_error():
    with pytest.raises(ValueError, match="at least 1, but is 0"):
        loader_of(many(), batch_size=0)


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
def test_samples_written_in_place_equal_stacked_samples(augmentation, cls, sample):
    settings = dict(augmentation=augmentation(), keep_empty=True, batch_size=3)
    stacked = loader_of(many(5, cls), sample=sample, **settings)
    in_place = loader_of(many(5, cls), sample=sample, target=replace(TARGET, image_size=(64, 64)), **settings)
    for step in range(4):
        assert same(stacked[step], in_place[step])
    kept = in_place[0]
    again = [array.copy() for array in kept]
    in_place[1]
    assert same(kept, again), "a later batch overwrote an earlier one"


class InMemory(Scenes):
    """Images that the data set keeps in memory and returns without a copy."""

    def prepare(self):
        super().prepare()
        self.kept = [np.full((64, 64, 3), 10 * i, np.uint8) for i in range(len(self.image_info))]
        for i, image in enumerate(self.kept):
            image[:, :32] += np.uint8(1 + i)
            self.image_info[i]["size"] = (64, 64)

    def load_image(self, image_id):
        return self.kept[image_id]


def test_flip_does_not_change_an_image_that_the_data_set_keeps():
    dataset = many(3, InMemory)
    before = [image.copy() for image in dataset.kept]
    target, sample = replace(TARGET, image_size=(64, 64)), replace(SAMPLE, resize_mode="none")
    for settings in ({"sample": sample, "target": target}, {"sample": sample}):
        loader = loader_of(dataset, batch_size=1, shuffle=False, augmentation=RandomFlip(1.0, 0.0), **settings)
        for step in range(3):
            batch = loader[step]
            assert ids(batch) == [step]
            np.testing.assert_array_equal(batch[0][0], before[step][:, ::-1])
    assert all(np.array_equal(a, b) for a, b in zip(before, dataset.kept, strict=True))


@pytest.mark.parametrize("size", [(100, 64), (64, 100)])
def test_image_shape_that_does_not_fit_the_pyramid_is_rejected(size):
    with pytest.raises(ValueError, match=f"IMAGE_SHAPE is {size[0]} x {size[1]} .*multiples of 64 for training"):
        loader_of(many(2), target=replace(TARGET, image_size=size))


class OneFloatImage(Scenes):
    """Image `odd` has floats from 0 to 1, as converted by scikit-image; the others are uint8."""

    odd = 2

    def load_image(self, image_id):
        image = super().load_image(image_id)
        return image / 255.0 if image_id == self.odd else image


class BrokenAndFloatImages(OneFloatImage):
    odd = 1

    def load_image(self, image_id):
        if image_id == 0:
            raise OSError("no image")
        return super().load_image(image_id)


@pytest.mark.parametrize("first_step", [0, 1, 2])
def test_image_of_another_dtype_is_skipped_and_reported(first_step):
    loader = loader_of(many(5, OneFloatImage), batch_size=1, shuffle=False)
    steps = [first_step, *range(5)]
    assert {loader[step][0].dtype for step in steps} == {np.dtype(np.uint8)}
    assert ids(loader[2]) == [3]
    assert list(loader.broken) == [2]
    assert "image 2 is float32" in loader.broken[2] and "uint8" in loader.broken[2]


def test_first_readable_image_sets_the_dtype():
    loader = loader_of(many(4, BrokenAndFloatImages), batch_size=1, shuffle=False)
    assert [loader[step][0].dtype for step in (3, 1)] == [np.float32] * 2
    assert sorted(loader.broken) == [0, 3]
