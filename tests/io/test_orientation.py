"""EXIF orientation: pixels compared with Pillow's rotation, points with the pixels they lie in."""
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from mrcnn.base.errors import DataError
from mrcnn.io.orientation import read_header, read_orientation, turn_back, turn_points, turn_upright, turned_size

ALL = range(1, 9)


def save(file, orientation, pixels, kind):
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(file, kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_size_and_orientation_come_from_the_header(tmp_path, kind, orientation):
    save(tmp_path / "a", orientation, np.zeros((16, 24, 3), np.uint8), kind)
    assert read_header(tmp_path / "a") == ((16, 24), orientation)
    assert read_header(io.BytesIO((tmp_path / "a").read_bytes())) == ((16, 24), orientation)


def test_a_missing_or_invalid_orientation_is_upright(tmp_path):
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(tmp_path / "a.jpg")
    assert read_orientation(tmp_path / "a.jpg") == 1
    save(tmp_path / "b.jpg", 9, np.zeros((16, 24, 3), np.uint8), "JPEG")
    assert read_orientation(tmp_path / "b.jpg") == 1


def test_header_of_a_truncated_file_is_enough(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    save(tmp_path / "a.jpg", 6, noise, "JPEG")
    save(tmp_path / "a.png", 6, noise, "PNG")
    for name in ("a.jpg", "a.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 3])
        assert read_header(tmp_path / name) == ((200, 300), 6)
    with pytest.raises(DataError, match="gone.jpg does not exist"):
        read_header(tmp_path / "gone.jpg")


@pytest.mark.parametrize("orientation", ALL)
def test_pixels_are_rotated_like_by_pillow_and_back(tmp_path, orientation):
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    save(tmp_path / "a.png", orientation, pixels, "PNG")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    turned = turn_upright(pixels, orientation)
    np.testing.assert_array_equal(turned, expected)
    assert turned_size((5, 7), orientation) == expected.shape[:2]
    np.testing.assert_array_equal(turn_back(turned, orientation), pixels)


def test_photograph_taken_sideways():
    # taken with a rotated camera: the first row of the file is the right-hand side of the scene (orientation 6)
    np.testing.assert_array_equal(turn_upright(np.array([[1, 2, 3], [4, 5, 6]]), 6), [[4, 1], [5, 2], [6, 3]])
    # the centre of the pixel with value 3: column 2, row 0 as stored; column 1, row 2 upright
    np.testing.assert_array_equal(turn_points([[2.5, 0.5]], (2, 3), 6), [[1.5, 2.5]])


@pytest.mark.parametrize("orientation", ALL)
def test_points_stay_in_their_pixels(orientation):
    pixels = np.arange(5 * 7).reshape(5, 7)
    turned = turn_upright(pixels, orientation)
    centres = [(x + 0.25, y + 0.5) for y in range(5) for x in range(7)]
    moved = turn_points(centres, (5, 7), orientation)
    assert [turned[int(y), int(x)] for x, y in moved] == list(range(35))
