import io

from rich.console import Console

from mrcnn.evaluation import coco
from mrcnn.evaluation.coco import evaluate
from mrcnn.evaluation.table import format_metric, print_result, result_table
from tests.evaluation.fake_dataset import FakeDataset, instance

SIZE = (120, 200)


def evaluated(**kwargs):
    objects = [(2, (0, 0, 20, 20)), (2, (40, 40, 90, 90)), (1, (0, 60, 20, 80))]
    dataset = FakeDataset([[instance(SIZE, class_id, box) for class_id, box in objects]], **kwargs)
    return evaluate(dataset.perfect, dataset)


def test_format_metric():
    assert format_metric(0.12345) == "0.123" and format_metric(float("nan")) == "-" and format_metric(None) == "-"


def test_table_has_metrics_and_classes():
    lines = result_table(evaluated()).splitlines()
    cells = [line.split() for line in lines]
    head = cells.index(["class", "objects", "detections", *["AP", "AP50", "AP75"] * 2])
    assert cells[head - 1] == ["mask"] * 3 + ["box"] * 3
    assert lines[0].startswith("1 images, 3 objects, 0 crowds, 3 detections")
    assert ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"] in cells
    assert ["mask", "1.000", "1.000", "1.000", "1.000", "1.000", "-", "0.750", "1.000", "1.000"] in cells
    circle, square = (cells.index([name, n, n] + ["1.000"] * 6) for name, n in (("circle", "2"), ("square", "1")))
    assert circle < square  # the more frequent class comes first
    assert "1 of 3 classes do not occur in these images: triangle" in lines


def test_seconds_per_image_leave_the_compilation_out(monkeypatch):
    """Batches of 2, 2 and 1 images in 10, 1 and 0.4 seconds: the first compiles; 0.5 and 0.4 per image have the median 0.45."""
    times = iter([0, 0, 10, 10, 11, 11, 11.4, 12])
    monkeypatch.setattr(coco.time, "perf_counter", lambda: next(times))
    dataset = FakeDataset([[instance(SIZE, 1, (0, 0, 20, 20))]] * 5)
    result = evaluate(dataset.perfect, dataset, batch_size=2)
    assert (result.info["seconds_detect"], result.info["seconds_per_image"]) == (11.4, 0.45)
    assert "0.450 s per image" in result.table()
    monkeypatch.undo()
    alone = evaluated()
    assert alone.info["seconds_per_image"] is None and "per image" not in alone.table()


def test_table_without_classes_and_on_a_narrow_terminal():
    result = evaluated()
    assert "circle" not in result.table(per_class=False)
    assert max(len(line) for line in result.table(width=80).splitlines()) <= 80
    assert " circle " in result.table(width=80)


def test_names_are_not_markup():
    result = evaluated(classes=("[red]", "a [b] very long name of a class indeed " * 3, "c"))
    assert "[red]" in result.table()


def test_names_are_not_terminal_codes_or_emoji():
    text = evaluated(classes=("\x1b[31mred", ":apple:", "\x07bell")).table()
    assert "\x1b" not in text and "\x07" not in text
    assert ":apple:" in text and r"\x1b[31mred" in text and r"\x07bell" in text


def test_print_result_writes_plain_text_to_a_file():
    out = io.StringIO()
    print_result(evaluated(), console=Console(file=out, width=100))
    assert "circle" in out.getvalue() and "\x1b" not in out.getvalue()
