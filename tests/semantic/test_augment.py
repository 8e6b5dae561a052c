"""Transforms of image and class map: hand-computed cases, and properties of random transforms."""
import cv2
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.semantic.augment import SemanticAugmentation, Transform, as_augmentation

MAP = np.array([[1, 2, 0, 0, 0],
                [3, 0, 0, 0, 4],
                [0, 0, 0, 0, 5]], np.int32)  # fmt: skip
IMAGE = np.repeat((MAP[:, :, None] / 5).astype(np.float32), 3, axis=2)


def warped(matrix, fill_mode="constant", cval=0.0):
    transform = Transform(np.array(matrix, np.float64))
    image, class_map = SemanticAugmentation(fill_mode=fill_mode, cval=cval).apply(IMAGE, MAP, transform)
    return image[:, :, 0] * 5, class_map


@pytest.mark.parametrize("matrix, expected", [
    ([[-1, 0, 4], [0, 1, 0]], MAP[:, ::-1]),
    ([[1, 0, 0], [0, -1, 2]], MAP[::-1]),
    # each pixel takes the value of the pixel one to its right and two below
    ([[1, 0, 1], [0, 1, 2]], [[0, 0, 0, 5, 0], [0] * 5, [0] * 5]),
    # a quarter turn about the centre (x 2, y 1): pixel (x, y) takes the value of (3 - y, x - 1)
    ([[0, -1, 3], [1, 0, -1]], [[0] * 5, [0] * 5, [0, 2, 0, 0, 0]]),
])  # fmt: skip
def test_image_and_map_are_transformed_together(matrix, expected):
    image, class_map = warped(matrix)
    np.testing.assert_array_equal(class_map, expected)
    np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize("fill_mode, first_row", [
    ("nearest", [1, 1, 1, 2, 0]),
    ("reflect", [2, 1, 1, 2, 0]),
    ("wrap", [0, 0, 1, 2, 0]),
    ("constant", [0, 0, 1, 2, 0]),
])  # fmt: skip
def test_fill_modes(fill_mode, first_row):
    image, class_map = warped([[1, 0, -2], [0, 1, 0]], fill_mode)
    np.testing.assert_array_equal(class_map[0], first_row)
    np.testing.assert_allclose(image[0], first_row, atol=1e-6)


def test_constant_fills_the_image_with_the_grey_level_and_the_map_with_background():
    image, class_map = warped([[1, 0, -2], [0, 1, 0]], "constant", cval=127.5)
    np.testing.assert_allclose(image[:, :2], 2.5, atol=1e-6)
    assert not class_map[:, :2].any()


def draws(size=(40, 60), count=400, **arguments):
    augmentation, rng = SemanticAugmentation(**arguments), np.random.default_rng(0)
    return [augmentation.draw(size, rng) for _ in range(count)]


def test_each_argument_has_the_named_effect():
    """Compares the linear part, and the position of the centre (x 29.5, y 19.5), over many draws of each argument."""
    centre = np.array([29.5, 19.5, 1])
    shifts = {"width_shift_range": 0, "height_shift_range": 1}
    for name, axis in shifts.items():
        moved = np.array([t.matrix @ centre - centre[:2] for t in draws(**{name: 0.25})])
        length = (60, 40)[axis]
        assert not moved[:, 1 - axis].any() and 0.24 * length < np.abs(moved[:, axis]).max() <= 0.25 * length
    rotated = [t.matrix for t in draws(rotation_range=30)]
    angles = np.degrees([np.arctan2(m[1, 0], m[0, 0]) for m in rotated])
    assert 29 < angles.max() <= 30 and -30 <= angles.min() < -29
    for matrix, angle in zip(rotated, np.radians(angles)):
        expected = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        np.testing.assert_allclose(matrix[:, :2], expected, atol=1e-12)
        np.testing.assert_allclose(matrix @ centre, centre[:2])
    zooms = np.array([np.diag(t.matrix[:, :2]) for t in draws(zoom_range=0.2)])
    assert 0.8 <= zooms.min() < 0.81 and 1.19 < zooms.max() <= 1.2 and (zooms[:, 0] != zooms[:, 1]).all()
    sheared = [t.matrix[:, :2] for t in draws(shear_range=20)]
    assert all(m[0, 0] == 1 and m[1, 0] == 0 for m in sheared)
    np.testing.assert_allclose([m[0, 1] ** 2 + m[1, 1] ** 2 for m in sheared], 1)
    assert 0.33 < max(m[0, 1] for m in sheared) <= np.sin(np.radians(20))


