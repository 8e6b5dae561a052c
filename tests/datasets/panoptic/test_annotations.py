"""Reading the panoptic JSON: valid content, and errors."""
import copy
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.annotations import read_panoptic, without_suffix
from tests.datasets.panoptic_sets import CATEGORIES, segment
from tests.shared_data import shared_path

CONTENT = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "height": 3, "width": 5},
        {"id": "x", "file_name": "sub/a.jpg", "height": 4, "width": 2},
    ],
    "annotations": [
        {"image_id": 7, "file_name": "b.png", "segments_info": [segment(5, 1, 9), segment(6, 200, 6.0, False)]},
        {"image_id": "x", "file_name": "sub/a.png", "segments_info": []},
    ],
    "categories": CATEGORIES,
}


def read(tmp_path, content, **options):
    path = tmp_path / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_panoptic(path, tmp_path / "images", **options)


def changed(*path, value):
    """Return CONTENT with one value replaced, or its key removed for DROP."""
    content = copy.deepcopy(CONTENT)
    *parents, last = path
    parent = content
    for key in parents:
        parent = parent[key]
    if value is DROP:
        del parent[last]
    else:
        parent[last] = value
    return content


DROP = object()


def test_images_and_segments(tmp_path):
    index = read(tmp_path, CONTENT)
    assert list(index.categories) == [1, 3, 92, 200] and index.skipped == []
    b, a = index.images
    assert (b.id, b.name, b.size) == (7, "b", (3, 5)) and (a.id, a.name, a.size) == ("x", "sub/a", (4, 2))
    assert b.path == tmp_path / "images" / "b.jpg" and b.png == tmp_path / "annotations" / "b.png"
    assert b.segments.tolist() == [[5, 1, 9, 0], [6, 200, 6, 0]] and a.segments.shape == (0, 4)


def test_image_without_annotation_is_skipped(tmp_path):
    content = changed("annotations", value=CONTENT["annotations"][:1])
    index = read(tmp_path, content)
    assert [image.name for image in index.images] == ["b"]
    assert index.skipped == [("image x (sub/a)", "it has no annotation")]


@pytest.mark.parametrize("name", ["panoptic_coco_detection_format.json"])
def test_instances_file_is_an_error_that_suggests_alternatives(name):
    with pytest.raises(DataError, match=f"{name} holds instances.*use panoptic_train2017.json.*open the file as coco"):
        read_panoptic(shared_path(f"data/panoptic/{name}"), "images")


FAULTS = [
    (("images", 1, "id"), 7, r"images\[1\]: two images have the id 7, b and sub/a"),
    (("images", 1, "file_name"), "b.jpg", r"images\[1\]: two images have the file name b.jpg"),
    (("images", 0, "height"), 0, r"images\[0\]: image b.jpg has the size \(0, 5\)"),
    (("images", 0, "height"), 10**9, r"images\[0\]: image b.jpg declares 1000000000 x 5 pixels .height x width."),
    (("images", 0, "width"), "5", r"images\[0\]: 'width' is '5', expected a whole number"),
    (("images", 0, "file_name"), "../b.jpg", r"images\[0\]: file_name is '../b.jpg', which points outside"),
    (("images", 0, "file_name"), "/b.jpg", r"images\[0\]: file_name is the absolute path '/b.jpg'"),
    (("images", 0, "id"), DROP, r"images\[0\] has no field 'id'"),
    (("images",), {}, "'images' is {}, expected a list"),
    (("annotations",), DROP, "has no field 'annotations'"),
    (("categories",), [], "has no categories"),
    (("categories", 0, "id"), 3, r"categories\[1\]: two categories have the id 3"),
    (("categories", 0, "isthing"), 2, r"categories\[0\] has the id 200 and isthing 2"),
    (("categories", 0, "name"), 5, r"categories\[0\]: 'name' is 5, expected text"),
]

