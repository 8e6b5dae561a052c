"""`mrcnn view`: the table, pictures, the page, and errors."""
import csv
import json
import re

import numpy as np
import pytest
import skimage.io

from mrcnn.cli.main import main
from mrcnn.viz import figure
from tests.shared_data import shared_path
from tests.tools.doctor.damaged import healthy


@pytest.fixture
def folder(tmp_path):
    """A COCO folder with two subsets of 3 and 2 images."""
    healthy(tmp_path / "set", 3, 2)
    return str(tmp_path / "set")


def _names(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


def test_only_tables_are_printed_without_output(folder, tmp_path, capsys):
    assert main(["view", folder]) == 0
    text = capsys.readouterr().out
    assert "train: 3 images, 0 without objects; 6 instances" in text and "val: 2 images" in text
    assert [path.name for path in tmp_path.iterdir()] == ["set"], "nothing is written"


def test_pictures_of_each_subset_are_written_to_a_folder_with_its_name(folder, tmp_path, capsys):
    assert main(["view", folder, "--output", str(tmp_path / "out"), "--limit", "2"]) == 0
    assert _names(tmp_path / "out") == [
        "train/1.jpg", "train/2.jpg", "train/counts.csv", "train/sheet.png", "train/statistics.png",
        "val/4.jpg", "val/5.jpg", "val/counts.csv", "val/sheet.png", "val/statistics.png"]  # fmt: skip
    assert "train: 3 images" in capsys.readouterr().out, "--limit limits the pictures, not the counts"


def test_pictures_of_a_single_subset_are_written_to_the_folder_itself(folder, tmp_path):
    assert main(["view", folder, "--subset", "val", "--output", str(tmp_path / "out")]) == 0
    assert _names(tmp_path / "out") == ["4.jpg", "5.jpg", "counts.csv", "sheet.png", "statistics.png"]


def test_output_that_ends_in_html_is_a_page(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["view", folder, "--output", str(page), "--image", "1", "004.jpg"]) == 0
    assert page.read_text().count("<figure>") == 2 and f"Written: {page}" in capsys.readouterr().out
    with open(tmp_path / "page.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["subset"], row["file_name"], row["image_id"], row["instances"]) for row in rows] == [
        ("train", "001.jpg", "1", "2"), ("val", "004.jpg", "4", "2")]  # fmt: skip


def test_pictures_on_a_page_are_in_natural_order(tmp_path):
    for i in range(1, 12):
        skimage.io.imsave(tmp_path / f"{i}.png", np.full((20, 30, 3), i, np.uint8), check_contrast=False)
        shape = {"label": "ball", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
        (tmp_path / f"{i}.json").write_text(json.dumps(
            {"shapes": [shape], "imagePath": f"{i}.png", "imageHeight": 20, "imageWidth": 30}))
    assert main(["view", str(tmp_path), "--output", str(tmp_path / "page.html")]) == 0
    assert re.findall("<figcaption><b>(.*?)</b>", (tmp_path / "page.html").read_text()) == [str(i) for i in range(1, 12)]


def test_many_skipped_images_are_counted(tmp_path, capsys):
    healthy(tmp_path / "set", 30, 1)
    for path in (tmp_path / "set" / "train").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    assert main(["view", str(tmp_path / "set"), "--subset", "train", "--limit", "30", "--output", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().out
    assert text.count("skipped: image") == 10 and "... and 20 more" in text


def test_limit_sets_the_number_of_generated_shapes(tmp_path, capsys):
    assert main(["view", "shapes", "--subset", "val", "--limit", "3", "--output", str(tmp_path)]) == 0
    assert "3 images" in capsys.readouterr().out and len(_names(tmp_path)) == 6


def test_missing_image_is_reported_and_the_exit_code_is_1(folder, tmp_path, capsys):
    (tmp_path / "set" / "train" / "002.jpg").unlink()
    assert main(["view", folder, "--subset", "train", "--output", str(tmp_path / "out")]) == 1
    assert "skipped: image 2: " in capsys.readouterr().out
    assert _names(tmp_path / "out") == ["1.jpg", "3.jpg", "counts.csv", "sheet.png", "statistics.png"]


@pytest.mark.parametrize("arguments, expected", [
    (["gone"], "gone does not exist"),
    (["SET", "--subset", "test"], "no subset 'test'; it has train, val"),
    (["SET", "--image", "99"], "has the id or the file name '99'"),
    (["SET", "--class", "squid"], "there is no class 'squid'"),
    (["SET", "--show"], "--show: no display is available"),
    (["SET", "--format", "shapes"], "take no --dataset"),
])  # fmt: skip
def test_invalid_input_prints_one_line_and_exits_with_2(folder, arguments, expected, capsys):
    assert main(["view", *(word.replace("SET", folder) for word in arguments)]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.startswith("mrcnn view: error: ") and message.count("\n") == 1


def test_show_opens_a_window_if_there_is_a_display(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(figure, "can_show", lambda: True)
    monkeypatch.setattr(figure, "show", lambda: shown.append(len(figure.plt.get_fignums())))
    assert main(["view", folder, "--show"]) == 0
    assert shown == [2], "one figure per subset"


def test_class_filter_on_photographs(capsys, tmp_path):
    assert main(["view", str(shared_path("data/fruits")), "--class", "fig", "--limit", "1", "--output", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "16 images" in text and ["fig", "41"] in [line.split()[:2] for line in text.splitlines()]
