"""`mrcnn report`, with a fake model whose detections are perfect."""
from pathlib import Path

import pytest

from mrcnn.cli.main import main
from mrcnn.training import mask_rcnn
from mrcnn.weights.classic_h5 import LoadReport
from tests.tools.report import runs
from tests.tools.report.runs import epochs, make_run


class FakeModel(runs.FakeModel):
    """Replaces MaskRCNN; `last` is the newest instance. It detects every object with a score of 0.9."""

    def __init__(self, mode, config, model_dir):
        config.validate()
        super().__init__(lambda dataset, image_id: runs.correct(dataset, image_id), None)
        self.config, self.loaded = config, None
        FakeModel.last = self

    def load_weights(self, path, by_name=False):
        self.loaded = Path(path).name
        return LoadReport()

    def evaluate(self, dataset, **options):
        self.dataset = dataset
        return super().evaluate(dataset, **options)


@pytest.fixture(autouse=True)
def fake_model(monkeypatch, tmp_path):
    monkeypatch.setattr(mask_rcnn, "MaskRCNN", FakeModel)
    monkeypatch.chdir(tmp_path)
    FakeModel.last = None


def test_page_is_written_to_the_run_folder(capsys):
    run = make_run(Path("logs"))
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "no data set was given (--dataset PATH, or --format shapes)" in page and FakeModel.last is None
    assert capsys.readouterr().out == f"Written: {run / 'report.html'}\n"


def test_last_is_the_newest_run(capsys):
    first = make_run(Path("runs"))
    second = first.rename("runs/a20260301T0900")
    make_run(Path("runs"))
    assert main(["report", "last", "--model-dir", "runs"]) == 0
    assert capsys.readouterr().out == f"Written: {second / 'report.html'}\n"
    assert main(["report", "last"]) == 2
    assert "no checkpoint under logs: there is no folder <name>YYYYMMDDTHHMM. Train first" in capsys.readouterr().err


def test_metrics_are_those_of_evaluate(capsys):
    run = make_run(Path("logs"), epochs(3, val_mask_AP=[0.1, 0.5, 0.3]), DETECTION_MIN_CONFIDENCE=0.8)
    arguments = ["--format", "shapes", "--limit", "3", "--weights", "best", "--output", "a/page.html"]
    assert main(["report", str(run), *arguments]) == 0
    model, table = FakeModel.last, capsys.readouterr().out
    assert model.loaded == "mask_rcnn_shapes_0002.h5" and model.config.DETECTION_MIN_CONFIDENCE == 0
    page = Path("a/page.html").read_text()
    assert "Detections with a score of 0.8 or more" in page and "shapes val: 3 images" in page and "Missing" not in page
    assert main(["evaluate", "shapes", "--weights", str(run), "--limit", "3"]) == 0
    printed = capsys.readouterr().out
    mask = next(line for line in printed.splitlines() if line.strip().startswith("mask"))
    assert mask in table.splitlines()
    assert "".join(f'<td class="n">{value}</td>' for value in mask.split()[1:]) in page


def test_minimum_score_can_be_set():
    run = make_run(Path("logs"))
    assert main(["report", str(run), "--format", "shapes", "--limit", "2", "--min-score", "0.95"]) == 0
    assert "No detection has such a score; the highest is 0.90." in (run / "report.html").read_text()


@pytest.mark.parametrize("arguments, expected", [
    (["gone"], "gone: no such folder: give the folder of a run"),
    (["."], "is not a run folder: it has no config.json, history.csv or checkpoint."),
    (["logs"], "Did you mean logs/shapes20260101T1200?"),
    (["RUN", "--format", "shapes", "--weights", "gone.h5"], "gone.h5: no such weight file"),
    (["RUN", "--dataset", "gone"], "gone does not exist"),
    (["RUN", "--format", "coco"], "coco: say where the data are"),
    (["RUN", "--format", "shapes", "--set", "NUM_CLASSES=9"], "the data set has 4 classes"),
])  # fmt: skip
def test_invalid_input_prints_one_line_and_exits_with_2(arguments, expected, capsys):
    run = make_run(Path("logs"))
    assert main(["report", *(str(run) if word == "RUN" else word for word in arguments)]) == 2
    message = capsys.readouterr().err
    assert expected in message and message.startswith("mrcnn report: error: ") and message.count("\n") == 1
    assert not (run / "report.html").exists()


def test_run_without_a_configuration_cannot_be_evaluated(capsys):
    run = make_run(Path("logs"))
    (run / "config.json").unlink()
    assert main(["report", str(run), "--format", "shapes"]) == 2
    assert "has no config.json, from which the network is built" in capsys.readouterr().err
