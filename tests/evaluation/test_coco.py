import contextlib
import io
import json
import math

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.coco import CocoDataset
from mrcnn.evaluation import scoring
from mrcnn.evaluation.coco import CocoResult, evaluate
from mrcnn.evaluation.results import to_source_ids
from tests.evaluation.fake_dataset import FakeDataset, instance, result
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

SIZE = (120, 200)
# A small (20 x 20), a medium (50 x 50) and a large (100 x 100) square, a medium circle, and no triangles.
TRUTH = [
    [instance(SIZE, 1, (0, 0, 20, 20)), instance(SIZE, 1, (40, 40, 90, 90)), instance(SIZE, 2, (10, 120, 60, 170))],
    [instance(SIZE, 1, (10, 20, 110, 120))],
    [],
]


def detector_of(*results):
    """Return a detector that returns these results, selected by the value of the image's pixels."""
    return lambda images: [results[int(image[0, 0, 0])] for image in images]


def no_detections():
    return result(SIZE)


@pytest.mark.parametrize("form", ["dense", "rle"])
def test_perfect_detections(form):
    dataset = FakeDataset(TRUTH)
    evaluated = evaluate(lambda images: dataset.perfect(images, form), dataset, batch_size=2)
    for name, value in evaluated.metrics.items():
        if name.endswith("AR1"):
            # one detection per image: two of the three squares, in two images; the circle
            assert value == pytest.approx((2 / 3 + 1) / 2)
        else:
            assert value == pytest.approx(1.0), name
    assert evaluated.info["images"] == 3 and evaluated.info["instances"] == 4 and evaluated.info["detections"] == 4
    assert evaluated.per_class["square"]["mask_AP"] == pytest.approx(1.0)
    assert evaluated.per_class["square"]["instances"] == 3
    assert evaluated.per_class["circle"]["mask_APm"] == pytest.approx(1.0)


def test_class_without_objects_has_nan_and_is_not_averaged(tmp_path):
    dataset = FakeDataset(TRUTH)
    evaluated = evaluate(dataset.perfect, dataset)
    assert math.isnan(evaluated.per_class["triangle"]["mask_AP"])
    assert math.isnan(evaluated.per_class["circle"]["mask_APl"])  # the only circle is of medium size
    assert evaluated.metrics["mask_AP"] == pytest.approx(1.0)
    evaluated.save(tmp_path / "eval.json")
    stored = json.loads((tmp_path / "eval.json").read_text())
    assert stored["per_class"]["triangle"]["mask_AP"] is None
    assert stored["metrics"]["mask_AP"] == pytest.approx(1.0)


def test_metrics_without_detections_are_zero_not_nan():
    evaluated = evaluate(detector_of(no_detections(), no_detections(), no_detections()), FakeDataset(TRUTH))
    assert set(evaluated.metrics.values()) == {0.0}
    assert evaluated.per_class["square"]["box_AP"] == 0.0
    assert math.isnan(evaluated.per_class["triangle"]["box_AP"])


def test_curves_agree_with_the_metrics():
    """Two of four squares are detected (with IoU 1 and 0.6), then a false positive; there are no circles or triangles."""
    boxes = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)]
    truth = [[instance(SIZE, 1, box) for box in boxes]]
    rows = result(SIZE, (1, boxes[0], 0.9), (1, (20, 0, 30, 6), 0.8), (1, (90, 90, 99, 99), 0.7))
    evaluated = evaluate(detector_of(rows), FakeDataset(truth))
    for kind in ("mask", "box"):
        precision = evaluated.curves[kind]
        assert precision.shape == (10, 101, 3)
        at_50, at_75 = precision[0, :, 0], precision[5, :, 0]
        assert (at_50[:51] == 1).all() and (at_50[51:] == 0).all()  # two of four, both ranked above the false positive
        assert (at_75[:26] == 1).all() and (at_75[26:] == 0).all()
        assert (precision[:, :, 1:] == -1).all()
        assert precision[0, :, 0].mean() == evaluated.per_class["square"][f"{kind}_AP50"]
        assert precision[:, :, 0].mean() == pytest.approx(evaluated.metrics[f"{kind}_AP"])
    assert [row["category_id"] for row in evaluated.truth] == [1] * 4 and len(evaluated.rows) == 3
    assert not {"truth", "rows", "curves"} & set(evaluated.to_dict())


def test_metrics_without_objects_are_nan():
    evaluated = evaluate(detector_of(no_detections(), no_detections()), FakeDataset([[], []]))
    assert all(math.isnan(value) for value in evaluated.metrics.values())


