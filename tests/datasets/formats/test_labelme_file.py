"""labelme files of rotated images, embedded images, and damaged files."""
import base64
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.labelme.file import match_sizes
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.tools.write.labelme import write_labelme
from tests.datasets.formats.labelme_files import box, png, ring, save_image, shape, write
from tests.datasets.json_damage import damaged_json
from tests.loading.scenes import scenes

STORED, ROTATED = (40, 60), (60, 40)
INSIDE_BOTH = ring(2, 3, 30, 25)
TALL = ring(2, 3, 30, 55)  # fits only an image of 60 x 40
WIDE = ring(2, 3, 55, 30)  # fits only an image of 40 x 60


def load(folder):
    return mrcnn.datasets.open(folder, "labelme")


@pytest.mark.parametrize("listed, points, size, applied, note", [
    (ROTATED, TALL, ROTATED, True, None),  # as labelme does
    (ROTATED, INSIDE_BOTH, ROTATED, True, None),
    (None, INSIDE_BOTH, ROTATED, True, None),
    (STORED, TALL, ROTATED, True, "do not include its EXIF orientation"),
    (STORED, INSIDE_BOTH, ROTATED, True, "do not include its EXIF orientation"),
    (STORED, WIDE, STORED, False, "its EXIF orientation is not applied"),  # written by a program that ignores EXIF
])  # fmt: skip
def test_annotations_refer_to_the_image_as_displayed(tmp_path, listed, points, size, applied, note):
    h, w = listed or (None, None)
    write(tmp_path, [shape("cat", points)], size=STORED, orientation=6, imageHeight=h, imageWidth=w)
    dataset = load(tmp_path)
    image, (masks, _) = dataset.load_image(0), dataset.load_mask(0)
    assert image.shape[:2] == masks.shape[:2] == dataset.image_size(0) == size
    # the white pixel is stored at the upper left; a quarter turn clockwise moves it to the upper right
    assert image[0, -1 if applied else 0].tolist() == [255, 255, 255]
    ((left, top), (right, bottom)) = np.min(points, axis=0), np.max(points, axis=0)
    np.testing.assert_array_equal(masks[:, :, 0], box(top, left, bottom, right, size))
    assert [note in what for _, what in dataset.notes] == ([True] if note else [])
    assert make_sample(dataset, 0, SampleSettings("none"))[0].shape[:2] == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_with_the_sizes_that_labelme_writes(tmp_path, orientation):
    size = ROTATED if orientation >= 5 else STORED
    write(tmp_path, [shape("cat", INSIDE_BOTH)], orientation=orientation, imageHeight=size[0], imageWidth=size[1])
    dataset = load(tmp_path)
    image = dataset.load_image(0)
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}[orientation]
    assert image.shape[:2] == size and image[corner].tolist() == [255, 255, 255] and dataset.notes == []


def test_swapped_width_and_height_are_corrected_and_reported(tmp_path, caplog):
    write(tmp_path, [shape("cat", INSIDE_BOTH)], imageHeight=60, imageWidth=40)
    dataset = load(tmp_path)
    assert dataset.image_size(0) == STORED and dataset.load_mask(0)[0].shape == (*STORED, 1)
    assert dataset.notes == [("a.json", "its imageHeight and imageWidth are swapped: those of the image are used")]
    assert "a.json: its imageHeight and imageWidth are swapped" in caplog.text


def test_image_rotated_after_annotation_is_an_error(tmp_path):
    write(tmp_path, [shape("cat", TALL)], imageHeight=60, imageWidth=40)
    with pytest.raises(DataError, match="a.json: .*rotated by a quarter turn after it was annotated"):
        load(tmp_path)


@pytest.mark.parametrize("height", ["600", -3, 2.5, True, [40]])
def test_malformed_size_is_reported(tmp_path, height):
    write(tmp_path, [shape("cat", INSIDE_BOTH)], imageHeight=height)
    dataset = load(tmp_path)
    ((where, what),) = dataset.notes
    assert dataset.image_size(0) == STORED and where == "a.json" and f"its imageHeight is {height!r}" in what


@pytest.mark.parametrize("stored, orientation, listed, reach, expected", [
    ((40, 60), 1, (40, 60), (39, 59), ((40, 60), False)),
    ((40, 60), 3, (40, 60), (39, 59), ((40, 60), True)),
    ((50, 50), 6, (50, 50), (9, 9), ((50, 50), True)),
    ((40, 60), 1, (20, 30), (9, 9), (None, False)),
    ((40, 60), 8, (30, 20), (9, 9), (None, False)),
])  # fmt: skip
def test_match_sizes(stored, orientation, listed, reach, expected):
    assert match_sizes(stored, orientation, listed, reach)[:2] == expected