def test_half_of_the_draws_are_flipped():
    diagonals = np.array([np.diag(t.matrix[:, :2]) for t in draws(horizontal_flip=True)])
    assert (diagonals[:, 1] == 1).all() and 0.4 < (diagonals[:, 0] == -1).mean() < 0.6
    diagonals = np.array([np.diag(t.matrix[:, :2]) for t in draws(vertical_flip=True)])
    assert (diagonals[:, 0] == 1).all() and 0.4 < (diagonals[:, 1] == -1).mean() < 0.6


@pytest.mark.parametrize("given_range, expected", [
    (3, {-2, -1, 0, 1, 2}),  # an int as in Keras: below it
    ([0.5, 0.1], {-30, -6, 6, 30}),  # fractions of 60
    ([7, 0.5], {-7, -0.5, 0.5, 7}),  # pixels, as not all are below 1
    (1, {0}),
])  # fmt: skip
def test_kinds_of_shift_ranges(given_range, expected):
    shifts = {round(float(t.matrix[0, 2]), 6) for t in draws(width_shift_range=given_range)}
    assert shifts == expected


def test_shift_of_one_or_more_is_in_pixels():
    shifts = [t.matrix[1, 2] for t in draws(height_shift_range=4.5)]
    assert 4 < max(shifts) <= 4.5 and -4.5 <= min(shifts) < -4


def test_brightness_changes_only_the_image():
    augmentation = SemanticAugmentation(brightness_range=(0.5, 2))
    factors = [t.brightness for t in draws(brightness_range=(0.5, 2))]
    assert 0.5 <= min(factors) < 0.55 and 1.9 < max(factors) <= 2
    image, class_map = augmentation.apply(IMAGE, MAP, Transform(np.eye(2, 3), 2.0))
    np.testing.assert_array_equal(class_map, MAP)
    np.testing.assert_allclose(image, np.minimum(IMAGE * 2, 1))  # clipped at white


def test_image_agrees_with_scipy():
    """Keras uses scipy. Away from the edges, both agree within the precision of OpenCV's coordinates, 1/32 pixel."""
    rng = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(rng.random((30, 50)).astype(np.float32), (0, 0), 3)
    augmentation = SemanticAugmentation(rotation_range=40, shear_range=15, zoom_range=0.3, width_shift_range=0.2)
    for _ in range(5):
        transform = augmentation.draw(smooth.shape, rng)
        image, _ = augmentation.apply(smooth[:, :, None], np.zeros(smooth.shape, int), transform)
        by_rows = transform.matrix[::-1][:, [1, 0, 2]]  # (x, y) to (row, column)
        expected = scipy.ndimage.affine_transform(smooth, by_rows[:, :2], by_rows[:, 2], order=1, mode="nearest")
        np.testing.assert_allclose(image[:, :, 0], expected, atol=0.003)


ranges = st.fixed_dictionaries({
    "rotation_range": st.floats(0, 180),
    "width_shift_range": st.one_of(st.floats(0, 0.9), st.integers(0, 9), st.lists(st.floats(-5, 5), min_size=1, max_size=3)),
    "height_shift_range": st.floats(0, 0.9),
    "shear_range": st.floats(0, 60),
    "zoom_range": st.one_of(st.floats(0, 0.9), st.just((0.2, 3.0))),
    "horizontal_flip": st.booleans(),
    "vertical_flip": st.booleans(),
    "brightness_range": st.just((0.4, 1.0)),
    "fill_mode": st.sampled_from(["nearest", "constant", "reflect", "wrap"]),
})  # fmt: skip


