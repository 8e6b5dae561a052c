"""The whole page: its content, and how it reports what is missing."""
import re
from html.parser import HTMLParser

import pytest

from mrcnn.base.atomic_write import save_json
from mrcnn.tools.report.measurement import measure
from mrcnn.tools.report.page import write_report
from mrcnn.tools.report.run import read_run
from tests.tools.report.runs import ENTRY, FakeModel, correct, epochs, make_run, shapes

SECTIONS = ["figures", "losses", "curves", "confusion", "worst", "speed", "configuration", "environment"]


class Page(HTMLParser):
    """The text and attributes of a page, whose tags must be closed in order."""

    def __init__(self, path):
        super().__init__()
        self.open, self.words, self.attributes, self.tags = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.open
        self.text = re.sub(r"\s+", " ", "".join(self.words))
        self.sections = [value for name, value in self.attributes if name == "id"]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _page(folder, measured=None, missing=(), progress=None):
    path = folder.parent / "page.html"
    write_report(path, read_run(folder), measured, missing, progress)
    return Page(path)


def _measured(answers, dataset=None, min_score=0.7):
    dataset = dataset or shapes()
    return measure(FakeModel(answers, dataset), dataset, weights="last.h5", data="shapes val", min_score=min_score)


@pytest.fixture(scope="module")
def measured():
    """A measurement in which one object of each image is missed."""
    return _measured(lambda data, ix: correct(data, ix)[1:])


def test_page_with_all_sections(tmp_path, measured):
    calls = []
    folder = make_run(tmp_path, epochs(3, val_mask_AP=[0.1, 0.2, 0.3]))
    page = _page(folder, measured, progress=lambda *call: calls.append(call))
    assert page.sections == SECTIONS
    assert calls == [(i + 1, len(SECTIONS)) for i in range(len(SECTIONS))]
    links = [value for name, value in page.attributes if name == "href"]
    assert links == [f"#{name}" for name in SECTIONS] and "Missing" not in page.text
    info = measured.result.info
    counts = f"4 images, {info['instances']} objects, 0 crowds; {info['detections']} detections"
    assert f"shapes val: {counts} by last.h5." in page.text
    assert f"{measured.result.metrics['mask_AP']:.3f}" in page.text
    assert "The 4 of 4 images with mistakes that have the most" in page.text and "1 missed (" in page.text
    assert "best epoch3, by val_mask_AP 0.3000" in page.text
    assert "mrcnn train <shapes>" in page.text and "IMAGE_MIN_DIM64800" in page.text  # command; value and default
    assert "3 epochs in 30 s" in page.text
    assert page.tags.count("img") == 4 + 2 * 4  # losses, AP, curves, matrix; two of each of the worst


def test_page_loads_and_runs_nothing(tmp_path, measured):
    page = _page(make_run(tmp_path), measured)
    assert not {"script", "link", "iframe"} & set(page.tags)
    sources = [value for name, value in page.attributes if name == "src"]
    assert sources and all(value.startswith("data:image/") for value in sources)
    assert not re.search(r"(src|href)=.https?:", page.source)


def test_names_that_contain_html_stay_text(tmp_path, measured):
    evil = "<script>alert(1)</script>"
    folder = make_run(tmp_path, NAME="shapes", IMAGE_RESIZE_MODE=evil)
    page = _page(folder, None, [evil])
    assert "script" not in page.tags and page.text.count(evil) == 3  # missing; configuration, twice


def test_a_page_without_a_data_set(tmp_path):
    page = _page(make_run(tmp_path), None, ["AP: no data set"])
    assert page.sections == ["losses", "speed", "configuration", "environment"] and "Missing:AP: no data set" in page.text


def test_a_folder_with_only_checkpoints(tmp_path):
    folder = make_run(tmp_path)
    for name in ("config.json", "classes.json", "history.csv", "environment.json"):
        (folder / name).unlink()
    page = _page(folder)
    assert page.sections == [] and "no history.csv with an epoch" in page.text and "3, of epochs 1 to 3" in page.text


@pytest.mark.parametrize("history, message", [
    (epochs(1), "The run has a single epoch"),
    ([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}], "The run had no validation."),
    (epochs(3, loss=[1.0, float("nan"), float("inf")]), "loss is not finite in 2 of 3 epochs, first in epoch 2"),
    (epochs(2, val_mask_AP=[float("nan")] * 2), "all values of each epoch"),
    ([{"epoch": 1, "accuracy": 2.0}], "all values of each epoch"),
    ([{"epoch": 3, "loss": 2.0}], "3, the last with loss 2.0000"),
])  # fmt: skip
def test_unusual_histories_are_explained(tmp_path, history, message):
    page = _page(make_run(tmp_path, history))
    assert message in page.text and "losses" in page.sections


def test_later_trainings_show_what_changed(tmp_path):
    folder = make_run(tmp_path)
    save_json(folder / "environment.json", [ENTRY, {**ENTRY, "first_epoch": 4, "last_epoch": 4, "layers": "all"}, {}])
    page = _page(folder)
    later = page.text.partition("Epoch 4, started 2026-01-01 12:00:00+00:00")[2]
    assert later.startswith(" layersall Everything else is unchanged.") and "Epochs 1 to 3, started" in page.text
    assert page.text.count("a processor, 2 cores") == 1


def test_page_without_detections(tmp_path):
    page = _page(make_run(tmp_path), _measured(lambda data, ix: []))
    assert "The network detected nothing, not even" in page.text and page.sections == SECTIONS


def test_scores_below_the_minimum_are_reported(tmp_path):
    low = _measured(lambda data, ix: [(c, 0.25, mask) for c, _, mask in correct(data, ix)])
    assert "No detection has such a score; the highest is 0.25." in _page(make_run(tmp_path), low).text


def test_images_without_objects_and_without_mistakes(tmp_path):
    dataset = shapes(2)
    dataset.ground_truth = lambda image_id: []
    page = _page(make_run(tmp_path), _measured(lambda data, ix: [], dataset))
    assert "These images have no objects" in page.text and "no objects and no detections to compare" in page.text
    assert "3 of 3 classes do not occur" in page.text and "No image has a mistake." in page.text


def test_an_image_that_cannot_be_read_is_reported(tmp_path):
    measured = _measured(lambda data, ix: [])

    def gone(image_id):
        raise OSError("it was moved")

    measured.dataset.load_image = gone
    page = _page(make_run(tmp_path), measured)
    assert page.text.count("(no picture: it was moved)") == 4


def test_at_most_twenty_images_are_shown(tmp_path):
    page = _page(make_run(tmp_path), _measured(lambda data, ix: [], shapes(22)))
    assert "The 20 of 22 images with mistakes" in page.text
