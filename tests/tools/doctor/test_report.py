"""The report as text, JSON and HTML. Names of files and classes may contain anything."""
import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mrcnn.base.text import printable
from mrcnn.tools.doctor import KINDS, check_dataset, html
from mrcnn.tools.doctor.findings import Findings, Picture, Place
from mrcnn.tools.doctor.html import draw_picture
from mrcnn.tools.doctor.object_sizes import size_lines
from mrcnn.tools.doctor.report import Report
from tests.tools.doctor.damaged import healthy, octagon, write_photograph

MALICIOUS_NAME = '<img src=x onerror="alert(1)">&\x1b[31m\u202e\ud800.jpg'


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def malicious(tmp_path):
    """The report of a data set with names that contain HTML, escape codes and lone surrogates."""
    train, val = healthy(tmp_path / "set")
    for part in (train, val):
        part.content["categories"][0]["name"] = "<script>alert(2)</script>\x07"
    train.images[0]["file_name"] = MALICIOUS_NAME
    name = '<b onclick="x">.jpg'
    write_photograph(tmp_path / "set" / "train" / name, 50)
    train.images[1]["file_name"] = name
    train.of(1)[0]["bbox"] = ['"><script>', 1, 2, 3]
    train.of(2)[0]["segmentation"] = "</table><script>alert(3)</script>"
    train.of(3)[0]["id"] = "<i>7</i>"
    train.of(3)[0]["area"] = 3
    train.save(), val.save()
    return check_dataset(tmp_path / "set")


def test_page_runs_and_loads_nothing_from_the_data(malicious, tmp_path):
    malicious.save_html(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not page.open, "tags that are not closed"
    assert not {"script", "b", "i", "iframe", "link"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    sources = [value for name, value in page.attributes if name == "src"]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert {value[0] for name, value in page.attributes if name == "href"} == {"#"}
    words = "".join(page.text)
    assert '<img src=x onerror="alert(1)">&' in words and "<script>alert(2)</script>" in words and "<i>7</i>" in words
    assert any("default-src 'none'" in (value or "") for _, value in page.attributes)
    # the narrow layout hides or rearranges these
    assert {"kinds", "rows"} <= {value for name, value in page.attributes if name == "class"}
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "@media (max-width: 640px)" in text and "table.kinds td:nth-child(4)" in text


def test_terminal_output_has_no_control_characters(malicious, tmp_path):
    for text in (malicious.table(), malicious.summary(), json.dumps(malicious.to_dict(), ensure_ascii=False)):
        text.encode("utf-8")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "[31m" in malicious.table(200)
    assert printable("a\x1b\n\ud800é") == "a\\x1b\\n\\ud800é"


def test_picture_shows_the_annotation(tmp_path):
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :, 2] = 200
    (jpeg,) = draw_picture(Picture((lambda: image,), [octagon(100, 50, 20)], [80, 30, 40, 40]))
    drawn = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
    assert max(drawn.shape[:2]) == 300
    orange = (drawn[..., 0] > 180) & (drawn[..., 2] < 120)
    rows, columns = np.nonzero(orange)
    assert len(rows) > 100 and abs(rows.mean() - drawn.shape[0] / 2) < 15 and abs(columns.mean() - drawn.shape[1] / 2) < 15
    assert (drawn[5, 5, 2] > 150) and not orange[140:160, 140:160].any()


@pytest.mark.parametrize("segmentation", [
    None, [], [[1, 2]], "x", [[float("nan")] * 6], [[1e300, 0, 5, 5, -1e300, 7]], [[500, 500, 600, 500, 600, 600]],
    {"size": [1, 1], "counts": [1]}, {"counts": 3}, [octagon(0, 0, 5)], [octagon(30, 20, 500)],
])  # fmt: skip
@pytest.mark.parametrize("box", [None, [1, 2, 3, 4], [float("nan")] * 4, [1e300, 1, 1e300, 1], [5, 5, 0, -3], "box"])
def test_any_annotation_can_be_drawn(segmentation, box):
    (jpeg,) = draw_picture(Picture((lambda: np.zeros((40, 60), np.uint8),), segmentation, box))
    assert max(Image.open(io.BytesIO(jpeg)).size) == 300


def test_picture_that_cannot_be_drawn_is_reported(tmp_path):
    findings = Findings()
    findings.add("mask_empty", Place("a", "b.jpg", 3), "gone", picture=Picture((lambda: 1 / 0,)))
    Report("x", findings, {"parts": [], "classes": [], "sizes": {"objects": 0}}, []).save_html(tmp_path / "a.html")
    assert "no picture: ZeroDivisionError" in (tmp_path / "a.html").read_text()


def test_worst_findings_are_shown_and_the_others_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "PICTURES", 2)
    monkeypatch.setattr(html, "ROWS", 3)
    findings = Findings()
    for weight in (1, 9, 5, 7, 3):
        picture = Picture((lambda: np.zeros((9, 9, 3), np.uint8),))
        findings.add("area_mismatch", Place("", f"file{weight}.jpg"), "off", weight=float(weight), picture=picture)
    report = Report("x", findings, {"parts": [], "classes": [], "sizes": {"objects": 0}}, [])
    calls = []
    report.save_html(tmp_path / "a.html", lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]
    text = (tmp_path / "a.html").read_text()
    assert re.findall(r"<figcaption>(file\d)", text) == ["file9", "file7"]
    assert "and 2 more" in text and len(base64.b64decode(re.search(r"base64,([^\"]+)", text)[1])) > 100
    assert "file9.jpg: off" in report.table() and "file1.jpg" not in report.table()


def test_severities_determine_the_exit_code():
    def report(*kinds):
        findings = Findings()
        for kind in kinds:
            findings.add(kind, Place(), "x")
        return Report("x", findings, {"parts": [], "classes": [], "sizes": {"objects": 0}}, [])

    assert [report().exit_code(strict) for strict in (False, True)] == [0, 0]
    assert [report("category_unused").exit_code(strict) for strict in (False, True)] == [0, 0]
    assert [report("mask_one_pixel").exit_code(strict) for strict in (False, True)] == [0, 1]
    assert [report("mask_empty").exit_code(strict) for strict in (False, True)] == [1, 1]
    several = report("category_unused", "mask_one_pixel", "mask_empty", "image_missing")
    assert [f.severity for f in several.findings] == ["error", "error", "warning", "info"]
    assert "2 errors, 1 warning, 1 note" in several.summary()


def test_empty_size_ranges_are_omitted():
    settings = {"IMAGE_RESIZE_MODE": "square", "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "RPN_ANCHOR_SCALES": [8],
                "share_0.5": 1.0}  # fmt: skip
    sizes = {"objects": 3, "areas": {"small": 3, "medium": 0, "large": 0}, "configured": settings, "suggested": settings,
             "sides": {"< 8": 0, "8 to 16": 2, "16 to 32": 0, "32 to 64": 1}, "smallest_side": 64}  # fmt: skip
    assert size_lines(sizes)[1] == "side in the network's input, in pixels: 8 to 16: 2, 32 to 64: 1"


def test_each_kind_has_a_title_advice_and_severity():
    assert all(kind.title and kind.advice and kind.severity in ("error", "warning", "info") for kind in KINDS.values())
