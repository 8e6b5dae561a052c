"""COCO's metrics from rows of ground truth and rows of detections, computed by faster-coco-eval.

faster-coco-eval is pycocotools' evaluation in C++: it computes the same metrics (a test compares the two) in a fraction of
the time. `mrcnn.evaluation.lvis` is the counterpart for LVIS.

Shape letters: T IoU thresholds, R recall points, K classes, A area ranges, M limits on detections per image.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as coco_mask
from faster_coco_eval.core.faster_eval_api import COCOeval_faster
from jaxtyping import Float

from mrcnn.base.memory import paused_collector
from mrcnn.base.progress import Show
from mrcnn.evaluation.results import Row
from mrcnn.geometry.boxes import Integer

logger = logging.getLogger(__name__)

# kind -> COCO's IoU type, and the field of a row with the mask or box
KINDS = {"mask": ("segm", "segmentation"), "box": ("bbox", "bbox")}
# maximum numbers of detections per image, and indices along the axes of COCOeval's arrays
MAX_DETECTIONS = (1, 10, 100)
_AREAS = {"": 0, "s": 1, "m": 2, "l": 3}
IOU_50, IOU_75 = 0, 5
# stands for a mask that is never compared; its area is stored separately
_NO_MASK = {"size": [1, 1], "counts": "1"}
# pairs of an image and a class between two reports of progress
_REPORT_EVERY = 100

Metrics = dict[str, float]
# `score_rows` or its counterpart for LVIS: returns overall metrics, and those of each category
Scorer = Callable[..., tuple[Metrics, dict[int, Metrics]]]


@paused_collector()
def score_rows(
    truth: Sequence[Row],
    detections: Sequence[Row],
    image_ids: Sequence[int],
    category_ids: Sequence[int],
    kind: str,
    curves: dict[str, np.ndarray] | None = None,
    progress: Show | None = None,
) -> tuple[Metrics, dict[int, Metrics]]:
    """Compute COCO's metrics on a set of images.

    Args:
        truth: COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd.
        detections: rows in COCO's results format.
        image_ids: the images to evaluate, including those without ground truth, in which every detection is a false positive.
        category_ids: the categories to evaluate.
        kind: "mask" or "box".
        curves: receives the precision at each recall under the key `kind`: float [T, R, K] with K in the order of the
            category ids, -1 for a category without ground truth.
        progress: counts pairs of an image and a category; the last step is matching and averaging.

    Returns:
        overall: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl, in 0..1; nan without ground truth.
        per_category: the same metrics of each category.

    Raises:
        ValueError: a detection lacks the mask or box to evaluate.

    Source: Lin et al., Microsoft COCO: Common Objects in Context, and https://cocodataset.org/#detection-eval.
    """
    if not image_ids or not category_ids:
        undefined = _metrics(np.full((10, 101, 1, 4, 3), -1.0), np.full((10, 1, 4, 3), -1.0))
        return undefined, {category_id: dict(undefined) for category_id in category_ids}
    evaluator = _Evaluation(
        _coco(image_ids, category_ids, [{**row, "id": ix} for ix, row in enumerate(truth, start=1)]),
        _coco(image_ids, category_ids, _detection_annotations(detections, kind, truth)),
        KINDS[kind][0],
        progress,
    )
    evaluator.params.maxDets = list(MAX_DETECTIONS)
    evaluated = evaluator.run()
    precision, recall = evaluated["precision"], evaluated["recall"]
    if curves is not None:
        curves[kind] = precision[:, :, :, 0, -1]
    per_category = {
        int(category_id): _metrics(precision[:, :, [ix]], recall[:, [ix]])
        for ix, category_id in enumerate(evaluator.params.catIds)
    }
    return _metrics(precision, recall), per_category


class _Evaluation(COCOeval_faster):
    """COCO's evaluation with progress reports: one step per pair of an image and a category, and one for the rest."""

    def __init__(self, truth: COCO, detections: COCO, kind: str, show: Show | None) -> None:
        # on two cores, threads are slower: they wait for the interpreter lock
        super().__init__(truth, detections, kind, print_function=logger.debug, rle_iou_max_workers=1)
        self.show, self.compared = show, 0
        pairs = [{(row["image_id"], row["category_id"]) for row in coco.dataset["annotations"]} for coco in (truth, detections)]
        self.steps = len(pairs[0] & pairs[1]) + 1

    def computeIoU(self, imgId: Integer, catId: Integer) -> Any:
        """Compute the IoUs of one pair; see COCOeval."""
        ious = super().computeIoU(imgId, catId)
        self.compared += 1
        if self.show is not None and self.compared % _REPORT_EVERY == 0:
            self.show(min(self.compared, self.steps - 1), self.steps)
        return ious

    def run(self) -> dict[str, Any]:
        """Compute IoUs, match and average; return COCOeval's dict `eval`."""
        self.evaluate()
        self.accumulate()
        if self.show is not None:
            self.show(self.steps, self.steps)
        return self.eval


