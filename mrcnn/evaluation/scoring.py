"""COCO's figures from ground-truth rows and detection rows, computed by faster-coco-eval.

It is pycocotools' evaluation in C++: the same figures (a test holds them against pycocotools') in a fraction of the time.

Legend: T IoU thresholds, R recall points, K classes, A area ranges, M limits on detections an image.
"""

import logging

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as coco_mask
from faster_coco_eval.core.faster_eval_api import COCOeval_faster

from mrcnn.base.memory import paused_collector

logger = logging.getLogger(__name__)

# Our word for what is compared -> COCO's word, and the field of a row that holds it.
KINDS = {"mask": ("segm", "segmentation"), "box": ("bbox", "bbox")}
# Limits on detections an image, and positions on the axes of COCOeval's arrays.
MAX_DETECTIONS = (1, 10, 100)
_AREAS = {"": 0, "s": 1, "m": 2, "l": 3}
_IOU_50, _IOU_75 = 0, 5
# in place of a mask that is compared with nothing; its area is kept beside it
_NO_MASK = {"size": [1, 1], "counts": "1"}
# pairs of an image and a class that are compared between two words about it
_TOLD_EVERY = 100


class _Evaluation(COCOeval_faster):
    """COCO's evaluation that tells how many pairs of an image and a class are compared; the last step is all the rest."""

    def __init__(self, truth, detections, kind, show):
        """Take two COCO and a kind, as COCOeval does; show: function (done, total), or None."""
        # with threads, two cores take longer: they wait for the interpreter
        super().__init__(truth, detections, kind, print_function=logger.debug, rle_iou_max_workers=1)
        self.show, self.compared = show, 0
        pairs = [{(row["image_id"], row["category_id"]) for row in coco.dataset["annotations"]} for coco in (truth, detections)]
        self.steps = len(pairs[0] & pairs[1]) + 1

    def computeIoU(self, imgId, catId):
        """Compare one pair; see COCOeval."""
        found = super().computeIoU(imgId, catId)
        self.compared += 1
        if self.show is not None and self.compared % _TOLD_EVERY == 0:
            self.show(min(self.compared, self.steps - 1), self.steps)
        return found

    def figures(self):
        """Compare, match and average. Returns: the dict `eval` of COCOeval."""
        self.evaluate()
        self.accumulate()
        if self.show is not None:
            self.show(self.steps, self.steps)
        return self.eval


def _coco(image_ids, category_ids, annotations):
    """An index of rows in memory: COCO."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id, "height": 0, "width": 0} for image_id in image_ids],  # each RLE has its own size
        "categories": [{"id": category_id} for category_id in category_ids],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _truth_annotations(rows):
    """Ground truth with ids from 1: an id of 0 stands for 'not matched'."""
    return [{**row, "id": ix} for ix, row in enumerate(rows, start=1)]


def _detection_annotations(rows, kind, truth):
    """Detections of one kind. Their area, which sorts false positives into sizes, is that of the mask or of the box.

    Where the truth has no object of a detection's category in its image, its mask is never compared, and `_NO_MASK` stands in
    its place, which is quicker to parse.
    """
    name = KINDS[kind][1]
    for row in rows:
        if name not in row:
            raise ValueError(f"image {row['image_id']}: a detection has no {name}, and the {kind} is to be evaluated")
    shapes = [row[name] for row in rows]
    if kind == "mask":
        areas = coco_mask.area(shapes).tolist() if shapes else []
        there = {(row["image_id"], row["category_id"]) for row in truth}
        shapes = [shape if (row["image_id"], row["category_id"]) in there else _NO_MASK
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


def _mean(values):
    """Mean of the entries that exist: COCO's evaluation marks those without ground truth with -1."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")


def _figures(precision, recall):
    """The twelve figures of COCO.

    Args:
        precision: float [T, R, K, A, M], -1 where there is no ground truth.
        recall: float [T, K, A, M], likewise.
    """
    figures = {
        "AP": _mean(precision[:, :, :, 0, -1]),
        "AP50": _mean(precision[_IOU_50, :, :, 0, -1]),
        "AP75": _mean(precision[_IOU_75, :, :, 0, -1]),
    }
    figures |= {f"AP{size}": _mean(precision[..., area, -1]) for size, area in _AREAS.items() if size}
    figures |= {f"AR{most}": _mean(recall[:, :, 0, ix]) for ix, most in enumerate(MAX_DETECTIONS)}
    figures |= {f"AR{size}": _mean(recall[..., area, -1]) for size, area in _AREAS.items() if size}
    return figures


@paused_collector()
def score_rows(truth, detections, image_ids, category_ids, kind, curves=None, progress=None):
    """COCO's figures over a set of images.

    Args:
        truth: list of COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd.
        detections: list of dicts in COCO's results format, masks as `geometry.rle.encode_mask` makes them.
        image_ids: list of ints. Images without ground truth count too: what is found on them is wrong.
        category_ids: list of ints.
        kind: "mask" or "box".
        curves: dict, optional. Gets under `kind` the precision at each recall: float [T, R, K], K in the order of the
            ids, -1 for a category without ground truth.
        progress: function (done, total), or None. What is counted are pairs of an image and a category.

    Returns:
        overall: dict of AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl, in 0..1, nan where
            there is no ground truth.
        per_category: dict category id -> the same figures of this category alone.

    Raises:
        ValueError: a detection lacks what is compared.

    Source: Lin et al., Microsoft COCO: Common Objects in Context, and https://cocodataset.org/#detection-eval.
    """
    if not image_ids or not category_ids:
        nothing = _figures(np.full((10, 101, 1, 4, 3), -1.0), np.full((10, 1, 4, 3), -1.0))
        return nothing, {category_id: dict(nothing) for category_id in category_ids}
    evaluator = _Evaluation(
        _coco(image_ids, category_ids, _truth_annotations(truth)),
        _coco(image_ids, category_ids, _detection_annotations(detections, kind, truth)),
        KINDS[kind][0],
        progress,
    )
    evaluator.params.maxDets = list(MAX_DETECTIONS)
    found = evaluator.figures()
    precision, recall = found["precision"], found["recall"]
    if curves is not None:
        curves[kind] = precision[:, :, :, 0, -1]
    per_category = {
        category_id: _figures(precision[:, :, [ix]], recall[:, [ix]])
        for ix, category_id in enumerate(evaluator.params.catIds)
    }
    return _figures(precision, recall), per_category
