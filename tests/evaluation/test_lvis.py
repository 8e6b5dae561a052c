import json
import math

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mrcnn.datasets.formats.lvis import LvisDataset
from mrcnn.evaluation import lvis
from mrcnn.evaluation.coco import CocoResult, evaluate
from mrcnn.evaluation.lvis import federated_scorer, score_rows
from mrcnn.evaluation.results import to_source_ids
from mrcnn.evaluation.table import result_table
from mrcnn.geometry.rle import encode_mask
from tests.evaluation.fake_dataset import FakeDataset
from tests.shared_data import shared_path

NAMES = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "APs": "APs", "APm": "APm", "APl": "APl", "APr": "APr", "APc": "APc",
         "APf": "APf", "AR": "AR@300", "ARs": "ARs@300", "ARm": "ARm@300", "ARl": "ARl@300"}  # fmt: skip
KINDS = {"mask": "segm", "box": "bbox"}
RARE, COMMON, FREQUENT = 1, 2, 3
FREQUENCIES = {RARE: "r", COMMON: "c", FREQUENT: "f"}
BOX, OTHER_BOX = [10, 10, 40, 50], [60, 60, 20, 20]


def truth_row(image_id, category_id, bbox, **kwargs):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "area": float(bbox[2] * bbox[3]), "iscrowd": 0,
            **kwargs}  # fmt: skip


def row_of(image_id, category_id, bbox, score):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score}


def boxes(truth, detections, coverage):
    return score_rows(truth, detections, list(coverage), [RARE, COMMON, FREQUENT], "box", coverage=coverage,
                      frequencies=FREQUENCIES)  # fmt: skip


def test_category_counts_only_in_images_where_it_was_searched_for():
    # image 10 has a rare object and verifiably no frequent ones; image 11 has rare ones, not all of them annotated;
    # image 12 has a frequent object
    coverage = {10: ({FREQUENT}, ()), 11: ((), {RARE}), 12: ((), ())}
    truth = [truth_row(10, RARE, BOX), truth_row(11, RARE, BOX), truth_row(12, FREQUENT, BOX)]
    detections = [
        row_of(10, RARE, BOX, 0.9),
        row_of(10, COMMON, BOX, 0.95),  # not searched for: ignored
        row_of(10, FREQUENT, BOX, 0.8),  # verified to be absent: a false positive
        row_of(11, RARE, OTHER_BOX, 0.99),  # may be an object without annotation: ignored
        row_of(11, RARE, BOX, 0.5),
        row_of(11, FREQUENT, BOX, 0.99),  # not searched for: ignored
        row_of(12, FREQUENT, BOX, 0.7),
    ]
    overall, by_category = boxes(truth, detections, coverage)
    # in the frequent category the false positive ranks first: precision 1/2 at every recall
    assert overall["APr"] == pytest.approx(1) and overall["APf"] == pytest.approx(0.5) and math.isnan(overall["APc"])
    assert overall["AP"] == overall["AP50"] == pytest.approx(0.75) and overall["AR"] == 1
    assert by_category[RARE]["AP"] == pytest.approx(1) and math.isnan(by_category[COMMON]["AP"])
    assert overall["APm"] == pytest.approx(0.75) and math.isnan(overall["APs"]) and math.isnan(overall["APl"])
    # the same rows if every category is annotated everywhere: the first of three rare detections is wrong (2/3 at every
    # recall), and the first two of three frequent ones (1/3)
    exhaustive, _ = boxes(truth, detections, dict.fromkeys(coverage))
    assert exhaustive["APr"] == pytest.approx(2 / 3) and exhaustive["APf"] == pytest.approx(1 / 3)
    assert exhaustive["AP"] == pytest.approx(1 / 2) and math.isnan(exhaustive["APc"])


def test_category_without_objects_has_nan():
    overall, by_category = boxes([], [row_of(10, RARE, BOX, 0.9)], {10: ({RARE}, ())})
    assert math.isnan(overall["AP"]) and math.isnan(by_category[RARE]["AR"])


def test_progress_counts_categories(monkeypatch):
    calls, compare = [], lvis._compare
    monkeypatch.setattr(lvis, "_compare", lambda *args: calls.append("compared") or compare(*args))
    truth, rows = [truth_row(10, COMMON, BOX)], [row_of(10, COMMON, BOX, 0.9)]
    score_rows(truth, rows, [10], [RARE, COMMON, FREQUENT], "box", None, lambda *call: calls.append(call),
               coverage={10: ((), ())}, frequencies=FREQUENCIES)  # fmt: skip
    assert calls == [(1, 3), "compared", (2, 3), (3, 3)]


