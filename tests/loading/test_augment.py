import numpy as np
import pytest

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.masks import BitMasks
from mrcnn.loading.augment import RandomFlip, apply_flips, apply_imgaug, as_flip, is_affine, named_augmentation
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.loading.scenes import scenes

iaa = pytest.importorskip("imgaug.augmenters")

SETTINGS = SampleSettings("square", min_dim=80, max_dim=128, mini_mask_shape=(28, 28), num_classes=4)
FULL = SampleSettings("square", min_dim=80, max_dim=128, mini_mask_shape=None, num_classes=4)


def sample(augmentation, seed=0, settings=FULL):
    dataset = scenes([(1, 5, 10, 25, 50), (2, 30, 30, 39, 59)])
    return make_sample(dataset, 0, settings, augmentation, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "augmentation",
    [
        iaa.Affine(rotate=(-30, 30), translate_percent=(-0.2, 0.2)),
        iaa.Sequential([iaa.Fliplr(0.5), iaa.Affine(scale=(0.5, 1.5))], random_order=True),
        iaa.SomeOf((1, 2), [iaa.Flipud(1.0), iaa.Affine(shear=(-10, 10)), iaa.CropAndPad(percent=(-0.1, 0.1))]),
        iaa.Sometimes(0.5, iaa.PiecewiseAffine(scale=0.02)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_masks_stay_on_their_objects(augmentation, seed):
    image, _, class_ids, boxes, masks = sample(augmentation, seed)
    assert masks.dtype == bool and image.dtype == np.uint8
    for i, class_id in enumerate(class_ids):
        drawn = np.abs(image[:, :, 0].astype(int) - 50 * class_id) < 30
        both = (drawn & masks[i]).sum() / (drawn | masks[i]).sum()
        assert both > 0.8
    np.testing.assert_array_equal(boxes, extract_bboxes(np.moveaxis(masks, 0, -1)))


def test_quarter_turn_rotates_image_and_masks():
    # the classic code rotated the image, but not its masks
    image, _, class_ids, _, masks = sample(iaa.Rot90(1))
    for i, class_id in enumerate(class_ids):
        drawn = np.abs(image[:, :, 0].astype(int) - 50 * class_id) < 30
        assert (drawn & masks[i]).sum() / (drawn | masks[i]).sum() > 0.9


def test_augmenters_that_change_values_do_not_change_masks():
    plain = sample(None)
    noisy = sample(iaa.Sequential([iaa.Multiply(0.3), iaa.GaussianBlur(2.0), iaa.Add(40), iaa.Invert(1.0)]))
    assert (plain[0] != noisy[0]).mean() > 0.9
    for i in (2, 3, 4):
        np.testing.assert_array_equal(plain[i], noisy[i])


def test_augmentation_depends_on_the_seed_only():
    augmentation = iaa.Sequential([iaa.Affine(rotate=(-45, 45)), iaa.AdditiveGaussianNoise(scale=(0, 50))])
    first, again, other = sample(augmentation, 5), sample(augmentation, 5), sample(augmentation, 6)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != other[0]).any()


def test_objects_that_leave_the_image_are_dropped():
    *_, class_ids, boxes, masks = sample(iaa.Affine(translate_px={"y": 70}), settings=SETTINGS)
    assert class_ids.tolist() == [1] and len(boxes) == 1 and masks.shape == (1, 28, 28)
    assert len(sample(iaa.Affine(translate_px={"y": 500}))[2]) == 0


def test_an_augmenter_that_changes_sizes_is_an_error():
    with pytest.raises(ValueError, match=r"shape of the image from \(128, 128, 3\) to \(138, 128, 3\)"):
        sample(iaa.Pad(px=(10, 0, 0, 0), keep_size=False))


def test_an_augmentation_that_is_not_an_augmenter_is_an_error():
    with pytest.raises(ValueError, match="must be an imgaug augmenter, .* but is function"):
        apply_imgaug(make_sample, np.zeros((4, 4, 3), np.uint8), BitMasks.empty((4, 4), 0), np.random.default_rng(0))


def test_flips_of_imgaug_become_random_flips():
    assert as_flip(iaa.Fliplr(0.5)) == RandomFlip(0.5, 0.0)
    assert as_flip(iaa.Flipud(1)) == RandomFlip(0.0, 1.0)
    assert as_flip(iaa.Sequential([iaa.Fliplr(0.5)])) is None
    assert as_flip(None) is None
    always = [sample(augmentation) for augmentation in (iaa.Fliplr(1.0), iaa.Sequential([iaa.Fliplr(1.0)]))]
    for a, b in zip(always[0][2:], always[1][2:], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(always[0][0], always[1][0])


@pytest.mark.parametrize("flips", [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64, bool])
@pytest.mark.parametrize("shape", [(5, 8, 3), (4, 7, 1), (3, 5, 6), (1, 1, 4)])
def test_a_flipped_image_equals_the_reversed_view(flips, dtype, shape):
    image = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    expected = image[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1].copy()
    for out in (None, np.zeros_like(image), image.copy()):
        flipped = apply_flips(image, flips, out)
        assert flipped.dtype == image.dtype and (out is None or flipped is out)
        np.testing.assert_array_equal(flipped, expected)
    np.testing.assert_array_equal(apply_flips(image, flips, image), expected)


def test_flips_happen_with_their_probability():
    drawn = [RandomFlip(0.3, 0.0).draw(np.random.default_rng(seed)) for seed in range(400)]
    assert sum(horizontal for _, horizontal in drawn) == pytest.approx(120, abs=40)
    assert not any(vertical for vertical, _ in drawn)


def test_more_masks_than_bits_in_a_map():
    rectangles = [(1 + i % 3, i, i, i + 8, i + 9) for i in range(30)]
    plain = make_sample(scenes(rectangles), 0, FULL)
    flipped = make_sample(scenes(rectangles), 0, FULL, iaa.Sequential([iaa.Fliplr(1.0)]), np.random.default_rng(0))
    np.testing.assert_array_equal(flipped[4], plain[4][:, :, ::-1])
    assert flipped[2].tolist() == plain[2].tolist()


def test_augmentations_by_name():
    assert named_augmentation("none") is None and named_augmentation("flip") == RandomFlip(0.5, 0)
    rotate = named_augmentation("rotate")
    assert is_affine(rotate), "outlines are transformed, and no full-size mask is drawn"
    assert len({sample(rotate, seed).image.tobytes() for seed in range(8)}) == 8, "every seed rotates by another angle"
    with pytest.raises(ValueError, match="'mosaic' is not an augmentation: choose none, flip, rotate, color, flip.color or"):
        named_augmentation("mosaic")
