import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io import images
from mrcnn.io.images import (
    ImageTooLargeError,
    image_names,
    open_image,
    read_image,
    read_image_size,
    read_stored,
    to_8_bits,
    to_channels,
)

RED_GREEN = np.zeros((6, 10, 3), np.uint8)
RED_GREEN[:, :5] = (255, 0, 0)
RED_GREEN[:, 5:] = (0, 255, 0)


def write(path, image):
    """Write an RGB, RGBA or grey image."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2] if image.ndim == 3 else 0)
    assert cv2.imwrite(str(path), image if order is None else image[:, :, order])
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.jpg", "a.JPEG"])
def test_colours_are_in_rgb_order(tmp_path, name):
    image = read_image(write(tmp_path / name, RED_GREEN))
    assert image.dtype == np.uint8 and image.shape == (6, 10, 3)
    assert np.abs(image.astype(int)[:, [0, 1, 8, 9]] - RED_GREEN[:, [0, 1, 8, 9]]).max() < 30  # JPEG is lossy


def test_grey_alpha_and_16_bit_images_become_8_bit_rgb(tmp_path):
    grey = np.arange(60, dtype=np.uint8).reshape(6, 10)
    for name in ("grey.png", "grey.jpg"):
        image = read_image(write(tmp_path / name, grey))
        assert image.shape == (6, 10, 3) and (image == image[:, :, :1]).all()
    with_alpha = np.dstack([RED_GREEN, np.full((6, 10), 77, np.uint8)])
    np.testing.assert_array_equal(read_image(write(tmp_path / "alpha.png", with_alpha)), RED_GREEN)
    deep = np.array([[0, 257, 65535, 128 * 257]], np.uint16)
    deep = read_image(write(tmp_path / "deep.png", deep))
    assert deep.dtype == np.uint8 and deep[0, :, 0].tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize("image, expected", [
    (np.array([0, 128, 129, 257 * 10 + 128, 257 * 10 + 129, 65535], np.uint16), [0, 0, 1, 10, 11, 255]),  # nearest
    (np.array([0, 257 * 7], ">u2"), [0, 7]),
    (np.array([[True, False]]), [[255, 0]]),
])  # fmt: skip
def test_bool_and_16_bit_pixels_become_8_bit(image, expected):
    converted = to_8_bits(image)
    assert converted.dtype == np.uint8 and converted.tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32])
def test_pixels_of_other_dtypes_are_not_changed(dtype):
    image = np.array([3, 100], dtype)
    assert to_8_bits(image) is image


def test_every_16_bit_level_is_read_as_the_nearest_8_bit_level():
    levels = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bits(levels), np.rint(levels / 257.0))


@pytest.mark.parametrize(
    "image, expected",
    [
        (np.array([[7, 9]], np.uint8), [7, 9]),  # grey
        (np.array([[[7], [9]]], np.uint8), [7, 9]),  # grey with an axis
        (np.array([[[7, 255], [9, 0]]], np.uint8), [7, 9]),  # grey and alpha
        (np.array([[True, False]]), [255, 0]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[257 * 10 + 128, 257 * 10 + 129]], np.uint16), [10, 11]),  # rounds to the nearest level
        (np.array([[7, 9]], np.int64), [7, 9]),
    ],
)
def test_grey_images_become_colour(image, expected):
    out = to_channels(image, 3)
    assert out.dtype == np.uint8 and out.shape == (1, 2, 3)
    assert out[0, :, 0].tolist() == expected
    assert (out == out[:, :, :1]).all()


def test_colour_is_not_changed_and_alpha_is_dropped():
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    assert (to_channels(colour, 3) == colour[:, :, :3]).all()
    assert (to_channels(colour[:, :, :3], 3) == colour[:, :, :3]).all()


def test_floats_keep_their_values():
    image = np.array([[0.0, 254.6]])
    out = to_channels(image, 3)
    assert out.dtype == np.float32
    assert out[0, 1].tolist() == pytest.approx([254.6] * 3)


def test_colour_to_grey_by_luma():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    out = to_channels(image, 1)
    assert out.shape == (1, 4, 1)
    assert out[0, :, 0].tolist() == [54, 182, 18, 255]  # 255 * (0.2125, 0.7154, 0.0721)


def test_other_numbers_of_channels_keep_their_values():
    depth = np.full((4, 6, 5), 3000, np.uint16)
    out = to_channels(depth, 5)
    assert out.dtype == np.float32 and (out == 3000).all()
    with pytest.raises(ValueError, match="has 3 channels.*expected 5"):
        to_channels(np.zeros((4, 6, 3), np.uint8), 5)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros(3), "not an image"),
        (np.zeros((1, 4, 4, 3)), "not an image"),
        (np.zeros((0, 4, 3), np.uint8), "without pixels"),
        (np.zeros((4, 4, 7), np.uint8), "has 7 channels"),
        (np.full((4, 4), 4000, np.int32), "0..255"),
        (np.full((4, 4), -1, np.int16), "0..255"),
        (np.zeros((4, 4), complex), "complex"),
    ],
)
def test_an_array_that_is_not_an_image_raises(image, message):
    with pytest.raises(ValueError, match=message):
        to_channels(image, 3)


def test_format_that_only_scikit_image_reads(tmp_path):
    from PIL import Image

    Image.fromarray(RED_GREEN).save(tmp_path / "a.pcx")
    np.testing.assert_array_equal(read_image(tmp_path / "a.pcx"), RED_GREEN)


def test_suffix_of_another_format_does_not_matter(tmp_path):
    write(tmp_path / "a.png", RED_GREEN).rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), RED_GREEN)


def test_exif_orientation_is_not_applied(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.fromarray(RED_GREEN).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (6, 10, 3)
    assert read_image_size(tmp_path / "a.jpg") == (6, 10)


def test_size_is_height_first(tmp_path):
    assert read_image_size(write(tmp_path / "a.png", RED_GREEN)) == (6, 10)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut off"])
@pytest.mark.parametrize("read", [read_image, read_image_size])
def test_an_unreadable_file_is_named(tmp_path, content, read):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(DataError, match="broken.jpg cannot be read"):
        read(tmp_path / "broken.jpg")


@pytest.mark.parametrize("read", [read_image, read_image_size])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match="nowhere.png does not exist"):
        read(tmp_path / "nowhere.png")


def test_read_stored_returns_palette_indices_and_unchanged_values(tmp_path):
    from PIL import Image

    numbers = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
    palette = Image.fromarray(numbers, "P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *([9] * 759)])
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_stored(tmp_path / "palette.png"), numbers)
    Image.fromarray(numbers > 1).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_stored(tmp_path / "bits.png"), numbers > 1)
    deep = numbers.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_stored(tmp_path / "deep.png"), deep)
    Image.fromarray(np.dstack([RED_GREEN, np.full((6, 10), 77, np.uint8)])).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_stored(tmp_path / "alpha.png"), RED_GREEN)


@pytest.mark.parametrize("bits, rows", [(2, [0b00011011, 0b11000000]), (4, [0x01, 0x2F, 0x30, 0x00])])
def test_grey_with_few_bits_is_read_as_its_stored_values(tmp_path, bits, rows):
    """Two rows of four pixels, assembled by hand, because no library writes such files."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    half = len(rows) // 2
    content = bytes([0, *rows[:half], 0, *rows[half:]])  # each row begins with its filter, none
    head = struct.pack(">IIBBBBB", 4, 2, bits, 0, 0, 0, 0)
    (tmp_path / "few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(content))
                                       + chunk(b"IEND", b""))  # fmt: skip
    largest = 2**bits - 1
    np.testing.assert_array_equal(read_stored(tmp_path / "few.png"), [[0, 1, 2, largest], [3, 0, 0, 0]])


