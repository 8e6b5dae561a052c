"""`mrcnn check`: its findings on the terminal and in files, and its exit codes."""
import json
import shutil

import pytest

from mrcnn.cli.main import main
from tests.shared_data import shared_path
from tests.tools.doctor.damaged import DAMAGES, healthy


@pytest.fixture
def data(tmp_path):
    """A function that writes a data set with the named kinds of damage, and returns its folder."""

    def make(*names):
        train, val = healthy(tmp_path / "set")
        for position, name in enumerate(names):
            DAMAGES[name][1](train, val, 2 * position)
        train.save(), val.save()
        return str(tmp_path / "set")

    return make


@pytest.mark.parametrize("damage, code, strict", [
    (None, 0, 0), ("an unused category", 0, 0), ("a mask of one pixel", 0, 1), ("a missing file", 1, 1),
    ("an image of train in val", 1, 1),
])  # fmt: skip
def test_exit_code_depends_on_the_worst_finding(data, damage, code, strict):
    folder = data(*([damage] if damage else []))
    assert main(["check", folder]) == code
    assert main(["check", folder, "--strict"]) == strict


@pytest.mark.parametrize("arguments, expected", [
    (["gone"], "gone does not exist"),
    (["SET", "--subset", "test"], "no subset 'test'; it has train, val"),
    (["SET/train"], "unknown data set format; looked for"),
    (["SET", "--set", "IMAGE_MAX_DIM=1000"], "multiple of 64"),
    (["SET", "--fix", "SET"], "would overwrite the data set"),
])  # fmt: skip
def test_failed_check_prints_one_line_and_exits_with_2(data, arguments, expected, capsys):
    folder = data()
    assert main(["check", *(word.replace("SET", folder) for word in arguments)]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.startswith("mrcnn check: error: ") and message.count("\n") == 1


def test_findings_are_printed_and_written(data, tmp_path, capsys):
    folder = data("a missing file", "a polygon that crosses itself")
    page, findings = tmp_path / "a.html", tmp_path / "a.json"
    assert main(["check", folder, "--html", str(page), "--json", str(findings), "--workers", "0"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "11 images, 22 annotations: 1 error, 1 warning, 0 notes" in text
    assert "missing image files" in text and "001.jpg" in text and "crosses itself once" in text
    saved = json.loads(findings.read_text())
    assert saved["counts"] == {"error": 1, "warning": 1, "info": 0}
    assert [(f["kind"], f["part"], f["file"], f["image_id"], f["annotation_id"]) for f in saved["findings"]] == [
        ("image_missing", "train", "001.jpg", 1, None), ("polygon_crosses_itself", "train", "003.jpg", 3, 6)]  # fmt: skip
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_fix_writes_a_repaired_copy_and_a_list_of_changes(data, tmp_path, capsys):
    folder = data("a missing file", "a wrong area", "a polygon that crosses itself")
    out = tmp_path / "out"
    assert main(["check", folder, "--fix", str(out)]) == 1
    text = capsys.readouterr().out
    assert "1 image dropped" in text and "1 area computed" in text and "not repaired: polygon_crosses_itself" in text
    done = json.loads((out / "changes.json").read_text())["done"]
    assert {"done": "area computed", "at": "train, 003.jpg, image 3, annotation 6", "detail": ""} in done
    for name in ("train", "val"):
        shutil.copytree(tmp_path / "set" / name, out / name)
    assert main(["check", str(out)]) == 0
    assert main(["check", folder, "--subset", "train", "--fix", str(tmp_path / "one.json")]) == 1
    assert (tmp_path / "one_changes.json").exists()
    assert main(["check", str(tmp_path / "one.json"), "--images", folder + "/train"]) == 0


def test_anchors_are_those_of_the_configuration(data, capsys):
    folder = data()
    assert main(["check", folder, "--set", "RPN_ANCHOR_SCALES=(2,3,4,5,6)"]) == 0
    text = " ".join(capsys.readouterr().out.split())  # lines wrap at the width of the terminal
    assert "100.0% of 22 objects" in text and "RPN_ANCHOR_SCALES=(2, 3, 4, 5, 6)" in text


def test_photographs_have_no_errors(capsys):
    assert main(["check", str(shared_path("data/tiny_coco"))]) == 0
    text = capsys.readouterr().out
    assert "38 images, 424 annotations: 0 errors" in text and "person" in text and "suggested:" in text
