"""COCO's metrics: hand-computed cases, and comparison with pycocotools, which faster-coco-eval replaces."""
import contextlib
import gc
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn.evaluation import scoring
from mrcnn.evaluation.scoring import score_rows
from mrcnn.geometry.rle import decode_rle, encode_mask

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
IMAGES, CLASSES, HEIGHT, WIDTH = 6, (1, 2, 5), 120, 150


def _rectangle(rng):
    """Return a random rectangle without one corner, as mask and box."""
    y1, x1 = rng.integers(0, HEIGHT - 4), rng.integers(0, WIDTH - 4)
    y2, x2 = rng.integers(y1 + 2, HEIGHT + 1), rng.integers(x1 + 2, WIDTH + 1)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = True
    mask[y1 : (y1 + y2) // 2, x1 : (x1 + x2) // 2] = False
    return {"segmentation": encode_mask(mask), "bbox": [float(v) for v in (x1, y1, x2 - x1, y2 - y1)],
            "area": float(mask.sum())}  # fmt: skip


def _cropped(shape, rng):
    """Return the shape without a strip at its left."""
    x, y, w, h = (int(v) for v in shape["bbox"])
    cut = int(rng.integers(0, max(w // 3, 1)))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + h, x + cut : x + w] = True
    return {"segmentation": encode_mask(mask), "bbox": [float(x + cut), float(y), float(w - cut), float(h)]}


def _rows(seed):
    """Return objects, some of them crowds, and detections near them or anywhere, some with equal scores, over 100 in one."""
    rng = np.random.default_rng(seed)
    truth, rows = [], []
    for image_id in range(IMAGES - 1):  # the last image has no objects
        for _ in range(rng.integers(1, 9)):
            truth.append({"image_id": image_id, "category_id": int(rng.choice(CLASSES[:2])), **_rectangle(rng),
                          "iscrowd": int(rng.random() < 0.2)})  # fmt: skip
    for image_id in range(IMAGES):
        in_image = [row for row in truth if row["image_id"] == image_id]
        for _ in range(130 if image_id == 0 else 20):
            if in_image and rng.random() < 0.6:
                row = in_image[rng.integers(len(in_image))]
                shape, category_id = _cropped(row, rng), row["category_id"]
            else:
                shape, category_id = _rectangle(rng), int(rng.choice(CLASSES))
            shape.pop("area", None)
            rows.append({"image_id": image_id, "category_id": category_id, "score": round(float(rng.random()), 1), **shape})
    return truth, rows


def _pycocotools_metrics(truth, rows, kind):
    """Return the twelve metrics of pycocotools, with nan instead of -1."""
    other = {"mask": "bbox", "box": "segmentation"}[kind]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(IMAGES)],
                        "categories": [{"id": i} for i in CLASSES],
                        "annotations": [{**row, "id": ix} for ix, row in enumerate(truth, start=1)]}  # fmt: skip
        coco.createIndex()
        detections = coco.loadRes([{key: value for key, value in row.items() if key != other} for row in rows])
        evaluator = COCOeval(coco, detections, {"mask": "segm", "box": "bbox"}[kind])
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return np.where(evaluator.stats == -1, np.nan, evaluator.stats)


@pytest.mark.parametrize("kind", ["mask", "box"])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_those_of_pycocotools(seed, kind):
    truth, rows = _rows(seed)
    overall, per_category = score_rows(truth, rows, list(range(IMAGES)), list(CLASSES), kind)
    assert list(overall) == list(NAMES) and 0.01 < overall["AP"] < 0.99
    np.testing.assert_allclose(list(overall.values()), _pycocotools_metrics(truth, rows, kind), atol=1e-9)
    assert np.isnan(per_category[5]["AP"])  # detected, but not annotated anywhere


def test_masks_without_an_object_of_their_class_are_not_parsed():
    truth, rows = _rows(0)
    pairs = {(row["image_id"], row["category_id"]) for row in truth}
    annotations = scoring._detection_annotations(rows, "mask", truth)
    unmatched = [(row["image_id"], row["category_id"]) not in pairs for row in rows]
    assert 10 < sum(unmatched) < len(rows) - 10
    assert [one["segmentation"] is scoring._NO_MASK for one in annotations] == unmatched
    assert [one["area"] for one in annotations] == [decode_rle(row["segmentation"]).sum() for row in rows]


def test_garbage_collector_is_paused():
    truth, rows = _rows(0)
    enabled = []
    score_rows(truth, rows, list(range(IMAGES)), list(CLASSES), "box", progress=lambda *call: enabled.append(gc.isenabled()))
    assert enabled and not any(enabled) and gc.isenabled()


def test_rows_are_not_changed():
    truth, rows = _rows(0)
    before = [dict(row) for row in truth], [dict(row) for row in rows]
    score_rows(truth, rows, list(range(IMAGES)), list(CLASSES), "mask")
    assert (truth, rows) == before


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_progress_counts_pairs_and_a_final_step(kind, monkeypatch):
    truth, rows = _rows(0)
    monkeypatch.setattr(scoring, "_REPORT_EVERY", 1)
    calls, at_accumulate, accumulate = [], [], scoring.COCOeval_faster.accumulate

    def recorded(self):
        at_accumulate.append(calls[-1])
        accumulate(self)

    monkeypatch.setattr(scoring._Evaluation, "accumulate", recorded)
    score_rows(truth, rows, list(range(IMAGES)), list(CLASSES), kind, progress=lambda *call: calls.append(call))
    pairs = {(row["image_id"], row["category_id"]) for row in truth} & {(row["image_id"], row["category_id"]) for row in rows}
    steps = len(pairs) + 1
    assert len(pairs) == 10 and calls == [(done, steps) for done in range(1, steps + 1)]
    assert at_accumulate == [(steps - 1, steps)]


def test_metrics_by_hand():
    # two objects, one detected with IoU 1, and a false positive with a lower score: precision 1 up to recall 1/2, then 0
    truth = [{"image_id": 3, "category_id": 1, "bbox": [x, 0, 40, 40], "area": 1600.0, "iscrowd": 0} for x in (0, 50)]
    rows = [{"image_id": 3, "category_id": 1, "bbox": [x, 0, 40, 40], "score": s} for x, s in ((0, 0.9), (100, 0.8))]
    curves = {}
    overall, per_category = score_rows(truth, rows, [3], [1, 2], "box", curves)
    assert overall["AP"] == overall["AP50"] == overall["APm"] == pytest.approx(51 / 101)
    assert overall["AR1"] == overall["AR100"] == 0.5 and np.isnan(overall["APs"])
    assert per_category[1] == pytest.approx(overall, nan_ok=True) and np.isnan(per_category[2]["AP"])
    assert curves["box"].shape == (10, 101, 2) and curves["box"][0, :, 0].sum() == 51


def test_metrics_without_images_are_nan():
    overall, per_category = score_rows([], [], [], [1], "mask")
    assert list(overall) == list(NAMES) and np.isnan(list(overall.values())).all() and np.isnan(per_category[1]["AP"])


def test_undefined_entries_are_not_averaged():
    assert scoring.mean(np.array([0.25, -1, 0.75])) == 0.5
    assert np.isnan(scoring.mean(np.array([-1.0])))
