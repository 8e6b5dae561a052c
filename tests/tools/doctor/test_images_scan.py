import json
import os
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.tools.doctor import check_dataset
from mrcnn.tools.doctor.images import scan_image, scan_images
from mrcnn.tools.doctor.parts import CheckedImage
from tests.datasets.formats import labelme_files
from tests.tools.doctor.damaged import HEIGHT, WIDTH, annotation, octagon, write_photograph


def scan(path, **fields):
    return scan_image(CheckedImage(1, path.name, path, None, **fields))


def distance(a, b):
    return (a.hash ^ b.hash).bit_count()


@pytest.mark.parametrize("name, options", [("a.jpg", {"quality": 95}), ("a.jpg", {"progressive": True}), ("a.png", {}),
                                           ("a.bmp", {}), ("a.tif", {}), ("a.webp", {"lossless": True})])  # fmt: skip
def test_intact_file_of_any_format_has_a_size_and_no_fault(tmp_path, name, options):
    write_photograph(tmp_path / name, 1, **options)
    scanned = scan(tmp_path / name)
    assert scanned.fault is None and scanned.size == (HEIGHT, WIDTH) and scanned.orientation == 1


@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "PNG"}])
@pytest.mark.parametrize("fraction", [0.35, 0.6, 0.9, 0.995])
def test_truncated_file_is_found(tmp_path, options, fraction):
    path = tmp_path / "a"
    write_photograph(path, 1, **options)
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    assert scan(path).fault[0] == "image_truncated" and scan(path).size == (HEIGHT, WIDTH)


