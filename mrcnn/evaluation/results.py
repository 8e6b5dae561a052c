"""Detections in COCO's results format.

A row is `{"image_id", "category_id", "bbox": [x, y, width, height], "score", "segmentation": RLE}`: https://cocodataset.org/#format-results

Legend: H W image, N detections.
"""

import json

import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.geometry.rle import as_rle, encode_mask, rle_to_json

RESULT_KEYS = ("image_id", "category_id", "score")


def to_rle(mask):
    """A mask as COCO RLE that JSON can hold.

    Args:
        mask: bool [H, W], or a COCO RLE dict.

    Returns:
        dict {"size": [H, W], "counts": str}.
    """
    return rle_to_json(as_rle(mask)) if isinstance(mask, dict) else encode_mask(mask)


def _iterate_masks(masks, count):
    """Yield the `count` masks of a result, dense [H, W, N] or list of RLE, with a check of their number."""
    found = len(masks) if isinstance(masks, (list, tuple)) else np.asarray(masks).shape[-1]
    if found != count:
        raise ValueError(f"{found} masks for {count} detections")
    if isinstance(masks, (list, tuple)):
        yield from masks
    else:
        for ix in range(count):
            yield masks[:, :, ix]


def to_coco_results(image_id, result, category_ids=None):
    """Turn what `MaskRCNN.detect` says of one image into rows of COCO's results format.

    Args:
        image_id: int or str. Written to each row.
        result: dict with "rois" int [N, 4] (y1, x1, y2, x2), "class_ids" [N], "scores" [N], and "masks" bool [H, W, N]
            or a list of N COCO RLE dicts; without "masks" (or None) the rows hold no segmentation.
        category_ids: mapping or sequence from class id to category id; default the class id itself.

    Returns:
        list of N dicts of plain Python numbers, ready for JSON.

    Raises:
        ValueError: the number of masks is not the number of boxes.
    """
    masks = result.get("masks")
    count = len(result["rois"])
    segmentations = [None] * count if masks is None else list(_iterate_masks(masks, count))
    rows = []
    for roi, class_id, score, mask in zip(
        result["rois"], result["class_ids"], result["scores"], segmentations, strict=True
    ):
        y1, x1, y2, x2 = (float(v) for v in roi)
        class_id = int(class_id)
        row = {
            "image_id": image_id,
            "category_id": class_id if category_ids is None else category_ids[class_id],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(score),
        }
        if mask is not None:
            row["segmentation"] = to_rle(mask)
        rows.append(row)
    return rows


def _as_number(value):
    """COCO's ids are numbers; a data set that keeps them as strings of digits means the same."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def to_source_ids(rows, dataset):
    """Rewrite rows from the ids of this project (positions in the data set) to the ids of the data set's own files.

    Args:
        rows: list of rows whose image_id and category_id are positions in `dataset`.
        dataset: a prepared Dataset.

    Returns:
        list of new rows, with `image_info[...]["id"]` and the class's id in its source.
    """
    images, classes = dataset.image_info, dataset.class_info
    return [
        {
            **row,
            "image_id": _as_number(images[row["image_id"]]["id"]),
            "category_id": _as_number(classes[row["category_id"]]["id"]),
        }
        for row in rows
    ]


def save_results(path, rows):
    """Save rows of COCO's results format as JSON, as the COCO server and `COCO.loadRes` take them."""
    save_json(path, rows)


def load_results(path):
    """Read a JSON file of COCO's results format.

    Returns:
        list of rows.

    Raises:
        ValueError: the file holds something else, naming the file, the row and what is missing.
    """
    with open(path, encoding="utf-8") as file:
        try:
            rows = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(rows, list):
        raise ValueError(
            f"{path}: holds a {type(rows).__name__}, expected a list of results (an annotation file is no results file)"
        )
    for ix, row in enumerate(rows):
        missing = [key for key in RESULT_KEYS if not isinstance(row, dict) or key not in row]
        if missing or not ("bbox" in row or "segmentation" in row):
            missing = missing or ["bbox or segmentation"]
            raise ValueError(f"{path}: result {ix} has no {', '.join(missing)}")
    return rows
