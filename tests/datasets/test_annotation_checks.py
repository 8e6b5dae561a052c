import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotation_checks import Checked, check_annotations, reach
from mrcnn.datasets.ids import ById
from mrcnn.io.json_fields import JsonList, read_json
from tests.datasets.json_damage import damaged_json

IMAGES = ById({7: {"height": 40, "width": 60}, "a": {"height": 2, "width": 3}})
CATEGORIES = ById({3: None})


def faults(*annotations):
    return [checked.fault for checked in check_annotations(list(annotations), IMAGES, CATEGORIES)]


def as_text(path, content):
    """Write annotations to a file and read them without parsing them: they stay text."""
    path.write_text(json.dumps(content))
    return read_json(path, lazy="annotations")["annotations"]


def packed(counts, image_id="a", size=(2, 3)):
    return {"image_id": image_id, "category_id": 3, "segmentation": {"size": list(size), "counts": counts}}


@pytest.mark.parametrize("values, expected", [
    ([3, 4.0], 5), ([], 0), ([-7], 7), ([1, math.nan], math.inf), ([1, -math.inf], math.inf), ([1, True], math.inf),
    ([1, None], math.inf), ([1, "2"], math.inf), ([1, [2]], math.inf), ([1, 10**400], math.inf), ([1.7e308] * 3, math.inf),
])  # fmt: skip
def test_reach_is_the_sum_of_absolute_values_or_infinity(values, expected):
    assert reach(values) == expected


@given(st.lists(st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=2))))
def test_reach_is_at_least_the_largest_absolute_value(values):
    plain = all(type(v) in (int, float) and abs(v) < 1e300 for v in values)
    assert reach(values) >= max(map(abs, values), default=0) * (1 - 1e-12) if plain else reach(values) > 1e299


def test_faults_of_many_annotations_stay_with_them():
    """Compressed counts are summed in chunks; results must not shift at the chunk boundaries."""
    # 2 x 3 pixels: "24" is 2 background and 4 mask pixels; "23" lacks one
    annotations = [packed("23" if i % 7 == 3 else "24") if i % 5 else {"image_id": i} for i in range(700)]
    for i, result in enumerate(check_annotations(annotations, IMAGES, CATEGORIES)):
        expected = "image_id" if i % 5 == 0 else "add up" if i % 7 == 3 else None
        if expected is None:
            assert result == Checked("a", 3), i
        else:
            assert result[:2] == (None, None) and expected in result[2], i


def test_compressed_counts_are_checked_against_the_size_of_their_image():
    assert faults(packed("24"), packed("24", 7, (40, 60)), packed("P[2", 7, (40, 60)), packed("24", 7)) == [
        None, "the counts of its RLE do not add up to its height x width",
        # "P[2" is 0 + 32 * 11 + 1024 * 2 = 2400
        None, "its RLE is not of the image's size",
    ]  # fmt: skip


PLAIN = {"image_id": 7, "category_id": 3, "iscrowd": 0, "area": 400, "bbox": [10, 5, 20, 20.5], "id": 1,
         "segmentation": [[10, 5, 30, 5, 30, 25.5], [10, 5, 30, 5, 30, 25, 10, 25]]}  # fmt: skip


@pytest.mark.parametrize("change, fault", [
    ({}, None), ({"image_id": "a", "segmentation": [[0, 0, 1, 1, 2, 0]]}, None), ({"iscrowd": True}, None),
    ({"iscrowd": 1.0}, None), ({"area": None, "bbox": []}, None), ({"more": [{}]}, None),
    ({"segmentation": [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 2, 0]]}, None),
    ({"segmentation": [[500] * 100]}, None),  # each coordinate is within ten times the image size
    ({"segmentation": [[500] * 99 + [601]]}, "further out"), ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "three points"),
    ({"image_id": 7.5}, "image_id"), ({"image_id": True}, "image_id"), ({"image_id": "7.5"}, "image_id"),
    ({"category_id": 3.5}, "category_id"), ({"iscrowd": 2}, "iscrowd"),
    ({"segmentation": [[1, 2, 3, 4, 5, "x"]]}, "finite"), ({"segmentation": [[1, 2, 3, 4, 5, True]]}, "finite"),
])  # fmt: skip
def test_unparsed_annotations_are_checked_like_parsed_ones(tmp_path, change, fault):
    annotation = {**PLAIN, **change}
    text = as_text(tmp_path / "a.json", {"annotations": [annotation]})
    ((image_id, category_id, reason, _, _),) = check_annotations(text, IMAGES, CATEGORIES)
    assert [reason] == faults(annotation)
    if fault is None:
        assert (image_id, category_id, reason) == (annotation["image_id"], 3, None)
    else:
        assert fault in reason


@given(damaged_json({"annotations": [PLAIN, {**packed("24")}, PLAIN]}))
def test_damaged_unparsed_annotations_are_checked_like_parsed_ones(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "damaged_annotations.json"
    path.write_text(text)
    try:
        content = read_json(path, lazy="annotations")
    except DataError:
        return
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, JsonList):
        return
    decoded = list(annotations)
    assert list(check_annotations(annotations, IMAGES, CATEGORIES)) == list(check_annotations(decoded, IMAGES, CATEGORIES))


@pytest.mark.parametrize("to_text", [True, False])
def test_ids_are_matched_with_those_of_the_lists(tmp_path, to_text):
    square = [[0, 0, 1, 0, 1, 1, 0, 1]]
    content = [{"id": 1, "image_id": 7.0, "category_id": 3, "segmentation": square},
               {"id": 2, "image_id": "7", "category_id": "3", "segmentation": square},
               {"id": 3, "image_id": "a", "category_id": 3, "segmentation": square},
               {"id": 4, "image_id": "b", "category_id": 3, "segmentation": square}]  # fmt: skip
    annotations = as_text(tmp_path / "a.json", {"annotations": content}) if to_text else content
    image_note = "its image_id is written differently from the id in the list, and is matched by its number"
    assert list(check_annotations(annotations, IMAGES, CATEGORIES)) == [
        Checked(7, 3, None, {**content[0], "image_id": 7}, (image_note,)),
        Checked(7, 3, None, {**content[1], "image_id": 7, "category_id": 3},
                (image_note, image_note.replace("image_id", "category_id"))),
        Checked("a", 3),
        Checked(None, None, "its image_id is not among the images"),
    ]  # fmt: skip