def test_read_stored_of_a_file_that_is_not_an_image_is_an_error(tmp_path):
    with pytest.raises(DataError, match="gone.png does not exist"):
        read_stored(tmp_path / "gone.png")
    cv2.imwrite(str(tmp_path / "cut.png"), RED_GREEN)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:40])
    with pytest.raises(DataError, match="cut.png cannot be read"):
        read_stored(tmp_path / "cut.png")


def test_image_names_include_subfolders(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / ".hidden").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    for name in ("z.JPG", "a.txt", "b/a.png", "b/c/a.tif", "b/._a.png", "b/.hidden/a.png", "__MACOSX/._z.JPG", "__MACOSX/z.JPG",
                 "b/a.jfif", "b/a.gif", "b/a.avif", "b/film.mp4"):  # fmt: skip
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert image_names(tmp_path) == ["b/a.avif", "b/a.gif", "b/a.jfif", "b/a.png", "b/c/a.tif", "z.JPG"]


def write_bomb(path, height, width):
    """Write a PNG of a few bytes whose header declares this size."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    pixels = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


@pytest.fixture
def no_decoder(monkeypatch):
    """Fail if pixels are decoded."""

    def refuse(*args, **kwargs):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(images.cv2, "imread", refuse)
    monkeypatch.setattr(images.cv2, "imdecode", refuse)
    monkeypatch.setattr(images.skimage.io, "imread", refuse)


@pytest.mark.parametrize("read", [read_image, read_image_size, read_stored, open_image])
def test_image_with_too_many_pixels_is_rejected_before_decoding(tmp_path, read, no_decoder):
    path = write_bomb(tmp_path / "bomb.png", 60_000, 50_000)
    assert path.stat().st_size < 200
    with pytest.raises(ImageTooLargeError, match="bomb.png declares too many pixels.*3000000000"):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_image_size, read_stored])
def test_pixel_limit_can_be_changed_and_the_error_names_the_size(tmp_path, read, monkeypatch):
    write(tmp_path / "a.png", RED_GREEN)
    monkeypatch.setattr(images, "MAX_PIXELS", 60)
    read(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 59)
    with pytest.raises(ImageTooLargeError, match="a.png declares 6 x 10 pixels .* more than 59"):
        read(tmp_path / "a.png")


def test_tiff_that_pillow_cannot_read_has_the_same_pixel_limit(tmp_path, monkeypatch):
    import tifffile

    deep = np.full((6, 10, 3), 257, np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    assert (read_image(tmp_path / "deep.tif") == 1).all()
    monkeypatch.setattr(images, "MAX_PIXELS", 59)
    with pytest.raises(ImageTooLargeError, match="deep.tif declares 6 x 10"):
        read_image(tmp_path / "deep.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_is_recognised_by_its_content(tmp_path, monkeypatch, no_decoder, name, big):
    import tifffile

    tifffile.imwrite(tmp_path / name, np.zeros((6, 10, 3), np.float32), photometric="rgb", bigtiff=big)
    monkeypatch.setattr(images, "MAX_PIXELS", 59)
    with pytest.raises(ImageTooLargeError, match=f"{name} declares 6 x 10"):
        read_image(tmp_path / name)


def test_a_tiff_of_few_pixels_of_many_bytes_has_a_limit(tmp_path, monkeypatch):
    """Four channels of 64 bits are 32 bytes a pixel: 60 pixels take as much as 320 of 6 bytes."""
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 10, 4)), photometric="rgb")
    monkeypatch.setattr(images, "MAX_PIXELS", 320)
    assert read_image(tmp_path / "a.tif").shape == (6, 10, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 319)
    with pytest.raises(ImageTooLargeError, match="6 x 10 pixels .* of 32 bytes, and more than 1914 bytes are not decoded"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("size", [(-1, 5), (30_000, 30_000), (2_000_000_000, 5)])
def test_damaged_radiance_headers(tmp_path, size):
    (tmp_path / "a.png").write_bytes(b"#?RADIANCE\n\n-Y %d +X %d\n" % size)
    with pytest.raises(DataError, match="a.png"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_image_size, read_stored, open_image])
def test_a_pipe_is_not_an_image(tmp_path, read):
    """Opening it would wait for another program to write into it."""
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="a.png is not a file"):
        read(tmp_path / "a.png")
    with pytest.raises(DataError, match="is not a file"):
        read(tmp_path)


def test_too_little_memory_is_not_a_broken_image(tmp_path, monkeypatch):
    path = write(tmp_path / "a.bmp", RED_GREEN)

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(images.cv2, "imread", lambda *_: None)
    monkeypatch.setattr(images.skimage.io, "imread", fail)
    with pytest.raises(MemoryError):
        read_image(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_values_that_are_not_finite_are_refused(tmp_path, value, channels):
    import tifffile

    pixels = np.full((6, 10, *channels), 90, np.float32)
    pixels[2, 3] = pixels[4, 5] = value
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if channels else "minisblack")
    count = 2 * (3 if channels else 1)
    with pytest.raises(DataError, match=f"a.tif contains NaN or infinity in {count} of {pixels.size} values"):
        read_image(tmp_path / "a.tif")
    for wanted in (1, 3):
        with pytest.raises(ValueError, match=f"contains NaN or infinity in {count} of"):
            to_channels(pixels, wanted)


def test_12_bit_values_in_16_bit_files_are_scaled(tmp_path):
    """4095 is white: 2048 * 255 / 4095 is 127.53, 8 * 255 / 4095 is 0.498."""
    path = write(tmp_path / "a.png", np.array([[0, 8, 9, 2048, 4095]], np.uint16))
    assert read_image(path, 12)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 0, 8, 16]
    assert read_image(path, 16)[0, :, 0].tolist() == [0, 0, 0, 8, 16]
    with pytest.raises(DataError, match="a.png: its values reach 4095, and 10 bits reach 1023: give a larger depth"):
        read_image(path, 10)
    eight = write(tmp_path / "b.png", np.array([[0, 255]], np.uint8))
    assert read_image(eight, 12)[0, :, 0].tolist() == [0, 255]  # the given depth applies only to 16-bit files


def test_floats_from_0_to_1_are_scaled_and_others_unchanged(tmp_path):
    """Scaled floats are uint8, so that a data set may have both kinds of images: training needs one dtype."""
    import tifffile

    for values, expected in (([0, 0.5, 1], [0, 128, 255]), ([0, 0.5, 1.5], [0, 0.5, 1.5]), ([-0.5, 0, 1], [-0.5, 0, 1])):
        tifffile.imwrite(tmp_path / "a.tif", np.array([values], np.float32))
        image = read_image(tmp_path / "a.tif")
        assert image[0, :, 0].tolist() == expected
        assert image.dtype == (np.uint8 if expected[-1] == 255 else np.float32)


def test_a_cmyk_photograph_and_kinds_of_png(tmp_path):
    from PIL import Image

    Image.fromarray(RED_GREEN).resize((100, 60), Image.Resampling.NEAREST).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(image[30, 20] - (255, 0, 0)).max() < 30 and np.abs(image[30, 80] - (0, 255, 0)).max() < 30
    Image.fromarray(np.dstack([RED_GREEN[:, :, 0], np.full((6, 10), 9, np.uint8)]), "LA").save(tmp_path / "la.png")
    assert (read_image(tmp_path / "la.png") == RED_GREEN[:, :, :1]).all()
    Image.fromarray(RED_GREEN[:, :, 0] > 0).save(tmp_path / "one_bit.png")
    assert (read_image(tmp_path / "one_bit.png") == RED_GREEN[:, :, :1]).all()
    palette = Image.fromarray(RED_GREEN).quantize(2)
    palette.save(tmp_path / "palette.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), palette.convert("RGB"))


@pytest.mark.parametrize("name", ["a.gif", "a.avif", "a.jfif", "a.webp"])
def test_further_formats(tmp_path, name):
    from PIL import Image, features

    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this version of Pillow cannot write AVIF")
    image = Image.fromarray(RED_GREEN).resize((100, 60), Image.Resampling.NEAREST)
    image.save(tmp_path / name, format="JPEG" if name == "a.jfif" else None)
    read = read_image(tmp_path / name).astype(int)
    assert read.shape == (60, 100, 3) and np.abs(read[30, 20] - (255, 0, 0)).max() < 30
    assert np.abs(read[30, 80] - (0, 255, 0)).max() < 30


def test_the_first_picture_of_an_animation_is_read(tmp_path):
    from PIL import Image

    frames = [Image.fromarray(RED_GREEN), Image.fromarray(RED_GREEN[:, ::-1])]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), RED_GREEN)


@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "a.gif", "a.hdr"])
def test_damaged_file_is_reported_by_its_error_alone(tmp_path, capfd, name):
    """OpenCV writes lines such as "[ERROR:0@0.268] global loadsave.cpp" to the terminal."""
    path, level = tmp_path / name, cv2.getLogLevel()
    assert cv2.imwrite(str(path), np.full((40, 60, 3), 90, np.float32 if name == "a.hdr" else np.uint8))
    content = path.read_bytes()
    for length in (len(content) - 20, 60, 12):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=name):
            read_image(path)
    assert capfd.readouterr() == ("", "") and cv2.getLogLevel() == level > 0


@pytest.mark.parametrize("damage", range(30))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_libjpeg_and_libpng_write_nothing_about_damage(tmp_path, capfd, name, damage):
    """Under OpenCV they write "Corrupt JPEG data: ..." and "libpng error: ..." past its log."""
    rng = np.random.default_rng(damage)
    path = write(tmp_path / name, rng.integers(0, 256, (40, 60, 3), np.uint8))
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content) // 2, len(content) - 40))  # in the pixels
    content[place:place] = rng.integers(0, 256, damage % 3 * 20, np.uint8).tobytes()
    content[place] ^= 0x55
    path.write_bytes(content)
    try:
        assert read_image(path).shape == (40, 60, 3)
    except DataError as error:
        assert name in str(error)
    assert capfd.readouterr() == ("", "")


def test_opencv_stays_quiet_until_the_last_thread_is_done():
    quiet, levels, level = images._QuietOpenCv(), [], cv2.getLogLevel()
    first, second = quiet.reading(), quiet.reading()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    levels.append(cv2.getLogLevel())
    second.__exit__(None, None, None)
    assert levels == [0] and cv2.getLogLevel() == level
