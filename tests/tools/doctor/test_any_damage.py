"""For any content of a COCO JSON, the check returns a report or raises DataError, and the repaired copy is valid."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.tools.doctor import check_dataset
from mrcnn.tools.doctor.repair import LEFT, repair
from tests.datasets.json_damage import damaged_json
from tests.tools.doctor.damaged import HEIGHT, WIDTH, healthy

CONTENT = {
    "info": {"year": 2026},
    "categories": [{"id": 1, "name": "ball"}, {"id": 2, "name": "brick"}],
    "images": [{"id": i, "file_name": f"{i:03}.jpg", "height": HEIGHT, "width": WIDTH} for i in (1, 2, 3)],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 1, "segmentation": [[10.0, 20, 50, 20, 50, 60]], "bbox": [10, 20, 40, 40],
         "area": 800, "iscrowd": 0},
        # rows 4 to 43 of columns 10 to 49
        {"id": 6, "image_id": 2, "category_id": 2, "bbox": [10, 4, 40, 40], "area": 1600.0, "iscrowd": 0,
         "segmentation": {"size": [HEIGHT, WIDTH], "counts": [10 * HEIGHT + 4, *[40, HEIGHT - 40] * 39, 40,
                                                             HEIGHT * WIDTH - 49 * HEIGHT - 44]}},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    healthy(folder, train=3, val=1)
    return folder


def check(folder, text):
    """Check `text` as the JSON of the images. Return the report, or None after a DataError with the file name."""
    path = folder / "any.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        return check_dataset(path, format="coco", images=folder / "train")
    except DataError as error:
        assert "any.json" in str(error)
        return None


def test_undamaged_content_is_valid(folder):
    report = check(folder, json.dumps(CONTENT))
    assert set(report.counts) == {"image_without_objects"}


@given(text=damaged_json(CONTENT))
def test_damaged_json_is_reported_and_repaired(folder, text):
    report = check(folder, text)
    if report is None:
        return
    assert report.summary() in report.table(1000)
    json.dumps(report.to_dict(), allow_nan=False).encode("utf-8")
    report.save_html(folder / "any.html")
    try:
        repairs = repair(report, folder / "repaired.json")
    except DataError as error:  # nothing would be left, or a name would have to be invented
        assert "any.json" in str(error)
        return
    json.dumps(repairs.to_dict(), allow_nan=False).encode("utf-8")
    again = check_dataset(repairs.files[0], format="coco", images=folder / "train")
    remaining = {f.kind for f in again.findings if f.severity != "info"}
    assert remaining <= set(LEFT), again.table()
    if again.statistics["parts"][0]["images"] and again.statistics["classes"]:
        dataset = open_dataset(repairs.files[0], "coco", images=folder / "train")
        assert not dataset.skipped
        assert [len(dataset.load_mask(i)[1]) for i in dataset.image_ids] == [
            len(dataset.annotations_of(i)) for i in dataset.image_ids]  # fmt: skip


@given(text=st.text(max_size=50))
def test_any_text_gives_a_report_or_an_error(folder, text):
    assert check(folder, text) is None or text.strip().startswith("{")