@pytest.mark.parametrize(
    "shift, iou, passed",
    [
        (10, 40 / 60, 4),  # 50 wide, shifted by 10: 40 in common of 60: correct at 0.50 0.55 0.60 0.65
        (5, 45 / 55, 7),  # 0.818: correct up to 0.80
        (20, 30 / 70, 0),  # 0.43: correct at no threshold
    ],
)
def test_shifted_detection_is_correct_at_the_thresholds_it_reaches(shift, iou, passed):
    dataset = FakeDataset([[instance(SIZE, 2, (40, 40, 90, 90))]])
    evaluated = evaluate(detector_of(result(SIZE, (2, (40, 40 + shift, 90, 90 + shift), 0.9))), dataset)
    for kind in ("mask", "box"):
        assert evaluated.metrics[f"{kind}_AP"] == pytest.approx(passed / 10)
        assert evaluated.metrics[f"{kind}_AP50"] == pytest.approx(float(iou >= 0.5))
        assert evaluated.metrics[f"{kind}_AP75"] == pytest.approx(float(iou >= 0.75))


def test_false_positive_counts_only_above_the_true_positive():
    box, elsewhere = (40, 40, 90, 90), (0, 120, 50, 170)
    dataset = FakeDataset([[instance(SIZE, 1, box)]])
    below = evaluate(detector_of(result(SIZE, (1, box, 0.9), (1, elsewhere, 0.8))), dataset)
    above = evaluate(detector_of(result(SIZE, (1, box, 0.8), (1, elsewhere, 0.9))), dataset)
    assert below.metrics["mask_AP"] == pytest.approx(1.0)
    assert above.metrics["mask_AP"] == pytest.approx(0.5)  # precision 1/2 at every recall


def test_false_positive_in_an_image_without_objects_counts():
    box = (40, 40, 90, 90)
    dataset = FakeDataset([[instance(SIZE, 1, box)], []])
    evaluated = evaluate(detector_of(result(SIZE, (1, box, 0.8)), result(SIZE, (1, box, 0.9))), dataset)
    assert evaluated.metrics["mask_AP"] == pytest.approx(0.5)


def test_half_of_the_objects_detected():
    first, second = (40, 40, 90, 90), (0, 120, 50, 170)
    dataset = FakeDataset([[instance(SIZE, 1, first), instance(SIZE, 1, second)]])
    evaluated = evaluate(detector_of(result(SIZE, (1, first, 0.9))), dataset)
    # precision 1 at the recall points 0, 0.01, ... 0.50: 51 of 101
    assert evaluated.metrics["mask_AP"] == pytest.approx(51 / 101)
    assert evaluated.metrics["mask_AR100"] == pytest.approx(0.5)


def test_detection_of_the_wrong_class_is_a_false_positive():
    box = (40, 40, 90, 90)
    evaluated = evaluate(detector_of(result(SIZE, (2, box, 0.9))), FakeDataset([[instance(SIZE, 1, box)]]))
    assert evaluated.metrics["mask_AP"] == 0.0
    assert math.isnan(evaluated.per_class["circle"]["mask_AP"]) and evaluated.per_class["circle"]["detections"] == 1


def test_crowd_is_not_missed_and_detections_in_it_are_ignored():
    box, crowd = (40, 40, 90, 90), (0, 100, 120, 200)
    dataset = FakeDataset([[instance(SIZE, 1, box), instance(SIZE, 1, crowd, iscrowd=1)]])
    inside = [(1, (10, 110, 40, 140), 0.95), (1, (60, 150, 100, 190), 0.97)]  # both ranked above the true positive
    evaluated = evaluate(detector_of(result(SIZE, (1, box, 0.9), *inside)), dataset)
    assert evaluated.metrics["mask_AP"] == pytest.approx(1.0) and evaluated.metrics["box_AP"] == pytest.approx(1.0)
    assert evaluated.info["crowds"] == 1 and evaluated.info["instances"] == 1
    without = evaluate(detector_of(result(SIZE, (1, box, 0.9), *inside)), FakeDataset([[instance(SIZE, 1, box)]]))
    assert without.metrics["mask_AP"] == pytest.approx(1 / 3)


def test_class_with_crowds_only_has_nan():
    dataset = FakeDataset([[instance(SIZE, 1, (0, 100, 120, 200), iscrowd=1)]])
    evaluated = evaluate(detector_of(no_detections()), dataset)
    assert math.isnan(evaluated.metrics["mask_AP"]) and math.isnan(evaluated.per_class["square"]["mask_AP"])


