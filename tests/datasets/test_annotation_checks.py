import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.datasets.annotation_checks import is_id, reach, with_faults

IMAGES = {7: {"height": 40, "width": 60}, "a": {"height": 2, "width": 3}}


def faults(*annotations):
    return [fault for _, fault in with_faults(list(annotations), IMAGES, {3})]


def packed(counts, image_id="a", size=(2, 3)):
    return {"image_id": image_id, "category_id": 3, "segmentation": {"size": list(size), "counts": counts}}


@pytest.mark.parametrize("values, expected", [
    ([3, 4.0], 5), ([], 0), ([-7], 7), ([1, math.nan], math.inf), ([1, -math.inf], math.inf), ([1, True], math.inf),
    ([1, None], math.inf), ([1, "2"], math.inf), ([1, [2]], math.inf), ([1, 10**400], math.inf), ([1.7e308] * 3, math.inf),
])  # fmt: skip
def test_how_far_numbers_reach(values, expected):
    assert reach(values) == expected


@given(st.lists(st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=2))))
def test_numbers_reach_at_least_as_far_as_the_largest(values):
    plain = all(type(v) in (int, float) and abs(v) < 1e300 for v in values)
    assert reach(values) >= max(map(abs, values), default=0) * (1 - 1e-12) if plain else reach(values) > 1e299


def test_ids():
    assert is_id(7) and is_id("7") and not any(map(is_id, (True, 7.0, None, [7])))


def test_many_annotations_keep_their_faults_and_their_order():
    """Packed counts are added up many at once, over the bounds of which nothing may shift."""
    # 2 x 3 pixels: "24" is 2 of nothing and 4 of mask, "23" lacks one
    annotations = [packed("23" if i % 7 == 3 else "24") if i % 5 else {"image_id": i} for i in range(700)]
    found = list(with_faults(annotations, IMAGES, {3}))
    assert all(annotation is given for (annotation, _), given in zip(found, annotations, strict=True))
    for i, (_, fault) in enumerate(found):
        expected = "image_id" if i % 5 == 0 else "add up" if i % 7 == 3 else None
        assert expected is None and fault is None or expected in fault, i


def test_packed_counts_of_images_of_several_sizes():
    assert faults(packed("24"), packed("24", 7, (40, 60)), packed("P[2", 7, (40, 60)), packed("24", 7)) == [
        None, "the counts of its RLE do not add up to its height x width",
        # "P[2" is 0 + 32 * 11 + 1024 * 2 = 2400
        None, "its RLE is not of the image's size",
    ]  # fmt: skip