# faults of a single annotation, which are skipped if the reader is not strict
FAULTS_OF_AN_IMAGE = [
    (("annotations", 1, "image_id"), 7, r"image 7 \(b\) has two annotations"),
    (("annotations", 0, "image_id"), 8, r"annotations\[0\]: its image_id 8 is not among the images"),
    (("annotations", 0, "file_name"), "../../b.png", r"image 7 \(b\): file_name of its PNG is .* points outside"),
    (("annotations", 0, "segments_info"), None, r"image 7 \(b\) has no field 'segments_info'"),
    (("annotations", 0, "segments_info", 0), 3, r"image 7 \(b\), segments_info\[0\] is 3, expected an object"),
    (("annotations", 0, "segments_info", 1, "id"), 5, r"image 7 \(b\), segment 5: another segment has this id"),
    (("annotations", 0, "segments_info", 0, "id"), 0, r"image 7 \(b\), segment 0: its id is not from 1 to 16777215"),
    (("annotations", 0, "segments_info", 0, "id"), 2**24, r"image 7 \(b\), segment 16777216: its id"),
    (("annotations", 0, "segments_info", 0, "id"), 10**400, r"image 7 \(b\), segment 1000"),
    (("annotations", 0, "segments_info", 0, "category_id"), 2, r"image 7 \(b\), segment 5: its category 2 is not among"),
    (("annotations", 0, "segments_info", 0, "category_id"), "1", r"segments_info\[0\]: 'category_id' is '1', expected"),
    (("annotations", 0, "segments_info", 0, "area"), -1, r"segment 5: its area is -1"),
    (("annotations", 0, "segments_info", 0, "area"), 2.5, r"segment 5: its area is 2.5"),
    (("annotations", 0, "segments_info", 0, "area"), DROP, r"segment 5 has no field 'area'"),
    (("annotations", 0, "segments_info", 0, "iscrowd"), 2, r"segment 5: iscrowd is 2"),
    (("annotations", 0, "segments_info", 1, "iscrowd"), 1, r"image 7 \(b\), segment 6: it is a crowd of rug, which is stuff"),
]


@pytest.mark.parametrize("path, value, message", FAULTS + FAULTS_OF_AN_IMAGE)
def test_fault_is_reported_with_file_and_position(tmp_path, path, value, message):
    with pytest.raises(DataError, match=r"annotations.json:? .*" + message.removeprefix(" ")):
        read(tmp_path, changed(*path, value=value))


@pytest.mark.parametrize("path, value, message", FAULTS_OF_AN_IMAGE)
def test_invalid_image_is_skipped_if_not_strict(tmp_path, path, value, message):
    index = read(tmp_path, changed(*path, value=value), strict=False)
    assert {image.id for image in index.images} == ({7} if value == 7 else {"x"})
    assert re.search(message, index.skipped[0][1])


@pytest.mark.parametrize("content, message", [
    ("", "is not valid JSON"), ("[1]", "expected an object"), ('{"images": NaN}', "NaN"),
])  # fmt: skip
def test_file_that_is_not_a_panoptic_json_is_an_error(tmp_path, content, message):
    with pytest.raises(DataError, match=f"annotations.json .*{message}"):
        read(tmp_path, content)


def test_file_name_outside_the_folder_can_be_allowed(tmp_path):
    index = read(tmp_path, changed("images", 0, "file_name", value="../b.jpg"), allow_outside=True)
    assert index.images[0].path == tmp_path / "images" / ".." / "b.jpg"


@pytest.mark.parametrize("name, expected", [
    ("a.jpg", "a"), ("sub/a.b.jpg", "sub/a.b"), ("sub\\a.jpg", "sub/a"), (".jpg", ".jpg"), ("a", "a"), ("/", "/"),
])  # fmt: skip
def test_without_suffix(name, expected):
    assert without_suffix(name) == expected


def _paths(value, path=()):
    """Yield the path of every value in nested dicts and lists."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(inner, (*path, key))


WRONG = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}),
                  st.just([[[[]]]]), st.just(10**30), st.just(DROP))  # fmt: skip


@given(path=st.sampled_from([path for path in _paths(CONTENT) if path]), value=WRONG, strict=st.booleans())
def test_wrong_value_raises_no_other_error_than_data_error(tmp_path_factory, path, value, strict):
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    try:
        index = read(tmp_path_factory.mktemp("wrong"), changed(*path, value=value), strict=strict)
    except DataError as error:
        assert "annotations.json" in str(error)
    else:
        assert all(image.segments.dtype == np.int64 and image.segments.shape[1] == 4 for image in index.images)


@given(st.integers(0, 600))
def test_truncated_file_is_a_data_error(tmp_path_factory, length):
    text = json.dumps(CONTENT)
    with pytest.raises(DataError, match="annotations.json"):
        read(tmp_path_factory.mktemp("cut"), text[: min(length, len(text) - 1)])