def test_size_follows_the_annotated_area():
    truth = instance(SIZE, 1, (40, 40, 90, 90)) | {"area": 1000.0}  # 2500 pixels, annotated as below 32 x 32
    evaluated = evaluate(detector_of(result(SIZE, (1, (40, 40, 90, 90), 0.9))), FakeDataset([[truth]]))
    assert evaluated.metrics["mask_APs"] == pytest.approx(1.0) and math.isnan(evaluated.metrics["mask_APm"])


def test_detections_of_classes_not_annotated_by_the_source_are_ignored():
    box, elsewhere = (40, 40, 90, 90), (0, 120, 50, 170)
    dataset = FakeDataset([[instance(SIZE, 1, box)], [instance(SIZE, 2, elsewhere)]])
    dataset.image_info[1]["source"] = "other"
    dataset.source_class_ids = {"fake": [0, 1, 3], "other": [0, 2]}
    both = result(SIZE, (1, box, 0.9), (2, elsewhere, 0.8))
    evaluated = evaluate(detector_of(both, both), dataset)
    assert evaluated.metrics["mask_AP"] == pytest.approx(1.0)
    assert evaluated.info["detections"] == 2


def test_source_without_classes_uses_all_classes():
    dataset = FakeDataset(TRUTH)
    dataset.image_info[0]["source"] = "scanner"
    assert evaluate(dataset.perfect, dataset).metrics["mask_AP"] == pytest.approx(1.0)


def test_classes_with_the_same_name_show_their_source():
    dataset = FakeDataset(TRUTH)
    dataset.class_info[3] = {"source": "other", "id": 1, "name": "square"}
    assert list(evaluate(dataset.perfect, dataset).per_class) == ["square (fake)", "circle", "square (other)"]


def test_classes_with_the_same_name_in_one_source_show_their_id():
    dataset = FakeDataset(TRUTH, classes=("square", "circle", "square"))
    result = evaluate(dataset.perfect, dataset)
    assert [(name, figures["class_id"]) for name, figures in result.per_class.items()] == [
        ("square (fake) (10)", 1), ("circle", 2), ("square (fake) (30)", 3)]  # fmt: skip


def test_subset_of_images_batches_and_stages(monkeypatch):
    dataset, stages = FakeDataset(TRUTH), RecordedStages()
    seen = []

    def detect(images):
        seen.append([int(image[0, 0, 0]) for image in images])
        return dataset.perfect(images)

    scored, accumulate = iter(["scoring masks", "scoring boxes"]), scoring.COCOeval_faster.accumulate
    monkeypatch.setattr(scoring._Evaluation, "accumulate", lambda self: stages.during(next(scored), accumulate)(self))
    evaluated = evaluate(stages.during("detecting", detect), dataset, [2, 0, 1], batch_size=2, progress=stages)
    assert seen == [[2, 0], [1]]
    assert stages.names == ["detecting", "scoring masks", "scoring boxes"] and next(scored, None) is None
    assert stages.reported[0][1] == [(2, 3), (3, 3)] and all(calls for _, calls in stages.reported)
    monkeypatch.undo()  # no progress from here on
    assert evaluated.metrics == evaluate(dataset.perfect, dataset).metrics
    assert evaluate(dataset.perfect, dataset, np.array([1])).info["instances"] == 1


def test_boxes_can_be_evaluated_without_masks():
    dataset = FakeDataset(TRUTH)

    def detect(images):
        return [{key: value for key, value in r.items() if key != "masks"} for r in dataset.perfect(images)]

    evaluated = evaluate(detect, dataset, kinds=("box",))
    assert evaluated.metrics["box_AP"] == pytest.approx(1.0) and "mask_AP" not in evaluated.metrics
    with pytest.raises(ValueError, match="no segmentation"):
        evaluate(detect, dataset)
    with pytest.raises(ValueError, match="keypoints.*mask, box"):
        evaluate(detect, dataset, kinds=("keypoints",))


# raised by decoders and by users' code; cv2.error is derived directly from Exception
ERRORS = [OSError("cannot identify image file"), cv2.error("(-215:Assertion failed) !_src.empty()"), ZeroDivisionError("z"),
          DataError("0.png: the file is empty")]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("which, what", [
    ("errors", "the image cannot be loaded"), ("truth_errors", "its masks cannot be loaded")])
