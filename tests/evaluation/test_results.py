import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mrcnn.evaluation.results import load_results, save_results, to_coco_results, to_rle, to_source_ids
from tests.evaluation.fake_dataset import FakeDataset, rectangle, result

SIZE = (40, 60)


@pytest.mark.parametrize("form", ["dense", "rle"])
def test_result_becomes_coco_rows(form):
    (row,) = to_coco_results(7, result(SIZE, (3, (5, 10, 25, 50), 0.75), form=form))
    assert {k: v for k, v in row.items() if k != "segmentation"} == {
        "image_id": 7,
        "category_id": 3,
        "bbox": [10.0, 5.0, 40.0, 20.0],  # x, y, width, height
        "score": 0.75,
    }
    assert row["segmentation"]["size"] == [40, 60]
    assert (coco_mask.decode(row["segmentation"]) == rectangle(SIZE, (5, 10, 25, 50))).all()
    json.dumps(row)  # plain numbers throughout


def test_category_ids_and_missing_masks():
    detections = result(SIZE, (2, (0, 0, 5, 5), 0.5), (1, (0, 0, 5, 5), 0.5))
    del detections["masks"]
    rows = to_coco_results("a", detections, category_ids={1: 18, 2: 90})
    assert [row["category_id"] for row in rows] == [90, 18]
    assert "segmentation" not in rows[0]
    assert to_coco_results(0, result(SIZE)) == []


def test_every_mask_format_gives_the_same_rle():
    mask = rectangle(SIZE, (5, 10, 25, 50))
    compressed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.ravel(), [2]]))))
    forms = [mask, compressed, {"size": [40, 60], "counts": compressed["counts"].decode()}]
    forms.append({"size": [40, 60], "counts": runs.tolist()})
    assert all(to_rle(form) == forms[2] for form in forms)


def test_rows_get_source_ids():
    dataset = FakeDataset([[], []])
    rows = [{"image_id": 1, "category_id": 3, "score": 0.5, "bbox": [0, 0, 1, 1]}]
    assert to_source_ids(rows, dataset) == [{"image_id": 101, "category_id": 30, "score": 0.5, "bbox": [0, 0, 1, 1]}]
    dataset.image_info[1]["id"] = "scan-7"
    assert to_source_ids(rows, dataset)[0]["image_id"] == "scan-7"
    assert rows[0]["image_id"] == 1  # the input is not changed


def test_saved_results_are_read_back(tmp_path):
    rows = to_coco_results(7, result(SIZE, (3, (5, 10, 25, 50), 0.75)))
    save_results(tmp_path / "sub" / "results.json", rows)
    assert load_results(tmp_path / "sub" / "results.json") == rows


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"annotations": []}', "contains a dict.*not a results file"),
        ('[{"image_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1]}]', "result 0 has no category_id"),
        ('[{"image_id": 1, "category_id": 1, "score": 0.5}]', "result 0 has no bbox or segmentation"),
        ("[3]", "result 0 has no image_id, category_id, score"),
        ("[{", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_invalid_results_file_is_an_error(tmp_path, text, message):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_results(path)
    assert "r.json" in str(error.value)