@given(ranges, st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32))
def test_no_new_class_appears_and_the_image_moves_with_the_map(arguments, height, width, seed):
    """The image is the map itself, so it must agree with the map wherever it is not interpolated."""
    rng = np.random.default_rng(seed)
    inside = rng.random((-(-height // 3), -(-width // 3))) < 0.5
    class_map = np.kron(inside, np.ones((3, 3), int))[:height, :width] * 7
    image = np.repeat((class_map[:, :, None] / 7).astype(np.float32), 3, axis=2)
    augmentation = SemanticAugmentation(**{**arguments, "brightness_range": None})
    transform = augmentation.draw((height, width), seed)
    moved, moved_map = augmentation.apply(image, class_map, transform)
    assert moved.shape == image.shape and moved.dtype == np.float32 and moved_map.dtype == class_map.dtype
    allowed = set(np.unique(class_map)) | ({0} if augmentation.fill_mode == "constant" else set())
    assert set(np.unique(moved_map)) <= allowed
    pure = (moved[:, :, 0] == 0) | (moved[:, :, 0] == 1)
    np.testing.assert_array_equal(moved[:, :, 0][pure] * 7, moved_map[pure])
    bright = SemanticAugmentation(**arguments)(image, class_map, seed)
    np.testing.assert_array_equal(bright[1], moved_map)  # brightness is drawn last, and does not change the map
    again = SemanticAugmentation(**arguments)(image, class_map, seed)
    np.testing.assert_array_equal(bright[0], again[0])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32))
def test_ranges_of_zero_change_nothing(height, width, seed):
    rng = np.random.default_rng(seed)
    image, class_map = rng.random((height, width, 3)).astype(np.float32), rng.integers(0, 65536, (height, width))
    for augmentation in (SemanticAugmentation(), SemanticAugmentation(zoom_range=(1, 1), brightness_range=(1, 1), cval=255)):
        same, same_map = augmentation(image, class_map, seed)
        np.testing.assert_array_equal(same, image)
        np.testing.assert_array_equal(same_map, class_map)


@pytest.mark.parametrize("arguments, message", [
    ({"rotation_range": -5}, "rotation_range is -5, expected a number from 0"),
    ({"rotation_range": float("nan")}, "rotation_range is nan"),
    ({"rotation_range": True}, "rotation_range is True"),
    ({"shear_range": 90}, "shear_range is 90, expected a number from 0 to 89"),
    ({"width_shift_range": []}, "width_shift_range is empty"),
    ({"height_shift_range": ["a"]}, "height_shift_range is 'a'"),
    ({"zoom_range": 1.0}, "zoom_range is 0.0, expected a number from 0.001"),
    ({"zoom_range": (1.2, 0.8)}, "with low <= high"),
    ({"brightness_range": 0.5}, r"brightness_range is 0.5, expected two numbers \(low, high\)"),
    ({"fill_mode": "mirror"}, "fill_mode is 'mirror', expected one of constant, nearest, reflect, wrap"),
    ({"cval": 300}, "cval is 300, expected a number from 0 to 255"),
    ({"featurewise_center": True}, "no argument 'featurewise_center'; it has rotation_range, "),
])  # fmt: skip
def test_arguments_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        as_augmentation(arguments)


def test_as_augmentation():
    assert as_augmentation(None) is None
    assert as_augmentation({"rotation_range": 5}) == SemanticAugmentation(rotation_range=5)
    with pytest.raises(ValueError, match="augmentation is int"):
        as_augmentation(3)


def test_mismatched_image_and_map_are_errors():
    move = Transform(np.array([[1.0, 0, 1], [0, 1, 0]]))
    with pytest.raises(ValueError, match=r"image has size \(3, 5\), its class map shape \(5, 3\)"):
        SemanticAugmentation().apply(IMAGE, MAP.T, move)
    with pytest.raises(ValueError, match="values from 0 to 65536"):
        SemanticAugmentation().apply(IMAGE, np.where(MAP == 5, 65536, MAP), move)
    with pytest.raises(ValueError, match="class map is float64, expected integers"):
        SemanticAugmentation().apply(IMAGE, MAP.astype(float), move)
