"""Evaluation of a detector on a whole data set: COCO's metrics for masks and boxes, overall and per class.

`evaluate` loads the images, runs the detector in batches and keeps detections as rows with RLE masks, to save memory; `score`
computes the metrics from the rows, with `mrcnn.evaluation.scoring` or, for a federated data set, `mrcnn.evaluation.lvis`.
Images that cannot be loaded, or that the detector cannot process, are skipped and reported, as in training.

Shape letters: H W image, N detections, T IoU thresholds, R recall points, K classes.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, unseen
from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation.lvis import federated_scorer
from mrcnn.evaluation.results import Row, to_coco_results
from mrcnn.evaluation.scoring import KINDS, Scorer, score_rows
from mrcnn.evaluation.table import result_table
from mrcnn.loading.sample import load_checked_image, name_image

Detect = Callable[[list[np.ndarray]], Sequence[Mapping[str, Any]]]

# plural of each kind, for the names of progress stages
_PLURALS = {"mask": "masks", "box": "boxes"}


@dataclass
class CocoResult:
    """The result of an evaluation.

    Attributes:
        metrics: values in 0..1 named `mask_` or `box_` and AP (mean over IoU 0.50:0.05:0.95), AP50, AP75, APs, APm, APl
            (areas up to 32 x 32 pixels, up to 96 x 96, and larger), AR1, AR10, AR100 (recall with at most that many
            detections per image), ARs, ARm, ARl. nan, rather than 0, if the data set has no such object. For a federated data
            set such as LVIS: AP, AP50, AP75, APs, APm, APl, APr, APc, APf (rare, common and frequent categories), AR, ARs,
            ARm, ARl, with at most 300 detections per image.
        per_class: for each class name: class_id, instances, crowds, detections, and the metrics of the class.
        info: images, instances, crowds, detections (counts); seconds_detect and seconds_total of the whole evaluation;
            seconds_per_image of detection without the first batch, in which the network is compiled (None if there was only
            one batch); and left_out: the reason for each image that could not be evaluated, by id. Its objects and detections
            are not counted.
        rows: detections as COCO results, with indices in the data set as ids; `results.to_source_ids` converts them to the
            ids in the annotation file.
        truth: ground-truth objects as COCO annotations, with the same ids.
        curves: for "mask" and "box", float [T, R, K]: precision at IoU 0.50:0.05:0.95 and recall 0:0.01:1 of each class, in
            the order of class ids; -1 for a class without objects.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, Any]]
    info: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list, repr=False)
    truth: list[Row] = field(default_factory=list, repr=False)
    curves: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return metrics, classes and counts as one dict, without rows and curves."""
        return {"metrics": self.metrics, "per_class": self.per_class, "info": self.info}

    def save(self, path: Path | str) -> None:
        """Write `to_dict` as JSON, atomically; nan becomes null."""
        save_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path | str) -> "CocoResult":
        """Read what `save` wrote; null becomes nan again.

        Raises:
            ValueError: the file holds something else.
        """

        def restore(values: dict[str, Any]) -> dict[str, Any]:
            return {key: float("nan") if value is None else value for key, value in values.items()}

        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            per_class = {name: restore(values) for name, values in stored["per_class"].items()}
            return cls(restore(stored["metrics"]), per_class, dict(stored["info"]))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not the figures of an evaluation: {type(error).__name__}: {error}") from error

    def table(self, per_class: bool = True, width: int = 100) -> str:
        """Format the metrics as text; see `table.result_table`."""
        return result_table(self, per_class=per_class, width=width)


def evaluate(
    detect: Detect,
    dataset: Dataset,
    image_ids: Iterable[Any] | None = None,
    *,
    batch_size: int = 1,
    progress: Stages | None = None,
    kinds: Sequence[str] = ("mask", "box"),
    check: Callable[[np.ndarray], None] | None = None,
) -> CocoResult:
    """Run a detector on the images of a data set and evaluate the detections against the ground truth.

    Crowds are ignored, whether detected or not. The metrics of a class without objects are nan. Detections of classes that
    the image's source does not annotate are not counted. A data set whose `coverage` reports that not every class is
    annotated in every image is evaluated like LVIS; see `mrcnn.evaluation.lvis`. Images that cannot be loaded, or
    that `check` refuses, are skipped, with the reason in `info`.

    Args:
        detect: takes a batch of images and returns for each image "rois", "class_ids", "scores" and "masks" (bool [H, W, N]
            or a list of RLE), like `MaskRCNN.detect`. Images come from `dataset.load_image` and have a channel axis.
        dataset: prepared.
        image_ids: images to evaluate, by index in the data set; None evaluates all.
        batch_size: number of images passed to `detect` at once.
        progress: receives the stages "detecting", which counts images, "scoring masks" and "scoring boxes".
        kinds: what to evaluate; ("box",) for a detector without masks.
        check: raises a ValueError for an image that `detect` cannot process, as `Predictor.check` does. None checks nothing.

    Raises:
        DataError: there are no images, or none can be evaluated.
        ValueError: the detector's results do not fit the images.
    """
    began = time.perf_counter()
    image_ids = [int(i) for i in (dataset.image_ids if image_ids is None else image_ids)]
    if not image_ids:
        raise DataError("no images to evaluate: the data set, or the list of image ids, is empty")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected 1 or more")
    with (progress or unseen)("detecting") as show:
        used, truth, rows, left_out, seconds = _collect(detect, dataset, image_ids, batch_size, show, check)
    if not used:
        raise DataError(f"none of {len(image_ids)} images can be evaluated; the first: {next(iter(left_out.values()))}")
    scorer = federated_scorer(dataset, used) or score_rows
    result = score(truth, rows, used, _class_names(dataset), kinds, scorer, progress)
    pace = [of_batch / images for of_batch, images in seconds[1:]]
    result.info |= {
        "seconds_detect": round(sum(of_batch for of_batch, _ in seconds), 3),
        "seconds_per_image": round(statistics.median(pace), 4) if pace else None,
        "seconds_total": round(time.perf_counter() - began, 3),
        "left_out": left_out,
    }
    return result


def score(
    truth: list[Row],
    rows: list[Row],
    image_ids: Sequence[int],
    class_names: Mapping[int, str],
    kinds: Sequence[str] = ("mask", "box"),
    scorer: Scorer = score_rows,
    progress: Stages | None = None,
) -> CocoResult:
    """Compute the metrics of detections against ground truth, both given as rows, overall and per class.

    Args:
        truth: COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd.
        rows: COCO results.
        image_ids: the images evaluated.
        class_names: by class id.
        kinds: what to evaluate: "mask", "box" or both.
        scorer: `scoring.score_rows`, or a function with the same arguments and results.
        progress: receives one stage per kind.

    Raises:
        ValueError: a kind is unknown, or a row lacks the mask or box to evaluate.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"kinds={unknown}: expected some of {', '.join(KINDS)}")
    per_class: dict[str, dict[str, Any]] = {
        name: {"class_id": class_id, "instances": 0, "crowds": 0, "detections": 0}
        for class_id, name in class_names.items()
    }
    for row in truth:
        per_class[class_names[row["category_id"]]]["crowds" if row["iscrowd"] else "instances"] += 1
    for row in rows:
        per_class[class_names[row["category_id"]]]["detections"] += 1
    metrics: dict[str, float] = {}
    curves: dict[str, np.ndarray] = {}
    for kind in kinds:
        with (progress or unseen)(f"scoring {_PLURALS[kind]}") as show:
            overall, by_class = scorer(truth, rows, image_ids, list(class_names), kind, curves, show)
        metrics |= {f"{kind}_{name}": value for name, value in overall.items()}
        for class_id, values in by_class.items():
            per_class[class_names[class_id]] |= {f"{kind}_{name}": value for name, value in values.items()}
    info = {"images": len(image_ids)}
    info |= {key: sum(c[key] for c in per_class.values()) for key in ("instances", "crowds", "detections")}
    return CocoResult(metrics, per_class, info, rows, truth, curves)


