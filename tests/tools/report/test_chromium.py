"""The page in a browser: its pictures load, nothing is blocked, and it fits a phone."""
import pytest
from PIL import Image

from mrcnn.tools.report.measurement import measure
from mrcnn.tools.report.page import write_report
from mrcnn.tools.report.run import read_run
from tests.browser import Browser, find_chromium
from tests.tools.report.runs import FakeModel, correct, epochs, make_run, shapes


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with all sections, long names and a long command."""
    find_chromium()
    folder = tmp_path_factory.mktemp("run")
    dataset = shapes()
    measured = measure(FakeModel(lambda data, ix: correct(data, ix)[1:], dataset), dataset, weights="w" * 90, data="shapes",
                       min_score=0.5)  # fmt: skip
    run = make_run(folder, epochs(3, val_mask_AP=[0.1, 0.2, 0.3]), LOSS_WEIGHTS={f"{'loss' * 9}_{ix}": 1.0 for ix in range(9)})
    write_report(folder / "page.html", read_run(run), measured, ["a/path/of/a/file" * 9])
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("width", [390, 1280])
def test_page_loads_and_fits_in_chromium(browser, page, width, tmp_path):
    browser.open(page, width)
    pictures = browser.pictures()
    assert len(pictures) == 12 and all(loaded and shown > 100 for loaded, shown in pictures)
    assert browser.console == []
    assert browser.scroll_width() <= width and browser.too_wide() == []
    browser.screenshot(tmp_path / "page.png")
    assert Image.open(tmp_path / "page.png").size[1] == browser.evaluate("document.documentElement.scrollHeight") > 2000


def test_a_broken_page_is_detected(browser, tmp_path):
    """The checks of the test above fail on a broken page."""
    (tmp_path / "bad.html").write_text(
        '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" content="img-src data:">'
        '<div style="width: 900px">wide</div>'
        '<img src="gone.png"><script>console.error("oh")</script>')
    browser.open(tmp_path / "bad.html", 390)
    assert browser.pictures()[0][0] is False and browser.scroll_width() >= 900
    assert any("oh" in line for line in browser.console) and any("gone.png" in line for line in browser.console)
    assert len(browser.too_wide()) == 1 and "900px" in browser.too_wide()[0]