def test_curves_cover_every_category():
    curves, coverage = {}, {10: ((), ())}
    truth = [truth_row(10, RARE, BOX), truth_row(10, RARE, OTHER_BOX), truth_row(10, COMMON, BOX)]
    score_rows(truth, [row_of(10, RARE, BOX, 0.9)], [10], [RARE, COMMON, FREQUENT], "box", curves, coverage=coverage,
               frequencies=FREQUENCIES)  # fmt: skip
    assert curves["box"].shape == (10, 101, 3)
    assert np.allclose(curves["box"][:, :51, 0], 1) and not curves["box"][:, 51:, 0].any()
    assert not curves["box"][:, :, 1].any() and (curves["box"][:, :, 2] == -1).all()


def test_half_of_the_objects_detected_and_none_of_another_category():
    truth = [truth_row(10, RARE, BOX), truth_row(10, RARE, OTHER_BOX), truth_row(10, COMMON, BOX)]
    overall, by_category = boxes(truth, [row_of(10, RARE, BOX, 0.9)], {10: ((), ())})
    assert by_category[RARE]["AP"] == pytest.approx(51 / 101) and by_category[COMMON]["AP"] == 0
    assert overall["AR"] == pytest.approx((0.5 + 0) / 2)


def strip(x1, x2):
    """Return a box of 40 rows from x1 to x2, so that the IoU of two boxes is that of their ranges."""
    return [x1, 10, x2 - x1, 40]


def test_last_of_two_objects_with_equal_overlap_is_matched():
    # the first detection overlaps both with 30 of 50; the second covers `right`, unless the first was matched with it
    left, right = truth_row(10, RARE, strip(0, 40)), truth_row(10, RARE, strip(20, 60))
    detections = [row_of(10, RARE, strip(10, 50), 0.9), row_of(10, RARE, strip(20, 60), 0.8)]
    assert boxes([left, right], detections, {10: ((), ())})[0]["AP50"] == pytest.approx(51 / 101)
    assert boxes([right, left], detections, {10: ((), ())})[0]["AP50"] == pytest.approx(1)