def _collect(
    detect: Detect,
    dataset: Dataset,
    image_ids: Sequence[int],
    batch_size: int,
    progress: Show | None,
    check: Callable[[np.ndarray], None] | None,
) -> tuple[list[int], list[Row], list[Row], dict[int, str], list[tuple[float, int]]]:
    """Run the detector over the images.

    Returns:
        used: ids of the images that were evaluated.
        truth, rows: of these images.
        left_out: for each other image, the reason.
        seconds: time spent in the detector, and number of images, of each batch.
    """
    used, left_out = [], {}
    seconds: list[tuple[float, int]] = []
    truth: list[Row] = []
    rows: list[Row] = []
    for start in range(0, len(image_ids), batch_size):
        batch = []
        for image_id in image_ids[start : start + batch_size]:
            try:
                image = load_checked_image(dataset, image_id)
                if check is not None:
                    _check_image(check, image, name_image(dataset, image_id))
                batch.append((image_id, image, _truth_rows(dataset, image_id, image.shape)))
            except DataError as error:
                left_out[image_id] = str(error)
        if batch:
            began = time.perf_counter()
            results = detect([image for _, image, _ in batch])
            seconds.append((time.perf_counter() - began, len(batch)))
            if len(results) != len(batch):
                raise ValueError(f"the detector returned {len(results)} results for {len(batch)} images")
            for (image_id, image, annotations), result in zip(batch, results, strict=True):
                used.append(image_id)
                truth += annotations
                rows += _detection_rows(dataset, image_id, image.shape, result)
        if progress is not None:
            progress(min(start + batch_size, len(image_ids)), len(image_ids))
    return used, truth, rows, left_out, seconds