def test_image_that_cannot_be_loaded_is_skipped_and_reported(which, what, error, tmp_path):
    dataset = FakeDataset(TRUTH, **{which: {0: error}})
    evaluated = evaluate(dataset.perfect, dataset, batch_size=2)
    # its three objects and its detections do not count
    assert evaluated.info["images"] == 2 and evaluated.info["instances"] == 1 and evaluated.info["detections"] == 1
    assert {row["image_id"] for row in [*evaluated.truth, *evaluated.rows]} == {1}
    assert evaluated.metrics["mask_AP"] == pytest.approx(1.0)
    reason = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
    message = f"image 0 (id '100' of 'fake', path 0.png): {what}: {reason}"
    assert evaluated.info["left_out"] == {0: message}
    table = evaluated.table(width=300)
    assert "images skipped: 1" in table.splitlines()[0] and f"skipped: {message}" in table
    evaluated.save(tmp_path / "eval.json")
    assert json.loads((tmp_path / "eval.json").read_text())["info"]["left_out"] == {"0": message}


def test_keyboard_interrupt_stops_an_evaluation():
    with pytest.raises(KeyboardInterrupt):
        evaluate(no_detections, FakeDataset(TRUTH, errors={0: KeyboardInterrupt()}))
    with pytest.raises(KeyboardInterrupt):
        evaluate(no_detections, FakeDataset(TRUTH, truth_errors={0: KeyboardInterrupt()}))


@pytest.mark.parametrize("segmentation, message", [
    (None, "its masks cannot be loaded: TypeError"), ({"counts": "00"}, "its masks cannot be loaded: KeyError: 'size'")])
def test_image_with_an_unusable_mask_is_skipped(segmentation, message):
    broken = instance(SIZE, 1, (0, 0, 20, 20)) | {"segmentation": segmentation}
    dataset = FakeDataset([[broken], TRUTH[1]])
    assert message in evaluate(dataset.perfect, dataset, [0, 1]).info["left_out"][0]


def test_image_that_is_not_an_array_is_skipped():
    dataset = FakeDataset(TRUTH)
    load, dataset.load_image = dataset.load_image, lambda image_id: None if image_id == 0 else load(image_id)
    assert "load_image returned object of shape ()" in evaluate(dataset.perfect, dataset).info["left_out"][0]


def test_image_with_ground_truth_of_another_size_is_skipped_and_reported():
    dataset = FakeDataset([[instance((60, 80), 1, (0, 0, 20, 20))], TRUTH[1]])
    evaluated = evaluate(dataset.perfect, dataset)
    assert "the image is 120 x 200 (height x width), its ground truth 60 x 80" in evaluated.info["left_out"][0]


def test_no_usable_images_is_an_error():
    dataset = FakeDataset(TRUTH, errors=dict(enumerate(ERRORS[:3])))
    with pytest.raises(DataError, match="none of 3 images can be evaluated; the first: image 0 .*0.png.*cannot identify"):
        evaluate(dataset.perfect, dataset)
    with pytest.raises(DataError, match="no images"):
        evaluate(dataset.perfect, dataset, [])
    with pytest.raises(ValueError, match="batch_size=0"):
        evaluate(dataset.perfect, FakeDataset(TRUTH), batch_size=0)


def test_wrong_number_or_size_of_detector_results_is_an_error():
    with pytest.raises(ValueError, match="returned 0 results for 1 images"):
        evaluate(lambda images: [], FakeDataset(TRUTH))
    wrong = result((60, 80), (1, (0, 0, 20, 20), 0.9))
    with pytest.raises(ValueError, match="image 0: the detector returned a mask of 60 x 80.*120 x 200"):
        evaluate(detector_of(wrong), FakeDataset(TRUTH))
    short = result(SIZE, (1, (0, 0, 20, 20), 0.9)) | {"masks": np.zeros((*SIZE, 2), bool)}
    with pytest.raises(ValueError, match="2 masks for 1 detections"):
        evaluate(detector_of(short), FakeDataset(TRUTH))


def test_saved_result_is_loaded(tmp_path):
    dataset = FakeDataset(TRUTH, errors={2: OSError()})
    evaluated = evaluate(dataset.perfect, dataset)
    path = tmp_path / "deep" / "eval.json"
    evaluated.save(path)
    loaded = CocoResult.load(path)
    np.testing.assert_equal(loaded.metrics, evaluated.metrics)
    np.testing.assert_equal(loaded.per_class, evaluated.per_class)
    assert loaded.table() == evaluated.table()
    assert [p.name for p in path.parent.iterdir()] == ["eval.json"]


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "{}", '{"metrics": 3, "per_class": {}, "info": {}}',
                                  '{"metrics": {}, "per_class": {"cat": null}, "info": {}}'])  # fmt: skip
def test_damaged_result_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "eval.json").write_text(text)
    with pytest.raises(ValueError, match="eval.json: not the figures of an evaluation"):
        CocoResult.load(tmp_path / "eval.json")


