"""Truncated JPEG files are detected, and intact ones of all kinds are accepted."""
import io

import numpy as np
import pytest
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.io import images
from mrcnn.io.images import TruncatedImageError, read_image
from mrcnn.io.jpeg import jpeg_fault

NOISE = np.random.default_rng(0).integers(0, 256, (70, 110, 3), dtype=np.uint8)
FLAT = np.full((640, 960, 3), 90, np.uint8)  # encoded with the fewest possible bits
KINDS = [{}, {"progressive": True}, {"optimize": True}, {"subsampling": "4:2:0"}, {"subsampling": "4:4:4"}, {"quality": 1},
         {"restart_marker_rows": 1}]  # fmt: skip


def encoded(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("pixels", [NOISE, FLAT, NOISE[:, :, 0], NOISE[:1, :1]], ids=["noise", "flat", "grey", "one pixel"])
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_intact_files_are_accepted_and_truncated_ones_detected(pixels, options):
    content = encoded(pixels, **options)
    assert jpeg_fault(content) is None
    assert jpeg_fault(content + b"\0" * 100) is None and jpeg_fault(content + content) is None  # padding, a second image
    for share in (0.3, 0.5, 0.7, 0.9, 0.99):
        assert "cut off" in jpeg_fault(content[: int(share * len(content))])
    assert "cut off" in jpeg_fault(content[:-2])


def test_end_marker_in_the_thumbnail_is_not_that_of_the_image():
    thumbnail = encoded(NOISE)
    content = encoded(NOISE, exif=b"Exif\0\0" + thumbnail)
    assert jpeg_fault(content) is None and thumbnail in content
    assert "cut off" in jpeg_fault(content[: int(0.8 * len(content))])


def test_stray_bytes_and_fill_bytes_before_a_marker_are_skipped():
    content = encoded(NOISE)
    assert jpeg_fault(content[:2] + b"\xff\xff\xff" + content[2:]) is None
    assert jpeg_fault(content[:2] + b"\0\0\xff" + content[2:]) is None


def test_few_bytes_that_declare_a_large_image_are_truncated(tmp_path):
    """13,000 x 13,000 is within the pixel limit. It has 3 x 1625 x 1625 blocks, each of at least one bit."""
    content = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), subsampling="4:4:4"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = (13_000).to_bytes(2, "big") * 2
    assert len(content) < 700 and "cut off" in jpeg_fault(bytes(content))
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(TruncatedImageError, match="a.jpg cannot be read: it is cut off"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.jfif", "a.png", "a"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_jpeg_is_rejected_with_any_file_name(tmp_path, name, share):
    content = encoded(NOISE)
    (tmp_path / name).write_bytes(content)
    assert np.abs(read_image(tmp_path / name).astype(int) - NOISE).mean() < 60
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(TruncatedImageError, match="cut off"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("damage", range(40))
def test_damaged_files_raise_only_own_errors(tmp_path, damage):
    random = np.random.default_rng(damage)
    content = bytearray(encoded(NOISE, **KINDS[damage % len(KINDS)]))
    for position in random.integers(2, len(content), 5):
        content[position] = random.integers(256)
    (tmp_path / "a.jpg").write_bytes(content)
    try:
        assert read_image(tmp_path / "a.jpg").shape[2] == 3
    except DataError:
        pass


def test_pixels_of_a_photograph_are_unchanged(tmp_path):
    """Decoding from memory and from the file are equal."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(NOISE))
    np.testing.assert_array_equal(
        read_image(path), images.cv2.imread(str(path), images.cv2.IMREAD_COLOR_RGB | images.cv2.IMREAD_IGNORE_ORIENTATION)
    )