def _check_image(check: Callable[[np.ndarray], None], image: np.ndarray, where: str) -> None:
    """Run `check` on an image; convert its ValueError to a DataError that names the image."""
    try:
        check(image)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _truth_rows(dataset: Dataset, image_id: int, shape: Sequence[int]) -> list[Row]:
    """Convert the ground truth of an image to COCO annotations.

    Raises:
        DataError: it cannot be loaded, or the size of a mask differs from the image's: pycocotools would silently match
            nothing with such a mask.
    """
    where = name_image(dataset, image_id)
    try:
        rows = [
            {
                "image_id": image_id,
                "category_id": int(instance["class_id"]),
                "segmentation": instance["segmentation"],
                "bbox": [float(v) for v in instance["bbox"]],
                "area": float(instance["area"]),
                "iscrowd": int(instance["iscrowd"]),
            }
            for instance in dataset.ground_truth(image_id)
        ]
        sizes = [tuple(int(v) for v in row["segmentation"]["size"]) for row in rows]
    except Exception as error:  # a data set is the user's code, and may raise anything
        reason = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{where}: its masks cannot be loaded: {reason}") from error
    for size in sizes:
        if size != tuple(shape[:2]):
            raise DataError(
                f"{where}: the image is {shape[0]} x {shape[1]} (height x width), its ground truth {size[0]} x {size[1]}: "
                "correct the annotation or the file"
            )
    return rows


def _detection_rows(dataset: Dataset, image_id: int, shape: Sequence[int], result: Mapping[str, Any]) -> list[Row]:
    """Convert the detections of an image to COCO results, dropping classes that its source does not annotate.

    Raises:
        ValueError: the size of a mask differs from the image's.
    """
    rows = to_coco_results(image_id, result)
    for row in rows:
        size = tuple(row["segmentation"]["size"]) if "segmentation" in row else tuple(shape[:2])
        if size != tuple(shape[:2]):
            raise ValueError(
                f"image {image_id}: the detector returned a mask of {size[0]} x {size[1]} (height x width) "
                f"for an image of {shape[0]} x {shape[1]}"
            )
    # a source that defines no classes uses those of the other sources
    known = dataset.source_class_ids.get(dataset.image_info[image_id]["source"])
    return rows if known is None else [row for row in rows if row["category_id"] in known]


def _class_names(dataset: Dataset) -> dict[int, str]:
    """Make class names unique: append the source to names that two sources share, and the id to names repeated within one."""
    classes = dataset.class_info[1:]
    names = [str(info["name"]) for info in classes]
    for key in ("source", "id"):
        shared = {name for name, count in Counter(names).items() if count > 1}
        names = [f"{name} ({info[key]})" if name in shared else name for name, info in zip(names, classes, strict=True)]
    return dict(enumerate(names, start=1))