def _coco(image_ids: Sequence[int], category_ids: Sequence[int], annotations: list[Row]) -> COCO:
    """Build a COCO index of rows in memory. Their ids must start at 1, because 0 means "not matched" to COCOeval."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id, "height": 0, "width": 0} for image_id in image_ids],  # each RLE has its own size
        "categories": [{"id": category_id} for category_id in category_ids],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _detection_annotations(rows: Sequence[Row], kind: str, truth: Sequence[Row]) -> list[Row]:
    """Convert detections to annotations with an area (of the mask or the box), which assigns false positives to area ranges.

    If the ground truth has no object of the detection's category in its image, the detection's mask is never compared, and is
    replaced by `_NO_MASK`, which is faster to parse.
    """
    name = KINDS[kind][1]
    for row in rows:
        check_compared(row, kind)
    shapes = [row[name] for row in rows]
    if kind == "mask":
        areas = coco_mask.area(shapes).tolist() if shapes else []
        with_objects = {(row["image_id"], row["category_id"]) for row in truth}
        shapes = [shape if (row["image_id"], row["category_id"]) in with_objects else _NO_MASK
                  for row, shape in zip(rows, shapes, strict=True)]  # fmt: skip
    else:
        areas = [shape[2] * shape[3] for shape in shapes]
    return [
        {
            "id": ix,
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "score": row["score"],
            name: shape,
            "area": area,
            "iscrowd": 0,
        }
        for ix, (row, shape, area) in enumerate(zip(rows, shapes, areas, strict=True), start=1)
    ]


def check_compared(row: Row, kind: str) -> None:
    """Raise a ValueError if a detection lacks the mask or box to evaluate."""
    name = KINDS[kind][1]
    if name not in row:
        raise ValueError(f"image {row['image_id']}: a detection has no {name}, which the evaluation of {kind} needs")


def mean(values: Float[np.ndarray, "..."]) -> float:
    """Average the entries that are defined, leaving out the -1 of categories without ground truth."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")


def _metrics(precision: Float[np.ndarray, "T R K A M"], recall: Float[np.ndarray, "T K A M"]) -> Metrics:
    """Compute COCO's twelve metrics from curves, which are -1 for categories without ground truth."""
    metrics = {
        "AP": mean(precision[:, :, :, 0, -1]),
        "AP50": mean(precision[IOU_50, :, :, 0, -1]),
        "AP75": mean(precision[IOU_75, :, :, 0, -1]),
    }
    metrics |= {f"AP{size}": mean(precision[..., area, -1]) for size, area in _AREAS.items() if size}
    metrics |= {f"AR{most}": mean(recall[:, :, 0, ix]) for ix, most in enumerate(MAX_DETECTIONS)}
    metrics |= {f"AR{size}": mean(recall[..., area, -1]) for size, area in _AREAS.items() if size}
    return metrics
