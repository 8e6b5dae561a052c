"""Detections in COCO's results format, in memory and in files.

A row is {"image_id", "category_id", "bbox": [x, y, width, height], "score", "segmentation": RLE}; see
https://cocodataset.org/#format-results.

Shape letters: H W image, N detections.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from mrcnn.base.atomic_write import save_json
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.rle import Rle, as_rle, encode_mask, rle_to_json

Row = dict[str, Any]

RESULT_KEYS = ("image_id", "category_id", "score")


def to_rle(mask: Shaped[np.ndarray, "H W"] | Mapping[str, Any]) -> Rle:
    """Convert a mask, dense or RLE, to an RLE that is ready for JSON."""
    return rle_to_json(as_rle(mask)) if isinstance(mask, Mapping) else encode_mask(mask)


def to_coco_results(
    image_id: int | str, result: Mapping[str, Any], category_ids: Mapping[int, Any] | Sequence[Any] | None = None
) -> list[Row]:
    """Convert the result of `MaskRCNN.detect` for one image to rows of plain Python values, ready for JSON.

    Args:
        image_id: written to each row.
        result: "rois" int [N, 4] (y1, x1, y2, x2), "class_ids" [N], "scores" [N], and "masks" as bool [H, W, N] or a list
            of N RLE dicts; if "masks" is missing or None, the rows have no segmentation.
        category_ids: category id by class id; None writes class ids.

    Raises:
        ValueError: the numbers of masks and boxes differ.
    """
    count = len(result["rois"])
    masks = result.get("masks")
    segmentations = [None] * count if masks is None else _each_mask(masks, count)
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


def _each_mask(masks: Sequence[Any] | Shaped[np.ndarray, "H W N"], count: int) -> Iterator[Any]:
    """Iterate over masks, dense or a list of RLE, after checking their number."""
    listed = masks if isinstance(masks, list | tuple) else list(np.moveaxis(np.asarray(masks), -1, 0))
    if len(listed) != count:
        raise ValueError(f"{len(listed)} masks for {count} detections")
    return iter(listed)


def to_source_ids(rows: Sequence[Row], dataset: Dataset) -> list[Row]:
    """Copy rows, replacing indices in the data set with the ids of its annotation files.

    Args:
        rows: with image indices as image_id and class ids as category_id.
        dataset: prepared.
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


def _as_number(value: object) -> object:
    """Convert an id stored as a string of digits to the number in COCO's files."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def save_results(path: Path | str, rows: Sequence[Row]) -> None:
    """Save rows as JSON, in the format of COCO's evaluation server and of `COCO.loadRes`."""
    save_json(path, rows)


def load_results(path: Path | str) -> list[Row]:
    """Read a JSON file of rows.

    Raises:
        ValueError: the file contains something else; the message names the file, the row and the missing fields.
    """
    with open(path, encoding="utf-8") as file:
        try:
            rows = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(rows, list):
        raise ValueError(
            f"{path}: contains a {type(rows).__name__}, expected a list of results (an annotation file is not a results file)"
        )
    for ix, row in enumerate(rows):
        missing = [key for key in RESULT_KEYS if not isinstance(row, dict) or key not in row]
        if missing or not ("bbox" in row or "segmentation" in row):
            missing = missing or ["bbox or segmentation"]
            raise ValueError(f"{path}: result {ix} has no {', '.join(missing)}")
    return rows
