"""Records of shards, and the check of JPEG headers."""
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic import shards
from mrcnn.datasets.panoptic.shards import (
    Record,
    check_jpeg,
    decode_jpeg,
    decode_record,
    encode_record,
    jpeg_size,
    read_name_and_size,
)
from mrcnn.io.images import ImageTooLargeError
from mrcnn.io.tfrecord import decode_example, encode_example

MAP = np.array([[256, 257, 258], [0, 2**31 - 1, 1]], np.int32)


def test_file_name_that_is_not_utf_8_is_kept():
    assert decode_record(encode_record(Record("a\udcff", (2, 3), b"p")), "here").name == "a\udcff"


def jpeg(size=(2, 3), **options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", **options)
    return file.getvalue()


def test_fields_of_a_record():
    fields = decode_example(encode_record(Record("sub/ä", (2, 3), b"pixels", MAP)), "here")
    assert fields == {
        "image/filename": ["sub/ä".encode()],
        "image/format": [b"jpeg"],
        "image/height": [2],
        "image/width": [3],
        "image/channels": [3],
        "image/encoded": [b"pixels"],
        "image/segmentation/class/format": [b"raw"],
        # 256, 257, 258, 0, 2^31 - 1, 1, the low byte first
        "image/segmentation/class/encoded": [bytes([0, 1, 0, 0, 1, 1, 0, 0, 2, 1, 0, 0,
                                                    0, 0, 0, 0, 255, 255, 255, 127, 1, 0, 0, 0])],
    }  # fmt: skip
    assert set(decode_example(encode_record(Record("a", (2, 3), b"pixels")), "here")) == {
        "image/filename", "image/format", "image/height", "image/width", "image/channels", "image/encoded"}  # fmt: skip


@given(st.text(st.characters(codec="utf-8"), max_size=9), st.binary(max_size=99), st.booleans())
def test_written_record_is_read_back(name, data, bare):
    decoded = decode_record(encode_record(Record(name, (2, 3), data, None if bare else MAP)), "here")
    assert (decoded.name, decoded.size, decoded.jpeg) == (name, (2, 3), data)
    assert decoded.panoptic is None if bare else np.array_equal(decoded.panoptic, MAP)


@pytest.mark.parametrize("change, message", [
    ({"image/filename": None}, "the field image/filename is missing, expected one text"),
    ({"image/height": None}, "the field image/height is missing, expected one whole number"),
    ({"image/width": b"3"}, "the field image/width is of another kind, expected one whole number"),
    ({"image/height": 0}, r"image/height and image/width are \(0, 3\)"),
    ({"image/height": 3}, "holds 24 bytes of format 'raw', expected raw int32 of an image of 3 x 3"),
    ({"image/width": 2**31}, "image/height and image/width are"),
    ({"image/segmentation/class/format": b"png"}, "of format 'png'"),
    ({"image/segmentation/class/format": None}, "class/format is missing"),
    ({"image/encoded": None}, "image/encoded is missing"),
])  # fmt: skip
def test_malformed_field_is_an_error(change, message):
    fields = {name: value for name, (value,) in decode_example(encode_record(Record("a", (2, 3), b"p", MAP)), "").items()}
    fields = {name: value for name, value in {**fields, **change}.items() if value is not None}
    with pytest.raises(DataError, match="t.tfrecord: record 5: .*" + message):
        decode_record(encode_example(fields), "t.tfrecord: record 5")


class Counted(io.BytesIO):
    """A file that counts the bytes read from it."""

    bytes_read = 0

    def read(self, size=-1):
        data = super().read(size)
        self.bytes_read += len(data)
        return data


@pytest.mark.parametrize("ours", [True, False])
def test_names_and_sizes_are_read_without_the_pixels(ours):
    """Other writers sort the fields, so that the name comes after the pixels."""
    data = encode_record(Record("a", (100, 300), bytes(50_000), np.zeros((100, 300), np.int32)))
    if not ours:
        data = encode_example({name: value for name, (value,) in sorted(decode_example(data, "").items())})
    file = Counted(b"front" + data + b"behind")
    assert read_name_and_size(file, 5, len(data), "here") == ("a", (100, 300))
    assert file.bytes_read < 5000


@given(data=st.data())
def test_damage_raises_no_other_error_than_data_error(data):
    valid = encode_record(Record("abc", (2, 3), b"pixels", MAP))
    damaged = bytearray(valid[: data.draw(st.integers(0, len(valid)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for read in (
        lambda: decode_record(bytes(damaged), "here"),
        lambda: read_name_and_size(io.BytesIO(damaged), 0, len(damaged), "here"),
    ):
        try:
            read()
        except DataError as error:
            assert str(error).startswith("here")


def test_valid_jpeg_is_accepted():
    data = jpeg((20, 30), quality=90)
    check_jpeg(data, (20, 30), "a.jpg")
    check_jpeg(jpeg((20, 30), progressive=True) + b"behind the end", (20, 30), "a.jpg")
    assert jpeg_size(data, "a.jpg") == (20, 30)
    image = decode_jpeg(data, (20, 30), "a.jpg")
    assert image.dtype == np.uint8
    # another decoder may differ by rounding
    assert np.abs(image.astype(int) - np.asarray(Image.open(io.BytesIO(data)))).max() <= 3


def rotated_jpeg(size):
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(size, exif=exif)


def png():
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("data, message", [
    (b"", "cannot be read"),
    (png(), "is a PNG, but shards hold JPEG files"),
    (jpeg((2, 4)), r"is of size \(2, 4\) \(height, width\), but its annotation says \(2, 3\)$"),
    (jpeg((3, 2)), "height and width are swapped$"),
    (rotated_jpeg((3, 2)), "its EXIF tag rotates it, and it was annotated rotated"),
    (jpeg()[:-2], "is cut off"),
    (jpeg()[:-20], "is cut off"),
])  # fmt: skip
def test_image_that_does_not_fit_its_annotation_is_an_error(data, message):
    with pytest.raises(DataError, match="image 7, a.jpg .*" + message):
        check_jpeg(data, (2, 3), "image 7, a.jpg")


def test_exif_rotation_is_accepted_if_the_stored_size_matches():
    check_jpeg(rotated_jpeg((2, 3)), (2, 3), "a.jpg")
    assert decode_jpeg(rotated_jpeg((2, 3)), (2, 3), "a.jpg").shape == (2, 3, 3)


def test_image_bomb_is_rejected_before_decoding(monkeypatch):
    """JPEG and record both declare 60000 x 60000 pixels. Pillow's own limit is disabled."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(shards.images, "decode_jpeg", lambda *args: pytest.fail("it was decoded"))
    data = bytearray(jpeg((2, 3)))
    start = data.index(b"\xff\xc0") + 5  # after the marker, length and depth of the frame: height and width
    data[start : start + 4] = (60_000).to_bytes(2, "big") * 2
    with pytest.raises(ImageTooLargeError, match="image 7 declares 60000 x 60000 pixels"):
        decode_jpeg(bytes(data), (60_000, 60_000), "image 7")
