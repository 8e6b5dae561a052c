"""PNG files that are cut off, or whose chunks claim to be larger than the file, are found before they are decoded."""
import os
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.images import TruncatedImageError, read_image
from mrcnn.io.png import is_png, png_fault, png_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def encoded(image=NOISE):
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.mark.parametrize("image", [NOISE, NOISE[:, :, 0], NOISE.astype(np.uint16) * 257, np.zeros((1, 1), np.uint8)])
def test_whole_files_have_no_fault(image):
    content = encoded(image)
    assert is_png(content) and not is_png(content[1:])
    assert png_fault(content) is None and png_fault(content + b"appended") is None
    assert png_fault(content[:-12]) is None  # without its last chunk, IEND, which is empty


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_truncated_file_is_rejected_with_any_file_name(tmp_path, share):
    content = encoded()
    (tmp_path / "a.jpg").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), NOISE[:, :, ::-1])
    (tmp_path / "a.jpg").write_bytes(content[: int(share * len(content))])
    with pytest.raises(TruncatedImageError, match="a.jpg cannot be read: it is cut off: a chunk ends after the file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak memory is read from Linux' /proc")
def test_chunk_of_2_gib_is_not_allocated(tmp_path):
    """The length of the second chunk, of 4 bytes after the header's 8 + 12 + 13, claims 2^31 - 1 bytes."""
    content = encoded()
    path = tmp_path / "a.png"
    path.write_bytes(content[:33] + b"\x7f\xff\xff\xff" + content[37:])
    program = f"""
import re
from mrcnn.io.images import read_image
try:
    read_image({str(path)!r})
except ValueError as error:
    print(error)
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert not done.stderr
    message, kibibytes = done.stdout.splitlines()
    assert "a.png cannot be read: it is cut off" in message and int(kibibytes) < 2**20


def chunk(kind, data, checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big")


@pytest.mark.parametrize("extra", [
    chunk(b"tEXt", b"Title\0a", checksum=0), chunk(b"gAMA", b"\0"), chunk(b"iCCP", b"sRGB\0\0damaged"),
    chunk(b"eXIf", b"MM\0*damaged")], ids=["tEXt", "gAMA", "iCCP", "eXIf"])  # fmt: skip
def test_chunks_that_describe_colours_and_texts_are_not_decoded(tmp_path, capfd, extra):
    """libpng writes a warning about each of these, such as "libpng warning: iCCP: CRC error"."""
    content = encoded()
    (tmp_path / "a.png").write_bytes(content[:33] + extra + content[33:])  # after the header, of 8 + 25 bytes
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), NOISE[:, :, ::-1])
    assert capfd.readouterr() == ("", "")
    assert png_pixels(content[:33] + extra + content[33:]) == png_pixels(content)


def test_wrong_checksum_of_pixels_is_an_error(tmp_path, capfd):
    content = bytearray(encoded())
    start = content.index(b"IDAT") - 4
    content[-20] ^= 1  # before the last 12 bytes, IEND, and the 4 of the checksum
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=f"a.png cannot be read: it is damaged: the checksum of its chunk IDAT at byte {start}"):
        read_image(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [b"ICAT", b"\0DAT", b"i\xffAT"])
def test_type_of_a_chunk_of_pixels_that_is_damaged_is_an_error(tmp_path, capfd, kind):
    (tmp_path / "a.png").write_bytes(encoded().replace(b"IDAT", kind, 1))
    with pytest.raises(DataError, match="a.png cannot be read: it is damaged: its chunk at byte 33 is of no known type"):
        read_image(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("image", [NOISE[:, :, 0], np.dstack([NOISE, NOISE[:, :, 0]]), NOISE.astype(np.uint16) * 257])
def test_pixels_are_those_of_the_whole_file(image):
    decoded = cv2.imdecode(np.frombuffer(png_pixels(encoded(image)), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, image)