@pytest.mark.parametrize("orientation", [1, 8])
def test_embedded_image_replaces_a_missing_file(tmp_path, orientation):
    save_image(tmp_path / "embedded.png", STORED, orientation)
    embedded = base64.b64encode((tmp_path / "embedded.png").read_bytes()).decode()
    size = ROTATED if orientation == 8 else STORED
    write(tmp_path, [shape("cat", INSIDE_BOTH)], image=False, imageData=embedded, imageHeight=size[0], imageWidth=size[1])
    dataset = load(tmp_path)
    image = dataset.load_image(0)
    assert image.shape == (*size, 3) and image[0 if orientation == 1 else -1, 0].tolist() == [255, 255, 255]
    save_image(tmp_path / "a.png", STORED)
    assert dataset.load_image(0).shape == (*STORED, 3)  # the file takes precedence


def test_broken_embedded_image_is_reported_when_loaded(tmp_path):
    save_image(tmp_path / "embedded.png", STORED)
    intact = (tmp_path / "embedded.png").read_bytes()
    for data in (intact[:60], b"nothing"):
        embedded = base64.b64encode(data).decode()
        write(tmp_path, [shape("cat", INSIDE_BOTH)], image=False, imageData=embedded)
        with pytest.raises(DataError, match=r"a\.(json|png)"):
            load(tmp_path).load_image(0)


# --- damage

_VALID = {
    "shapes": [shape("cat", INSIDE_BOTH, group_id=1), shape("cat", ring(5, 6, 9, 9, False), group_id=1),
               shape("dog", [[20, 20], [22, 21]], "circle"), shape("dog", [[1, 1], [9, 9]], "linestrip"),
               shape("dog", [[1, 1], [3, 2]], "mask", mask=png(np.ones((2, 3), bool)))],
    "imagePath": "a.png", "imageData": None, "imageHeight": 40, "imageWidth": 60, "flags": {},
}  # fmt: skip


def _open_and_use(folder):
    """Open a folder and load everything; any error must be a DataError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            dataset = load(folder)
            for i in dataset.image_ids:
                dataset.load_mask(i)
                dataset.ground_truth(i)
                dataset.load_image(i)
    except DataError as error:
        assert "a.json" in str(error) or str(folder) in str(error)


@given(damaged_json(_VALID), st.booleans())
@settings(max_examples=60)
def test_damage_raises_a_data_error_or_is_skipped(tmp_path_factory, text, image_exists):
    folder = tmp_path_factory.mktemp("damage")
    write(folder, [], image=image_exists)
    (folder / "a.json").write_text(text)
    _open_and_use(folder)


@given(st.integers(0, 1500), st.sampled_from([b"", b"NaN", b"\xff\xfe", b'"', b"[" * 3000]))
def test_truncated_file_raises_a_data_error(tmp_path_factory, length, ending):
    folder = tmp_path_factory.mktemp("damage")
    write(folder, [])
    (folder / "a.json").write_bytes(json.dumps(_VALID).encode()[:length] + ending)
    _open_and_use(folder)


# --- round trip

RECTANGLES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 25), st.integers(0, 40), st.integers(1, 15),
                                st.integers(1, 20), st.booleans()), max_size=4)  # fmt: skip


@given(st.lists(RECTANGLES, min_size=1, max_size=2), st.sampled_from(["polygon", "mask"]))
def test_written_masks_are_read_back(tmp_path_factory, images, shape_type):
    folder = tmp_path_factory.mktemp("labelme")
    dataset = scenes(*([(-c if crowd else c, y, x, y + h, x + w) for c, y, x, h, w, crowd in image] for image in images))
    write_labelme(dataset, folder, copy_images=True, shape_type=shape_type)
    again = mrcnn.datasets.open(folder, "labelme", labels=["red", "green", "blue"])
    for i in dataset.image_ids:
        masks, class_ids = again.load_mask(i)
        expected, expected_ids = dataset.load_mask(i)
        assert class_ids.tolist() == expected_ids.tolist()
        np.testing.assert_array_equal(masks, expected.reshape(masks.shape))
        np.testing.assert_array_equal(again.load_image(i), dataset.load_image(i))