def test_counted_object_is_matched_before_an_ignored_one():
    # the first detection overlaps the object with 30 of 50, and a crowd with 36 of 44; the second covers the object, but
    # overlaps the crowd with only 26 of 54, so it is wrong; the third detects another object: precision 2/3 in the second half
    truth = [truth_row(10, RARE, strip(*ends), iscrowd=crowd) for *ends, crowd in [(0, 40, 0), (14, 54, 1), (90, 130, 0)]]
    detections = [row_of(10, RARE, strip(*ends), score) for *ends, score in [(10, 50, 0.9), (0, 40, 0.8), (90, 130, 0.7)]]
    assert boxes(truth, detections, {10: ((), ())})[0]["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_only_the_300_highest_scores_per_image_count():
    coverage = {10: ((), ())}
    many = [row_of(10, RARE, OTHER_BOX, 0.5 + i / 1000) for i in range(300)]
    truth = [truth_row(10, RARE, BOX)]
    assert boxes(truth, [row_of(10, RARE, BOX, 0.4), *many], coverage)[0]["AR"] == 0
    assert boxes(truth, [row_of(10, RARE, BOX, 0.4), *many[1:]], coverage)[0]["AR"] == 1
    # detections of categories that do not count are among the 300 too
    others = [{**row, "category_id": COMMON} for row in many]
    assert boxes(truth, [row_of(10, RARE, BOX, 0.4), *others], coverage)[0]["AR"] == 0


def test_detection_without_a_mask_is_an_error():
    with pytest.raises(ValueError, match="image 10: a detection has no segmentation, which the evaluation of mask needs"):
        score_rows([], [row_of(10, RARE, BOX, 0.9)], [10], [RARE], "mask", coverage={10: ({RARE}, ())}, frequencies={})


def test_exhaustive_data_set_has_no_federated_scorer():
    assert federated_scorer(FakeDataset([[]]), [0]) is None


@pytest.fixture
def lvis_package(monkeypatch):
    """The lvis package, whose last release uses a name that NumPy has removed."""
    monkeypatch.setattr(np, "float", float, raising=False)
    return pytest.importorskip("lvis")


def package_metrics(package, path, rows, kind):
    """Return the package's metrics, and the AP of each category; nan for -1."""
    results = package.LVISResults(package.LVIS(str(path)), [dict(row) for row in rows])
    evaluator = package.LVISEval(package.LVIS(str(path)), results, KINDS[kind])
    evaluator.run()
    metrics = {name: evaluator.get_results()[key] for name, key in NAMES.items()}
    precision = evaluator.eval["precision"][:, :, :, 0]
    for ix, category_id in enumerate(evaluator.params.cat_ids):
        metrics[category_id] = precision[:, :, ix].mean()  # either all or none of a category's values are -1
    return {name: float("nan") if value == -1 else value for name, value in metrics.items()}


def random_data_set(rng, images=12, categories=6):
    """Return a random file in LVIS's format, and detections: some with equal scores, some empty, over 300 in some images."""
    content = {"images": [], "annotations": [], "categories": []}
    ids = rng.permutation(1000)[:categories] + 1
    content["categories"] = [{"id": int(i), "name": f"c{i}", "frequency": "rcf"[k % 3]} for k, i in enumerate(ids)]
    detections = []
    for number in rng.permutation(500)[:images].tolist():
        h, w = (int(v) for v in rng.integers(60, 220, 2))
        present = rng.choice(ids, rng.integers(0, 4), replace=False).tolist()
        absent = [int(i) for i in ids if i not in present and rng.random() < 0.4]
        partial = [i for i in present if rng.random() < 0.3]
        content["images"].append({"id": number, "height": h, "width": w, "neg_category_ids": absent,
                                  "not_exhaustive_category_ids": partial})  # fmt: skip
        for category_id in present:
            for _ in range(rng.integers(1, 5)):
                x, y = (int(v) for v in rng.integers(0, (w - 5, h - 5)))
                bw, bh = int(rng.integers(1, w - x)), int(rng.integers(1, h - y))
                content["annotations"].append({
                    "id": len(content["annotations"]) + 1, "image_id": number, "category_id": category_id,
                    "bbox": [x, y, bw, bh], "area": float(bw * bh) if rng.random() < 0.9 else 0.0,
                    "segmentation": [[x, y, x + bw, y, x + bw, y + bh, x, y + bh]],
                    "ignore": int(rng.random() < 0.1),
                })  # fmt: skip
                for _ in range(rng.integers(0, 4)):
                    detections.append(detection(rng, number, rng.choice(ids, p=None) if rng.random() < 0.2 else category_id,
                                                (x, y, bw, bh), (h, w)))  # fmt: skip
        for _ in range(320 if rng.random() < 0.15 else 4):
            detections.append(detection(rng, number, rng.choice(ids), (3, 4, 20, 30), (h, w)))
    return content, [detections[i] for i in rng.permutation(len(detections))]


def detection(rng, image_id, category_id, box, size):
    x, y, w, h = np.maximum(np.array(box) + rng.integers(-4, 5, 4), 0)
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = rng.random() < 0.95
    return {"image_id": int(image_id), "category_id": int(category_id), "score": round(float(rng.random()), 1),
            "bbox": [int(x), int(y), int(w), int(h)], "segmentation": encode_mask(mask)}  # fmt: skip


def our_truth(content):
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for row in content["annotations"]:
        rle = coco_mask.merge(coco_mask.frPyObjects(row["segmentation"], *sizes[row["image_id"]]))
        yield {**row, "segmentation": rle, "iscrowd": row.get("ignore", 0)}


@pytest.mark.parametrize("kind", ["mask", "box"])
@pytest.mark.parametrize("seed", range(6))
def test_metrics_of_random_data_equal_those_of_the_lvis_package(lvis_package, tmp_path, kind, seed):
    content, detections = random_data_set(np.random.default_rng(seed))
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(content))
    coverage = {i["id"]: (i["neg_category_ids"], i["not_exhaustive_category_ids"])
                for i in sorted(content["images"], key=lambda image: image["id"])}  # fmt: skip
    frequencies = {c["id"]: c["frequency"] for c in content["categories"]}
    if seed % 2:  # masks without boxes, whose area is that of the mask
        detections = [{k: v for k, v in row.items() if k != "bbox" or kind == "box"} for row in detections]
    overall, by_category = score_rows(list(our_truth(content)), detections, list(coverage), sorted(frequencies), kind,
                                      coverage=coverage, frequencies=frequencies)  # fmt: skip
    expected = package_metrics(lvis_package, path, detections, kind)
    ours = overall | {category_id: metrics["AP"] for category_id, metrics in by_category.items()}
    assert 0.02 < ours["AP"] < 0.95 and set(ours) == set(expected)
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


class WithoutImages(LvisDataset):
    """LVIS annotations with black images, whose first pixel is the image id."""

    def load_image(self, image_id):
        image = np.zeros((*self.image_size(image_id), 3), np.uint8)
        image[0, 0, 0] = image_id
        return image


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """The annotations of 25 photographs and their categories; more would be slow in the lvis package."""
    content = json.loads(shared_path("data/lvis/lvis_val_100.json").read_text())
    content["images"] = content["images"][:25]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    mentioned = {a["category_id"] for a in content["annotations"]}
    for image in content["images"]:
        mentioned.update(image["neg_category_ids"], image["not_exhaustive_category_ids"])
    content["categories"] = [c for c in content["categories"] if c["id"] in mentioned]
    path = tmp_path_factory.mktemp("lvis") / "lvis.json"
    path.write_text(json.dumps(content))
    dataset = WithoutImages()
    dataset.add_annotations(content, path.parent, path, all_images=True)
    dataset.prepare()
    return dataset, path