def test_bytes_after_the_end_of_an_image_are_accepted(tmp_path):
    """Cameras store videos and previews there."""
    write_photograph(tmp_path / "a.jpg", 1)
    intact = scan(tmp_path / "a.jpg")
    with open(tmp_path / "a.jpg", "ab") as file:
        file.write(bytes(1000))
    assert scan(tmp_path / "a.jpg").fault is None and scan(tmp_path / "a.jpg").hash == intact.hash
    assert scan(tmp_path / "a.jpg").digest != intact.digest


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16", "F"])
def test_image_of_any_mode_has_a_hash(tmp_path, mode):
    grey = np.add.outer(np.arange(60), np.arange(90))
    if mode in ("I;16", "F"):
        image = Image.fromarray((grey * 300).astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        image = Image.fromarray(grey.astype(np.uint8)).convert(mode)
    image.save(tmp_path / "a.tif")
    scanned = scan(tmp_path / "a.tif")
    assert scanned.fault is None and scanned.size == (60, 90)
    assert scanned.hash is not None and scanned.thumbnail.shape == (16, 16)


def test_format_that_pillow_cannot_read(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "deep.tif", np.arange(6 * 9 * 3, dtype=np.uint16).reshape(6, 9, 3) * 300, photometric="rgb")
    assert scan(tmp_path / "deep.tif").fault is None and scan(tmp_path / "deep.tif").size == (6, 9)


def test_hashes_survive_encoding_and_resizing_and_distinguish_images(tmp_path):
    write_photograph(tmp_path / "a.png", 1)
    image = Image.open(tmp_path / "a.png")
    image.save(tmp_path / "low.jpg", quality=30)
    image.resize((2 * WIDTH, 2 * HEIGHT)).save(tmp_path / "large.png")
    write_photograph(tmp_path / "other.png", 2)
    first, low, large, other = (scan(tmp_path / name) for name in ("a.png", "low.jpg", "large.png", "other.png"))
    assert distance(first, low) <= 4 and distance(first, large) <= 4 and distance(first, other) > 12
    assert np.abs(first.thumbnail - low.thumbnail).mean() < 3 < 20 < np.abs(first.thumbnail - other.thumbnail).mean()


def test_uniform_image_has_no_hash(tmp_path):
    Image.new("RGB", (90, 60), (10, 200, 30)).save(tmp_path / "a.png")
    assert scan(tmp_path / "a.png").hash is None


def test_images_without_files():
    pixels = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    checked_images = [CheckedImage(i, "", None, None, load=load) for i, load in enumerate(
        [lambda: pixels, lambda: pixels.copy(), lambda: pixels[:, :, :2], lambda: pixels[0, 0], lambda: 1 / 0])]  # fmt: skip
    scans = list(scan_images(checked_images))
    assert scans[0].digest == scans[1].digest != scans[2].digest and scans[0].size == (20, 30)
    assert scans[3].fault == ("image_unreadable", "the image is an array of shape (3,)")
    assert scans[4].fault == ("image_unreadable", "ZeroDivisionError: division by zero")


def test_folders_and_invalid_file_names_are_reported(tmp_path):
    assert scan(tmp_path).fault[0] == "image_unreadable"
    assert scan(tmp_path / ("x" * 5000)).fault[0] in ("image_missing", "image_unreadable")
    assert scan(tmp_path / "\udfff\ud800").fault[0] in ("image_missing", "image_unreadable")


def test_pipe_is_not_an_image(tmp_path):
    """Opening it would wait for another program to write into it."""
    os.mkfifo(tmp_path / "a.png")
    assert scan(tmp_path / "a.png").fault == ("image_unreadable", f"image file {tmp_path / 'a.png'} is not a file")


def declared_too_large(path):
    """Write a JPEG with data for 8 x 8 pixels that declares 13,000 x 13,000."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, "JPEG")
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = (13_000).to_bytes(2, "big") * 2
    path.write_bytes(content)


def truncate(path):
    write_photograph(path, 1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_nan(path):
    pixels = np.full((HEIGHT, WIDTH), 90, np.float32)
    pixels[3, 4] = np.nan
    tifffile.imwrite(path, pixels)


@pytest.mark.parametrize("name, damage, size, kind, message", [
    ("a.jpg", truncate, (HEIGHT, WIDTH), "image_truncated", "it is cut off"),
    ("a.jpg", declared_too_large, (13_000, 13_000), "image_truncated", "it is cut off"),
    ("a.tif", write_nan, (HEIGHT, WIDTH), "image_unreadable", "contains NaN or infinity in 1 of"),
])  # fmt: skip
@pytest.mark.parametrize("format", ["coco", "labelme"])
def test_broken_images_are_found_in_every_format(tmp_path, name, damage, size, kind, message, format):
    """The check scans the files of every format, also those that a reader opens itself such as labelme's."""
    write_photograph(tmp_path / "b.jpg", 2)
    damage(tmp_path / name)
    if format == "coco":
        images = [{"id": i, "file_name": file, "height": height, "width": width}
                  for i, file, (height, width) in ((1, name, size), (2, "b.jpg", (HEIGHT, WIDTH)))]
        content = {"images": images, "annotations": [annotation(i, i, 1, octagon(40, 40, 20)) for i in (1, 2)],
                   "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
        (tmp_path / "a.json").write_text(json.dumps(content))
        report = check_dataset(tmp_path / "a.json")
    else:
        labelme_files.write(tmp_path, [], image=False, imagePath=name, size=size)
        labelme_files.write(tmp_path, [], "b", image=False, imagePath="b.jpg", size=(HEIGHT, WIDTH))
        report = check_dataset(tmp_path)
    (found,) = [finding for finding in report.findings if finding.severity == "error"]
    assert (found.kind, found.place.file) == (kind, name) and message in found.message


@pytest.mark.parametrize("depth, kind, message", [
    (None, "values_dark", "2 images of 16 bits have values up to 1800, which are read as values up to 7 of 255: .* --depth 12"),
    (12, None, None), (11, None, None), (10, "image_unreadable", "its values reach 1800, and 10 bits reach 1023"),
])  # fmt: skip
def test_values_of_16_bit_images(tmp_path, depth, kind, message):
    """1800 of 65535 is 7 of 255, and as a 12-bit value 112 of 255. The reader agrees with the finding."""
    images = []
    for i, peak in enumerate((1500, 1800), start=1):
        pixels = np.full((40, 60), 400 * i, np.uint16)
        pixels[5:20, 5:30] = peak
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": 40, "width": 60})
    content = {"images": images, "annotations": [annotation(i, i, 1, octagon(20, 20, 9)) for i in (1, 2)],
               "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(content))
    report = check_dataset(tmp_path / "a.json", depth=depth)
    found = [f for f in report.findings if f.kind in ("values_dark", "image_unreadable")]
    assert [f.kind for f in found] == ([kind] if kind else [])
    assert all(re.search(message, f.message) for f in found)
    dataset = open_dataset(tmp_path / "a.json", depth=depth)
    if depth == 10:
        with pytest.raises(DataError, match="give a larger depth"):
            dataset.load_image(1)
    else:
        assert dataset.load_image(1).max() == {None: 7, 12: 112, 11: 224}[depth]


def test_floats_from_0_to_1_are_reported(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH))
    labelme_files.write(tmp_path, [], image=False, imagePath="a.tif", size=(HEIGHT, WIDTH))
    assert scan(tmp_path / "a.tif").is_unit_range
    assert open_dataset(tmp_path).load_image(0).max() == 255


@pytest.mark.parametrize("depth", [0, 17, -1])
def test_invalid_bit_depths_are_an_error(tmp_path, depth):
    with pytest.raises(ValueError, match="expected a number of bits from 1 to 16"):
        open_dataset(tmp_path, depth=depth)
