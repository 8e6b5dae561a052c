"""The table of written and skipped entries."""
from mrcnn.tools.write.summary import Summary, counted
from tests.loading.scenes import scenes


def test_counts_by_class_and_by_reason():
    summary = Summary.of(scenes([]))
    assert summary.per_class == {"red": 0, "green": 0, "blue": 0}
    summary.images = 2
    for name in ("blue", "red", "blue"):
        summary.count(name)
    summary.skipped = [("a.json", "it has no area"), (7, "too far [out]"), ("c.json", "it has no area")]
    lines = [line.split() for line in summary.table().splitlines()]
    assert ["red", "1"] in lines and ["green", "0"] in lines and ["blue", "2"] in lines
    assert ["3", "classes,", "2", "images", "3"] in lines
    assert lines.index("2 it has no area a.json".split()) < lines.index("1 too far [out] 7".split())
    assert "notes" not in summary.table()
    summary.notes.append(("d.json", "it was repaired"))
    assert ["1", "it", "was", "repaired", "d.json"] in [line.split() for line in summary.table().splitlines()]


def test_entries_of_the_reader_come_first():
    dataset = scenes([])
    dataset.skipped, dataset.notes = [("a", "bad")], [("b", "repaired")]
    summary = Summary.of(dataset)
    assert summary.skipped == [("a", "bad")] and summary.notes == [("b", "repaired")]
    summary.skipped.append(("c", "worse"))
    assert dataset.skipped == [("a", "bad")]


def test_counted_uses_the_singular_for_one():
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(n, "class", "classes") for n in (1, 3)] == ["1 class", "3 classes"]


def test_control_characters_do_not_reach_the_terminal():
    summary = Summary(images=1, instances=1, per_class={"\x1b[31mred\x1b[0m": 1}, skipped=[("a\nb.jpg", "no \x1b[2J class")])
    text = summary.table()
    assert "\x1b" not in text and r"\x1b[31mred\x1b[0m" in text and r"a\nb.jpg" in text and r"no \x1b[2J class" in text