def noisy(dataset, seed=0):
    """Return a detector that detects most objects, shifted or with another class, and objects that do not exist."""
    rng = np.random.default_rng(seed)

    def detect(images):
        results = []
        for image in images:
            size, masks, class_ids = image.shape[:2], [], []
            dense, truth_ids = dataset.load_mask(int(image[0, 0, 0]))
            absent, partial = dataset.coverage(int(image[0, 0, 0]))
            for i, class_id in enumerate(truth_ids):
                for _ in range(rng.choice([0, 1, 1, 2])):
                    masks.append(np.roll(dense[:, :, i], rng.integers(-3, 4, 2), (0, 1)))
                    class_ids.append(class_id if rng.random() < 0.8 else rng.integers(1, dataset.num_classes))
            for class_id in [*list(absent)[:2], *partial]:
                masks.append(np.zeros(size, bool))
                masks[-1][20:70, 30:90] = True
                class_ids.append(class_id)
            rles = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
            x, y, w, h = np.array([coco_mask.toBbox(rle) for rle in rles]).reshape(-1, 4).T
            results.append({"rois": np.stack([y, x, y + h, x + w], 1), "class_ids": np.array(class_ids, int),
                          "scores": np.round(rng.random(len(rles)), 2), "masks": rles})  # fmt: skip
        return results

    return detect


def test_metrics_of_real_annotations_equal_those_of_the_lvis_package(lvis_package, photographs):
    dataset, path = photographs
    evaluated = evaluate(noisy(dataset), dataset, batch_size=8)
    rows = to_source_ids(evaluated.rows, dataset)
    assert evaluated.info["images"] == 25 and evaluated.info["instances"] > 150 and 0.1 < evaluated.metrics["mask_AP"] < 0.95
    for kind in ("mask", "box"):
        expected = package_metrics(lvis_package, path, rows, kind)
        for name in NAMES:
            assert evaluated.metrics[f"{kind}_{name}"] == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name
        # and for single categories
        for metrics in list(evaluated.per_class.values())[::10]:
            source_id = dataset.get_source_class_id(metrics["class_id"], "lvis")
            assert metrics[f"{kind}_AP"] == pytest.approx(expected[source_id], abs=1e-9, nan_ok=True)


def test_order_of_images_does_not_matter(photographs):
    dataset, _ = photographs
    evaluated = evaluate(noisy(dataset), dataset, range(10))
    by_image = {}
    for row in evaluated.rows:
        by_image.setdefault(row["image_id"], []).append(row)

    def replay(images):
        rows = by_image.get(int(images[0][0, 0, 0]), [])
        boxes = np.array([row["bbox"] for row in rows]).reshape(-1, 4)
        return [{"rois": np.stack([boxes[:, 1], boxes[:, 0], boxes[:, 1] + boxes[:, 3], boxes[:, 0] + boxes[:, 2]], 1),
                 "class_ids": [row["category_id"] for row in rows], "scores": [row["score"] for row in rows],
                 "masks": [row["segmentation"] for row in rows]}]  # fmt: skip

    reverse = evaluate(replay, dataset, range(9, -1, -1))
    assert reverse.metrics == pytest.approx(evaluated.metrics, abs=1e-12, nan_ok=True)


def test_table_and_file_have_the_metrics_of_lvis(photographs, tmp_path):
    dataset, _ = photographs
    evaluated = evaluate(noisy(dataset), dataset, range(4))
    lines = [line.split() for line in result_table(evaluated, per_class=False).splitlines()]
    assert ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR"] in lines
    evaluated.save(tmp_path / "a.json")
    assert CocoResult.load(tmp_path / "a.json").metrics == pytest.approx(evaluated.metrics, nan_ok=True)


def test_image_that_cannot_be_loaded_is_skipped(photographs, monkeypatch):
    dataset, _ = photographs
    expected = evaluate(noisy(dataset), dataset, range(1, 6))
    load = WithoutImages.load_image

    def fail_on_the_first(self, image_id):
        if image_id == 0:
            raise cv2.error("(-215:Assertion failed) !_src.empty()")
        return load(self, image_id)

    monkeypatch.setattr(WithoutImages, "load_image", fail_on_the_first)
    result = evaluate(noisy(dataset), dataset, range(6))
    assert list(result.info["left_out"]) == [0] and "cv2.error" not in result.info["left_out"][0]
    assert "the image cannot be loaded: error: (-215" in result.info["left_out"][0]
    assert result.info["images"] == 5 and {row["image_id"] for row in result.truth} <= set(range(1, 6))
    assert result.metrics == pytest.approx(expected.metrics, abs=1e-12, nan_ok=True)