class TinyCoco(FakeDataset):
    """The annotations of the shared COCO images, read by pycocotools only."""

    def __init__(self, path):
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(path))
        images, categories = self.coco.dataset["images"], self.coco.dataset["categories"]
        category_ids = {category["id"]: ix for ix, category in enumerate(categories, start=1)}
        truth = []
        for image in images:
            rows = self.coco.imgToAnns[image["id"]]
            rle = [self.coco.annToRLE(row) for row in rows]
            truth.append(
                [row | {"class_id": category_ids[row["category_id"]], "segmentation": r} for row, r in zip(rows, rle)]
            )
        super().__init__(truth, classes=[category["name"] for category in categories])
        self.sizes = [(image["height"], image["width"]) for image in images]
        self.image_info = [{"source": "fake", "id": image["id"]} for image in images]
        for info, category in zip(self.class_info[1:], categories):
            info["id"] = category["id"]

    def load_image(self, image_id):
        return np.full((*self.sizes[image_id], 3), image_id, np.uint8)

    def noisy(self, images):
        """Detect the objects with errors: shifted, with a wrong class, missing or twice, and with random scores."""
        results = []
        for image in images:
            image_id = int(image[0, 0, 0])
            rng = np.random.default_rng(image_id)
            rois, class_ids, masks = [], [], []
            for row in self.truth[image_id]:
                for _ in range(rng.choice([0, 1, 1, 1, 2])):
                    mask = np.roll(coco_mask.decode(row["segmentation"]), rng.integers(-4, 5, 2), (0, 1))
                    if not mask.any():
                        continue
                    x, y, w, h = coco_mask.toBbox(coco_mask.encode(mask))
                    rois.append([y, x, y + h, x + w])
                    class_ids.append(row["class_id"] if rng.random() < 0.8 else rng.integers(1, 81))
                    masks.append(mask.astype(bool))
            masks = np.stack(masks, -1) if masks else np.zeros((*image.shape[:2], 0), bool)
            results.append(
                {
                    "rois": np.array(rois, np.int32).reshape(-1, 4),
                    "class_ids": np.array(class_ids, np.int32),
                    "scores": rng.random(len(rois)).astype(np.float32),
                    "masks": masks,
                }
            )
        return results


@pytest.mark.parametrize("subset", ["train", "val"])
def test_metrics_equal_those_of_pycocotools(subset):
    dataset = TinyCoco(shared_path(f"data/tiny_coco/annotations/instances_{subset}2017.json"))
    evaluated = evaluate(dataset.noisy, dataset, batch_size=4)
    rows = to_source_ids(evaluated.rows, dataset)
    assert 0.05 < evaluated.metrics["mask_AP"] < 0.95  # the noisy detector is neither perfect nor useless
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    for kind, iou_type, drop in (("mask", "segm", "bbox"), ("box", "bbox", "segmentation")):
        with contextlib.redirect_stdout(io.StringIO()):
            detections = dataset.coco.loadRes([{k: v for k, v in row.items() if k != drop} for row in rows])
            plain = COCOeval(dataset.coco, detections, iou_type)
            plain.evaluate()
            plain.accumulate()
            plain.summarize()
        ours = [evaluated.metrics[f"{kind}_{name}"] for name in names]
        assert ours == pytest.approx(plain.stats.tolist(), abs=1e-12)
        # and for one class
        person = plain.eval["precision"][:, :, plain.params.catIds.index(1), 0, -1]
        assert evaluated.per_class["person"][f"{kind}_AP"] == pytest.approx(person.mean(), abs=1e-12)


def test_coco_reader_gives_the_same_metrics():
    path = shared_path("data/tiny_coco")
    plain = TinyCoco(path / "annotations/instances_val2017.json")
    dataset = CocoDataset()
    dataset.load_coco(str(path), "val", year="2017")
    dataset.prepare()
    ids = {str(info["id"]): ix for ix, info in enumerate(dataset.image_info)}
    # the same images in the same order, with the same noise
    image_ids = [ids[str(info["id"])] for info in plain.image_info]
    position = iter(range(len(image_ids)))

    def detect(images):
        return [plain.noisy([plain.load_image(next(position))])[0] for _ in images]

    evaluated, expected = evaluate(detect, dataset, image_ids), evaluate(plain.noisy, plain)
    assert evaluated.info["left_out"] == {} and evaluated.info["instances"] == expected.info["instances"]
    for name, value in expected.metrics.items():
        assert evaluated.metrics[name] == pytest.approx(value, abs=1e-12), name
