"""Class names that probably mean the same class."""
import pytest

from mrcnn.datasets.class_names import likely_typos, same_but_for_spelling


@pytest.mark.parametrize("names", [
    ("cat", "Cat", "CAT"), ("fig", "fig."), ("traffic light", "traffic_light", "Traffic-Light"), ("t-shirt", "tshirt"),
    ("café", "cafe\u0301"), ("ＡＢＣ", "abc"), ("STRASSE", "Straße"), ("stage 1", "stage_1"), ("葡萄", " 葡萄"),
])  # fmt: skip
def test_names_that_differ_only_in_spelling(names):
    assert same_but_for_spelling([*names, "other"]) == [list(names)]


@pytest.mark.parametrize("names", [
    ("cat", "car"), ("A+", "A-"), ("M 3,5", "M 35"), ("stage 1", "stage 2"), ("+", "-"), ("C", "C++"), ("café", "cafe"),
    ("1.5", "15"), ("a", "a'b"), ("क", "कि"),
])  # fmt: skip
def test_names_that_differ(names):
    assert same_but_for_spelling(names) == []


LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000))) * 5


@pytest.mark.parametrize("rare, frequent", [
    ("dtae", "date"), ("Dates", "date"), ("bananna", "banana"), ("aple", "apple"), ("aplle", "apple"), ("mandarn", "mandarin"),
])  # fmt: skip
def test_rare_name_similar_to_a_frequent_one_is_a_likely_typo(rare, frequent):
    assert likely_typos({frequent: 10, rare: 2, "pomegranate": 50}) == [(rare, frequent)]


@pytest.mark.parametrize("counts", [
    {"date": 10, "dtae": 3},  # not rare
    {"date": 10, "dtae": 0},  # without objects
    {"cat": 100, "car": 1},  # short
    {"stage 1": 100, "stage 2": 1},  # digits
    {"Date": 10, "date": 1},  # differ only in case
    {"boat": 100, "bath": 1},  # two letters differ
    {LONG: 100, LONG[1:]: 1},  # long, as in a damaged file: all its variants would fill 10 GB
])  # fmt: skip
def test_names_are_not_likely_typos(counts):
    assert likely_typos(counts) == []


def test_many_names_are_compared_quickly():
    """LVIS has 1203 classes, which would be 700,000 pairs."""
    names = {f"{a}{b}{c}{d}": 1000 for a in "abcdef" for b in "ghijkl" for c in "mnopqr" for d in "stuvwx"}
    assert likely_typos(names) == []
