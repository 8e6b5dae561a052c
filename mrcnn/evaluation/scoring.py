"""COCO's figures from ground-truth rows and detection rows, computed by pycocotools.

Legend: T IoU thresholds, R recall points, K classes, A area ranges, M limits on detections an image.
"""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn.geometry.rle import rle_area

# Our word for what is compared -> pycocotools' word, and the field of a row that holds it.
KINDS = {"mask": ("segm", "segmentation"), "box": ("bbox", "bbox")}
# Limits on detections an image, and positions on the axes of COCOeval's arrays.
MAX_DETECTIONS = (1, 10, 100)
_AREAS = {"": 0, "s": 1, "m": 2, "l": 3}
_IOU_50, _IOU_75 = 0, 5


def _coco(image_ids, category_ids, annotations):
    """A COCO object of rows in memory. pycocotools prints as it builds its index; that is swallowed."""
    coco = COCO()
    coco.dataset = {
        "info": {},
        # sizes are read but not used: every mask is an RLE, which has its own
        "images": [{"id": image_id, "height": 0, "width": 0} for image_id in image_ids],
        "categories": [{"id": category_id} for category_id in category_ids],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _truth_annotations(rows):
    """Ground truth with ids from 1: pycocotools takes an id of 0 for 'not matched'."""
    return [{**row, "id": ix, "ignore": row.get("iscrowd", 0)} for ix, row in enumerate(rows, start=1)]


def _detection_annotations(rows, kind):
    """Detections of one kind. Their area, which sorts false positives into sizes, is that of the mask or of the box."""
    name = KINDS[kind][1]
    annotations = []
    for ix, row in enumerate(rows, start=1):
        if name not in row:
            raise ValueError(f"image {row['image_id']}: a detection has no {name}, and the {kind} is to be evaluated")
        shape = row[name]
        area = float(rle_area(shape)) if kind == "mask" else shape[2] * shape[3]
        annotations.append(
            {
                "id": ix,
                "image_id": row["image_id"],
                "category_id": row["category_id"],
                "score": row["score"],
                name: shape,
                "area": area,
                "iscrowd": 0,
            }
        )
    return annotations


def _mean(values):
    """Mean of the entries that exist: pycocotools marks those without ground truth with -1."""
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


def score_rows(truth, detections, image_ids, category_ids, kind):
    """COCO's figures over a set of images.

    Args:
        truth: list of COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd.
        detections: list of dicts in COCO's results format.
        image_ids: list of ints. Images without ground truth count too: what is found on them is wrong.
        category_ids: list of ints.
        kind: "mask" or "box".

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
    evaluator = COCOeval(
        _coco(image_ids, category_ids, _truth_annotations(truth)),
        _coco(image_ids, category_ids, _detection_annotations(detections, kind)),
        KINDS[kind][0],
    )
    evaluator.params.maxDets = list(MAX_DETECTIONS)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    per_category = {
        category_id: _figures(precision[:, :, [ix]], recall[:, [ix]])
        for ix, category_id in enumerate(evaluator.params.catIds)
    }
    return _figures(precision, recall), per_category
