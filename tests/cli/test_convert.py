"""`mrcnn convert`: its arguments, its output and its exit code."""
import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

from mrcnn.cli import options
from mrcnn.cli.main import build_parser, main
from mrcnn.datasets.catalog import FORMATS, GENERATED, format_module
from tests.datasets.formats.labelme_files import ring, shape
from tests.datasets.formats.labelme_files import write as write_labelme
from tests.datasets.formats.test_yolo import RECTANGLE
from tests.datasets.formats.test_yolo import write as write_yolo_folder
from tests.shared_data import shared_path


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A YOLO data set of three images with one instance each."""
    monkeypatch.chdir(tmp_path)
    labels = {"a": f"0 {RECTANGLE}", "b": f"1 {RECTANGLE}", "c": f"1 {RECTANGLE}"}
    return write_yolo_folder(Path("toys"), labels, "train: images/train\nnames: [cat, dog]")


def test_complete_conversion_exits_with_0_and_prints_a_table(toys, capsys):
    assert main(["convert", "yolo", "toys", "--output", "toys.json"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"cat +1\n", out) and re.search(r"dog +2\n", out) and "2 classes, 3 images" in out
    assert "Written: toys.json" in out and "File names are relative to toys" in out and err == ""
    assert len(json.loads(Path("toys.json").read_text())["annotations"]) == 3


def test_skipped_annotation_is_reported_once_and_the_exit_code_is_1(toys, capsys, caplog):
    (toys / "labels/train/a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert main(["convert", "yolo", "toys", "--output", "toys.json"]) == 1
    out, err = capsys.readouterr()
    assert "skipped" in out and "it is a box without a mask" in out and "a.txt:1" in out.replace("\n", "")
    assert err == "" and caplog.records == [], "reported by the table, and not by the log as well"


def test_split_writes_two_files(toys, capsys):
    assert main(["convert", "yolo", "toys", "--output", "x/toys.json", "--split", "0.6", "--seed", "3", "--copy-images"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"Written: x/toys_train.json \(train: 2 images, 2 instances\)", out)
    assert re.search(r"Written: x/toys_val.json \(val: 1 image, 1 instance\)", out)
    assert "File names are relative" not in out
    assert len(list(Path("x/images/train").rglob("*.png"))) == 2 and len(list(Path("x/images/val").rglob("*.png"))) == 1


def test_three_fractions_write_three_files(toys, capsys):
    assert main(["convert", "yolo", "toys", "--output", "toys.json", "--split", "0.34", "0.33", "0.33"]) == 0
    out = capsys.readouterr().out
    for part in ("train", "val", "test"):
        assert re.search(rf"Written: toys_{part}.json \({part}: 1 image, 1 instance\)", out)
    assert "2 classes, 3 images" in out


def test_each_fold_writes_two_files_and_each_image_counts_once(toys, capsys):
    assert main(["convert", "yolo", "toys", "--output", "toys.json", "--folds", "3"]) == 0
    out = capsys.readouterr().out
    assert "2 classes, 3 images" in out and len(re.findall(r"Written: toys_fold[123]_(?:train|val).json", out)) == 6
    assert "Written: toys_fold2_train.json (fold2/train: 2 images, 2 instances)" in out


def test_labelme_folder_that_contains_the_output_is_converted_again(tmp_path, capsys):
    write_labelme(tmp_path, [shape("cat", ring(10, 5, 30, 25))])
    command = ["convert", "labelme", str(tmp_path), "--output", str(tmp_path / "out.json")]
    assert [main(command), main(command)] == [0, 0]
    assert "it is not a labelme file, and is ignored" in capsys.readouterr().out
    (tmp_path / "b.json").write_text('{"version": "5.5.0", "shapes": [')
    assert main(command) == 1 and "b.json" in capsys.readouterr().out


def test_image_folder_of_each_subset_is_printed(tmp_path, capsys):
    folder = shared_path("data/tiny_coco")
    assert main(["convert", "coco", str(folder), "--output", str(tmp_path / "x.json")]) == 0
    out = capsys.readouterr().out
    for part in ("train", "val"):
        assert f"File names in x_{part}.json are relative to {folder}/{part}2017 (--images {folder}/{part}2017)." in out


def test_fruits_have_known_counts_after_conversion(tmp_path, capsys):
    output = tmp_path / "fruits.json"
    assert main(["convert", "labelme", str(shared_path("data/fruits")), "--output", str(output)]) == 0
    text = capsys.readouterr().out
    for name, count in (("date", 71), ("fig", 41), ("hazelnut", 53)):
        assert re.search(rf"{name} +{count}\n", text)
    assert re.search(r"3 classes, 18 images +165\n", text)


def test_labelme_without_output_writes_trainval_json(tmp_path, monkeypatch, capsys):
    write_labelme(tmp_path / "images", [shape("cat", ring(10, 5, 30, 25))])
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "labelme", "images"]) == 0
    assert "Written: trainval.json" in capsys.readouterr().out
    assert [c["name"] for c in json.loads(Path("trainval.json").read_text())["categories"]] == ["cat"]
    assert main(["convert", "labelme", "images", "--to", "yolo"]) == 2
    assert "--to yolo needs --output, the folder to write" in capsys.readouterr().err
    with pytest.raises(SystemExit):  # other formats have no such custom
        main(["convert", "yolo", "images"])
    assert "required: --output" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, expected", [
    (["yolo", "gone", "--output", "x.json"], "gone does not exist"),
    (["yolo", "toys", "--output", "x"], "x: coco is written to a .json file"),
    (["yolo", "toys", "--output", "x.json", "--group", "a"], "group (--group) needs a split"),
    (["yolo", "toys", "--output", "x.json", "--split", "0.5", "0.5"], "split is 0.5 0.5: expected the fraction"),
    (["yolo", "toys", "--output", "x.json", "--split", "0.5", "0.2", "0.2"], "which add up to 1, such as 0.7 0.15 0.15"),
    (["yolo", "toys", "--output", "x.json", "--folds", "4"], "3 images cannot be divided into 4 subsets"),
    (["yolo", "toys", "--output", "x.json", "--subset", "val"], "no subset 'val'; it has train"),
    (["voc", "toys", "--output", "x.json"], "no JPEGImages/ in it"),
])  # fmt: skip
def test_invalid_input_prints_one_line_and_exits_with_2(toys, arguments, expected, capsys):
    assert main(["convert", *arguments]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.startswith("mrcnn convert: error: ") and message.count("\n") == 1


@pytest.mark.parametrize("arguments, expected", [
    (["yolo", "toys"], "--output"),
    (["shapes", "toys", "--output", "x"], "invalid choice: 'shapes'"),
    (["yolo", "toys", "--output", "x", "--split", "1"], "'1' is not below 1"),
    (["yolo", "toys", "--output", "x", "--folds", "1"], "'1' is not a number of at least 2"),
    (["yolo", "toys", "--output", "x", "--folds", "3", "--split", "0.5"], "not allowed with argument --folds"),
    (["yolo", "toys", "--output", "x", "--hole-label", "hole"], "unrecognized argument"),
    (["yolo", "toys", "--output", "x", "--workers", "0"], "'0' is not a number of at least 1"),
])  # fmt: skip
def test_invalid_argument_exits_with_2(arguments, expected, capsys):
    with pytest.raises(SystemExit) as end:
        main(["convert", *arguments])
    assert end.value.code == 2 and expected in capsys.readouterr().err


def test_debug_is_accepted_as_the_last_argument(toys):
    with pytest.raises(ValueError, match="is written to a .json file"):
        main(["convert", "yolo", "toys", "--output", "x", "--debug"])


def test_every_readable_format_can_be_converted_with_the_options_of_its_reader():
    for name in set(FORMATS) - set(GENERATED):
        args = build_parser().parse_args(["convert", name, "in", "--output", "out"])
        accepted = {"depth", *inspect.signature(format_module(name).open_subset).parameters}  # depth is of every data set
        offered = {option for option in options.reader_options(args) if hasattr(args, option)}
        assert offered <= accepted, name


def test_examples_of_each_conversion_are_valid_commands(capsys):
    for name in [*(set(FORMATS) - set(GENERATED)), "panoptic-tfrecord", "coco+lvis"]:
        with pytest.raises(SystemExit):
            main(["convert", name, "--help"])
        text = capsys.readouterr().out.replace("\\\n", "")  # a long example continues on the next line
        examples = [line.strip() for line in text.splitlines() if line.strip().startswith("mrcnn convert")]
        assert examples, name
        for example in examples:
            assert build_parser().parse_args(shlex.split(example)[1:]).kind == name
