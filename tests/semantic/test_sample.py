"""An image with its class map, compared with hand-computed maps and with pycocotools."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools.coco import COCO

from mrcnn.base.errors import DataError
from mrcnn.geometry.rasterize import as_instance
from mrcnn.geometry.rle import encode_mask
from mrcnn.semantic.augment import SemanticAugmentation
from mrcnn.semantic.batches import filter_images, number_classes
from mrcnn.semantic.sample import make_semantic_sample, nearest_positions, paint_classes
from tests.loading.scenes import Scenes, scenes
from tests.semantic.drawn import AUGMENTATION, RED, SCENES
from tests.shared_data import shared_path


def parts_of(segmentations, size):
    return [as_instance(segmentation, size) for segmentation in segmentations]


@pytest.mark.parametrize("length, count, expected", [
    (4, 4, [0, 1, 2, 3]),
    (3, 6, [0, 0, 1, 1, 2, 2]),
    (6, 3, [1, 3, 5]),  # centres at 1, 3, 5: the pixel that starts there
    (5, 2, [1, 3]),  # centres at 1.25 and 3.75
    (1, 3, [0, 0, 0]),
    (7, 1, [3]),
])  # fmt: skip
def test_nearest_positions(length, count, expected):
    assert nearest_positions(length, count).tolist() == expected


def test_higher_number_wins_in_any_order():
    left, right = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    left[:, :3] = right[:, 1:] = True
    expected = [[2, 2, 2, 1]] * 2
    for order in ((0, 1), (1, 0)):
        masks = [(left, right)[i] for i in order]
        painted = paint_classes(parts_of(masks, (2, 4)), [(2, 1)[i] for i in order], (2, 4), (2, 4))
        assert painted.dtype == np.uint16
        np.testing.assert_array_equal(painted, expected)


def test_polygons_are_drawn_at_the_size_of_the_map():
    # an image of 4 x 8 halved: the square from (x 2, y 0) to (6, 4) becomes (1, 0) to (3, 2)
    (part,) = parts_of([[[2, 0, 6, 0, 6, 4, 2, 4]]], (4, 8))
    np.testing.assert_array_equal(paint_classes([part], [7], (4, 8), (2, 4)), [[0, 7, 7, 0]] * 2)
    # enlarged to 8 x 24, three times as wide and twice as high
    large = np.zeros((8, 24), int)
    large[:, 6:18] = 7
    np.testing.assert_array_equal(paint_classes([part], [7], (4, 8), (8, 24)), large)


def test_polygon_rle_and_mask_of_a_square_agree():
    mask = np.zeros((6, 9), bool)
    mask[1:5, 2:7] = True
    forms = [[[2, 1, 7, 1, 7, 5, 2, 5]], encode_mask(mask), mask]
    for size in ((6, 9), (12, 27), (2, 3)):
        first, *others = [paint_classes(parts_of([form], (6, 9)), [3], (6, 9), size) for form in forms]
        for other in others:
            np.testing.assert_array_equal(first, other)
        assert first.any()


def test_number_0_and_no_instances_give_background():
    parts = parts_of([np.ones((2, 3), bool)], (2, 3))
    assert not paint_classes(parts, [0], (2, 3), (2, 3)).any()
    assert paint_classes([], [], (2, 3), (5, 4)).shape == (5, 4)


@pytest.mark.parametrize("number", [-1, 65536])
def test_numbers_out_of_range_are_errors(number):
    with pytest.raises(ValueError, match="from 0 to 65535"):
        paint_classes(parts_of([np.ones((2, 3), bool)], (2, 3)), [number], (2, 3), (2, 3))


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)),
       st.integers(1, 20), st.integers(1, 20))
def test_map_split_into_classes_gives_the_resized_map(class_map, height, width):
    """Masks that partition the image, resized separately, give the resized map without gaps."""
    numbers = [int(v) for v in np.unique(class_map)]
    parts = parts_of([class_map == v for v in numbers], class_map.shape)
    painted = paint_classes(parts, numbers, class_map.shape, (height, width))
    rows = [int((i + 0.5) * class_map.shape[0] / height) for i in range(height)]
    cols = [int((i + 0.5) * class_map.shape[1] / width) for i in range(width)]
    np.testing.assert_array_equal(painted, class_map[rows][:, cols])


def test_class_map_by_hand():
    numbers = number_classes(scenes(), ["blue", "red"])
    image, class_map = make_semantic_sample(scenes(*SCENES), 0, (20, 30), numbers)
    expected = np.zeros((20, 30), int)
    expected[7:17, 15:30] = 1
    expected[2:12, 5:20] = 2  # the last class in the list is on top, although blue has the higher id and is drawn later
    assert class_map.dtype == np.int32
    np.testing.assert_array_equal(class_map, expected)
    grey = np.full((20, 30), 10)
    grey[2:12, 5:20] = 50
    grey[7:17, 15:30] = 150
    assert image.dtype == np.float32 and image.shape == (20, 30, 3)
    np.testing.assert_allclose(image, np.repeat(grey[:, :, None] / 255, 3, axis=2), rtol=1e-6)


def test_crowds_belong_to_their_class():
    _, class_map = make_semantic_sample(scenes(*SCENES), 3, (4, 6), np.array([0, 5, 0, 0]))
    np.testing.assert_array_equal(class_map, np.repeat([[0], [0], [5], [5]], 6, axis=1))


class OneImage(Scenes):
    """A single image, entirely red."""

    def load_image(self, image_id):
        return self.picture

    def load_mask(self, image_id):
        return np.ones((*self.picture.shape[:2], 1), bool), np.array([RED])


def sample_of(picture, size):
    dataset = scenes([], cls=OneImage)
    dataset.picture = picture
    return make_semantic_sample(dataset, 0, size, np.array([0, 1, 0, 0]))[0]


RAMP = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


@pytest.mark.parametrize("picture", [
    RAMP, RAMP[:, :, None], np.dstack([RAMP, RAMP]), np.dstack([RAMP] * 3), np.dstack([RAMP] * 3 + [RAMP * 0]),
    RAMP.astype(np.uint16) * 257, RAMP.astype(np.float64) / 255, (RAMP / 255).astype(np.float16),
], ids=["grey", "one channel", "grey and alpha", "RGB", "RGBA", "16 bits", "floats", "half floats"])  # fmt: skip
def test_images_of_any_kind(picture):
    image = sample_of(picture, (2, 3))
    assert image.dtype == np.float32 and image.shape == (2, 3, 3)
    np.testing.assert_allclose(image, np.dstack([RAMP] * 3) / 255, atol=3e-4)


def test_boolean_image_is_black_and_white():
    np.testing.assert_array_equal(sample_of(RAMP > 100, (2, 3))[:, :, 1], RAMP > 100)


@pytest.mark.parametrize("picture, message", [
    (RAMP.astype(np.float32), "image 0 .*has floats from 0 to 255, expected 0 to 1"),
    (np.full((2, 3), np.nan), "contains NaN or infinity in 6 of 6 values"),
    (RAMP.astype(np.int64), "the image is int64"),
    (np.zeros((2, 3, 5), np.uint8), "has 5 channels"),
])  # fmt: skip
def test_unusable_images_are_errors(picture, message):
    with pytest.raises(DataError, match=message):
        sample_of(picture, (2, 3))


def test_reduced_image_averages_its_pixels():
    np.testing.assert_allclose(sample_of(RAMP, (1, 1))[0, 0], 127.5 / 255, atol=0.002)


class PartlyIgnored(Scenes):
    """Images whose right half, from column 30 on, is ignored."""

    def ignored_pixels(self, image_id):
        return np.broadcast_to(np.arange(60) >= 30, (40, 60))


def test_ignored_pixels_by_hand():
    dataset, numbers = scenes([(RED, 10, 20, 30, 40)], cls=PartlyIgnored), np.array([0, 1, 0, 0])
    _, class_map = make_semantic_sample(dataset, 0, (4, 6), numbers, ignore_label=255)
    np.testing.assert_array_equal(class_map, [[0, 0, 0, 255, 255, 255],
                                              [0, 0, 1, 1, 255, 255],
                                              [0, 0, 1, 1, 255, 255],
                                              [0, 0, 0, 255, 255, 255]])  # fmt: skip
    assert make_semantic_sample(dataset, 0, (4, 6), numbers)[1].max() == 1
    augmentation = SemanticAugmentation(rotation_range=20, zoom_range=0.3)
    rotated = make_semantic_sample(dataset, 0, (40, 60), numbers, augmentation, 3, ignore_label=255)[1]
    assert set(np.unique(rotated)) == {0, 1, 255}
    assert make_semantic_sample(scenes(*SCENES), 0, (4, 6), numbers, ignore_label=255)[1].max() == 1


def test_ignored_pixels_of_another_size_are_an_error():
    class Wrong(PartlyIgnored):
        def ignored_pixels(self, image_id):
            return np.zeros((60, 40), bool)

    with pytest.raises(DataError, match=r"image 0 .*ignored_pixels returned an array of shape \(60, 40\), .* size \(40, 60\)"):
        make_semantic_sample(scenes([(RED, 0, 0, 9, 9)], cls=Wrong), 0, (4, 6), np.zeros(4, int), ignore_label=9)


rectangles = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, -2]), st.integers(0, 30), st.integers(0, 50), st.integers(1, 10), st.integers(1, 10)),
    max_size=5,
)


@given(rectangles, st.tuples(st.integers(1, 50), st.integers(1, 70)), st.integers(0, 99),
       st.sampled_from([None, ("blue", "red"), ("green",)]), st.sampled_from(["binary", "normal"]))
def test_map_has_only_classes_of_the_image(objects, size, seed, classes, mask_type):
    dataset = scenes([(c, y, x, y + h, x + w) for c, y, x, h, w in objects])
    numbers = number_classes(dataset, classes, mask_type)
    allowed = {0} | {int(numbers[abs(c)]) for c, *_ in objects}
    for augmentation in (None, SemanticAugmentation(**AUGMENTATION, fill_mode="constant", cval=200)):
        _, class_map = make_semantic_sample(dataset, 0, size, numbers, augmentation, seed)
        assert class_map.shape == size and set(np.unique(class_map)) <= allowed
    straight = make_semantic_sample(dataset, 0, (40, 60), numbers)[1]
    for number in np.unique(straight):
        assert number == 0 or number in numbers[[abs(c) for c, *_ in objects]]


def test_photographs_agree_with_pycocotools():
    folder = shared_path("data/tiny_coco")
    coco = COCO(str(folder / "annotations" / "instances_train2017.json"))
    names = ["person", "bus"]
    by_name = [coco.getCatIds(catNms=[name])[0] for name in names]
    dataset, ids = filter_images(folder, names, "train")
    expected = set(coco.getImgIds(catIds=by_name[:1])) | set(coco.getImgIds(catIds=by_name[1:]))
    assert {dataset.image_info[i]["id"] for i in ids} == expected and len(ids) == len(expected)
    numbers = number_classes(dataset, names)
    for i in ids[:4].tolist():
        info = dataset.image_info[i]
        image, class_map = make_semantic_sample(dataset, i, (info["height"], info["width"]), numbers)
        np.testing.assert_array_equal(image, dataset.load_image(i) / np.float32(255))
        drawn = np.zeros_like(class_map)
        for k, category in enumerate(by_name, start=1):
            for annotation in coco.loadAnns(coco.getAnnIds(imgIds=info["id"], catIds=category)):
                drawn[coco.annToMask(annotation) > 0] = k
        np.testing.assert_array_equal(class_map, drawn)
