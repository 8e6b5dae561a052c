"""Affine augmenters move outlines, with the same result as warping drawn masks."""
import numpy as np
import pytest

from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.loading import sample as sample_module
from mrcnn.loading.augment import is_affine
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.loading.scenes import Scenes, scenes

iaa = pytest.importorskip("imgaug.augmenters")

RECTANGLES = [(1, 40, 60, 200, 300), (2, 150, 330, 390, 500), (-3, 0, 0, 90, 90), (2, 300, 500, 400, 600)]
SIZES = {
    "square": SampleSettings("square", min_dim=256, max_dim=512, mini_mask_shape=None, num_classes=4),
    "crop": SampleSettings("crop", min_dim=320, min_scale=1.4, mini_mask_shape=None, num_classes=4),
}


class Outlined(Scenes):
    """The rectangles as polygons, with a corner cut off."""

    def load_image(self, image_id):
        image = super().load_image(image_id)
        return image + np.indices(image.shape[:2]).sum(axis=0)[:, :, None].astype(np.uint8) // 8

    def load_instances(self, image_id):
        """Return each rectangle as two polygons: a triangle at its upper left, and its lower half."""
        masks, class_ids = [], []
        for class_id, y1, x1, y2, x2 in self.image_info[image_id]["rectangles"]:
            middle = (y1 + y2) / 2
            masks.append([[x1, y1, x2 + 7, y1, x1, middle], [x1, middle, x2, middle, x2, y2, x1, y2]])
            class_ids.append(class_id)
        return masks, np.array(class_ids)


class Large(Scenes):
    """The rectangles as masks."""


def large(cls):
    dataset = scenes(cls=cls)
    dataset.add(RECTANGLES, height=400, width=600)
    dataset.prepare()
    return dataset


def both_ways(dataset, settings, augmentation, seed, monkeypatch):
    """Return the sample made from outlines, and the one made from drawn masks."""
    assert is_affine(augmentation)
    from_outlines = make_sample(dataset, 0, settings, augmentation, np.random.default_rng(seed))
    with monkeypatch.context() as patched:
        patched.setattr(sample_module, "is_affine", lambda augmentation: False)
        return from_outlines, make_sample(dataset, 0, settings, augmentation, np.random.default_rng(seed))


@pytest.mark.parametrize("cls", [Outlined, Large])
@pytest.mark.parametrize("mode", SIZES)
@pytest.mark.parametrize(
    "augmentation",
    [
        iaa.Sequential([iaa.Fliplr(0.5), iaa.Affine(rotate=(-180, 180))]),
        iaa.Sequential([iaa.Affine(scale=(0.6, 1.6), shear=(-15, 15), mode="reflect"), iaa.Flipud(0.5)]),
        iaa.OneOf([iaa.TranslateX(percent=(-0.6, 0.6)), iaa.Fliplr(1.0), iaa.Multiply(0.5)]),
        iaa.Sometimes(0.5, [iaa.Add(20), iaa.Rotate((-30, 30)), iaa.Flipud(0.5)]),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_moved_outlines_equal_warped_masks(cls, mode, augmentation, seed, monkeypatch):
    dataset, settings = large(cls), SIZES[mode]
    from_outlines, from_masks = both_ways(dataset, settings, augmentation, seed, monkeypatch)
    np.testing.assert_array_equal(from_outlines[0], from_masks[0])  # exactly the same image
    np.testing.assert_array_equal(from_outlines[1], from_masks[1])
    assert from_outlines[2].tolist() == from_masks[2].tolist()
    # the box of an outline includes its tips, which may be too thin to cover a pixel
    assert np.abs(from_outlines[3] - extract_bboxes(np.moveaxis(from_outlines[4], 0, -1))).max(initial=0) <= 3
    assert np.abs(from_outlines[3] - from_masks[3]).max(initial=0) <= 3
    for a, b in zip(from_outlines[4], from_masks[4], strict=True):
        # at most one pixel along the edge
        edge = 2 * (np.diff(b, axis=0).sum() + np.diff(b, axis=1).sum()) + 8
        assert (a ^ b).sum() <= edge
        assert (a & b).sum() >= 0.9 * (a | b).sum() or b.sum() < 2000


@pytest.mark.parametrize("cls", [Outlined, Large])
def test_mini_masks_are_drawn_from_moved_outlines(cls, monkeypatch):
    settings = SampleSettings("square", min_dim=256, max_dim=512, mini_mask_shape=(28, 28), num_classes=4)
    augmentation = iaa.Affine(rotate=25)
    from_outlines, from_masks = both_ways(large(cls), settings, augmentation, 0, monkeypatch)
    assert from_outlines[4].shape == from_masks[4].shape == (4, 28, 28) and from_outlines[4].dtype == bool
    assert ((from_outlines[4] ^ from_masks[4]).mean(axis=(1, 2)) < 0.04).all()


def test_a_quarter_turn_by_hand():
    # 64 x 64, without padding or scaling: (y, x) moves to (x, 63 - y) in whole pixels
    dataset = scenes()
    dataset.add([(1, 10, 20, 16, 50)], height=64, width=64)
    dataset.prepare()
    settings = SampleSettings("square", min_dim=64, max_dim=64, mini_mask_shape=None, num_classes=4)
    image, _, _, boxes, masks = make_sample(dataset, 0, settings, iaa.Affine(rotate=90), np.random.default_rng(0))
    assert boxes.tolist() == [[20, 64 - 16, 50, 64 - 10]]
    assert masks[0, 20:50, 48:54].all() and masks.sum() == 30 * 6
    np.testing.assert_array_equal(image[:, :, 0] == 50, masks[0])


def test_rotation_does_not_restore_cropped_parts():
    """A crop contains a part of an object; after rotation it contains no more of it."""
    settings = SIZES["crop"]
    for cls in (Outlined, Large):
        for seed in range(4):
            from_masks = make_sample(large(cls), 0, settings, None, np.random.default_rng(seed))
            rotated = make_sample(large(cls), 0, settings, iaa.Affine(rotate=90), np.random.default_rng(seed))
            assert rotated[4].sum() == pytest.approx(from_masks[4].sum(), rel=0.01)


@pytest.mark.parametrize(("augmentation", "expected"), [
    (iaa.Affine(rotate=10), True),
    (iaa.Sequential([iaa.Fliplr(0.5), iaa.Sometimes(0.5, iaa.GaussianBlur(1.0), iaa.Affine(scale=2))]), True),
    (iaa.Sequential([iaa.Affine(scale=2), iaa.Affine(scale=0.5)]), False),  # the border of the first affects the second
    (iaa.Sequential([iaa.Dropout2d(0.5)]), False),
    (iaa.PiecewiseAffine(0.01), False),
    (iaa.Sequential([iaa.CropAndPad(percent=0.1)]), False),
    (iaa.Rot90(1), False),
    (iaa.BlendAlpha(0.5, iaa.Affine(rotate=10)), False),
    (type("Affine", (iaa.Affine,), {"__module__": "own.geometric"})(rotate=1), False),
    (iaa.Sequential([type("Affine", (iaa.Affine,), {"__module__": "own.geometric"})(rotate=1)]), False),
    (make_sample, False),
])  # fmt: skip
def test_is_affine(augmentation, expected):
    assert is_affine(augmentation) == expected
