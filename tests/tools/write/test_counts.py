"""The CSV file with counts, areas and scores per image."""
import csv

import pytest

from mrcnn.tools.write.counts import ImageCounts, save_counts


def _read(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_counts_areas_and_mean_scores(tmp_path):
    first, second = ImageCounts("a.jpg", 7, (20, 30)), ImageCounts("b.jpg", "b", (10, 10))
    for name, area, score in (("cat", 100, 0.5), ("dog", 30, 0.9), ("cat", 60.4, 0.75)):
        first.add(name, area, score)
    broken = ImageCounts("c.jpg", 9, skipped="not an image")
    save_counts(tmp_path / "a.csv", [first, second, broken])
    assert _read(tmp_path / "a.csv") == [
        ["file_name", "image_id", "height", "width", "instances", "area", "score", "cat instances", "cat area", "cat score",
         "dog instances", "dog area", "dog score", "skipped"],
        ["a.jpg", "7", "20", "30", "3", "190", "0.7167", "2", "160", "0.625", "1", "30", "0.9", ""],
        ["b.jpg", "b", "10", "10", "0", "0", "", "0", "0", "", "0", "0", "", ""],
        ["c.jpg", "9", "", "", "", "", "", "", "", "", "", "", "", "not an image"]]  # fmt: skip
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf"), "without it spreadsheets misread other letters"


def test_annotations_have_no_scores_but_a_subset_column(tmp_path):
    image = ImageCounts("a.jpg", 1, (2, 3), subset="val")
    image.add("cat", 4)
    save_counts(tmp_path / "a.csv", [image])
    assert _read(tmp_path / "a.csv") == [
        ["subset", "file_name", "image_id", "height", "width", "instances", "area", "cat instances", "cat area", "skipped"],
        ["val", "a.jpg", "1", "2", "3", "1", "4", "1", "4", ""]]  # fmt: skip


@pytest.mark.parametrize("name, cell", [
    ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("+1", "'+1"), ("-1", "'-1"), ("@sum", "'@sum"), ("a,b", "a,b"),
    ('q"q', 'q"q'),
    ("new\nline", "new\\nline"), ("葡萄", "葡萄"), ("\ud800", "\\ud800"), ("\t=1", "\\t=1"),
])  # fmt: skip
def test_names_are_never_written_as_formulas(tmp_path, name, cell):
    image = ImageCounts(name, 1)
    image.add(name, 1)
    save_counts(tmp_path / "a.csv", [image])
    (head, row) = _read(tmp_path / "a.csv")
    assert row[0] == cell and head[6] == f"{cell} instances" and len(head) == len(row) == 9
