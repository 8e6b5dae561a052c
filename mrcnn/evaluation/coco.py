"""COCO evaluation of detections over a whole data set: masks and boxes, each class, each size.

The images go through the detector in batches; what is kept of each is rows with RLE masks, so memory stays small.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.base.progress import unseen
from mrcnn.evaluation.lvis import federated_scorer
from mrcnn.evaluation.results import to_coco_results
from mrcnn.evaluation.scoring import KINDS, score_rows
from mrcnn.evaluation.table import result_table

# what is compared, as a stage names it
_PLURALS = {"mask": "masks", "box": "boxes"}


@dataclass
class CocoResult:
    """What an evaluation found.

    Attributes:
        metrics: dict name -> float in 0..1: `mask_` and `box_` before AP (mean over IoU 0.50:0.05:0.95), AP50, AP75,
            APs, APm, APl (areas up to 32 x 32, up to 96 x 96 pixels, and larger), AR1, AR10, AR100 (recall with so many
            detections an image), ARs, ARm, ARl. nan where the set has no such object: that is not 0. Of a federated
            set such as LVIS: AP, AP50, AP75, APs, APm, APl, APr, APc, APf (rare, common and frequent categories), AR,
            ARs, ARm, ARl, with up to 300 detections an image.
        per_class: dict class name -> dict: class_id, instances, crowds, detections, and the figures of this class.
        info: dict: images, instances, crowds, detections (counts), seconds_detect, seconds_total, left_out
            ({image id: reason}, images that could not be read; they count neither for nor against).
        rows: list of COCO results with positions in the data set as ids; `results.to_source_ids` gives the file's ids.
        truth: list of COCO annotations, the objects, with the same ids.
        curves: dict "mask" or "box" -> float [T, R, K]. Precision at IoU 0.50:0.05:0.95, recall 0:0.01:1, of each class in
            the order of their ids; -1 for a class that the set does not hold.
    """

    metrics: dict
    per_class: dict
    info: dict = field(default_factory=dict)
    rows: list = field(default_factory=list, repr=False)
    truth: list = field(default_factory=list, repr=False)
    curves: dict = field(default_factory=dict, repr=False)

    def to_dict(self):
        """Metrics, classes and counts as one dict, without rows and curves."""
        return {"metrics": self.metrics, "per_class": self.per_class, "info": self.info}

    def save(self, path):
        """Write `to_dict` as JSON, whole or not at all; nan becomes null."""
        save_json(path, self.to_dict())

    @classmethod
    def load(cls, path):
        """Read what `save` wrote; null becomes nan again."""
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)

        def restore(values):
            return {key: float("nan") if value is None else value for key, value in values.items()}

        per_class = {name: restore(values) for name, values in stored["per_class"].items()}
        return cls(restore(stored["metrics"]), per_class, stored["info"])

    def table(self, per_class=True, width=100):
        """The figures as text; see `report.result_table`."""
        return result_table(self, per_class=per_class, width=width)


def _truth_rows(dataset, image_id, shape):
    """The ground truth of one image as COCO annotations, its masks held against the size of the image.

    Raises:
        DataError: a mask is of another size; pycocotools would match nothing with it, and say nothing.
    """
    rows = []
    for instance in dataset.ground_truth(image_id):
        size = tuple(int(v) for v in instance["segmentation"]["size"])
        if size != tuple(shape[:2]):
            raise DataError(
                f"image {image_id} ({dataset.image_reference(image_id)}): the image is {shape[0]} x {shape[1]} "
                f"(height x width), its ground truth {size[0]} x {size[1]}: correct the annotation or the file"
            )
        rows.append(
            {
                "image_id": int(image_id),
                "category_id": int(instance["class_id"]),
                "segmentation": instance["segmentation"],
                "bbox": [float(v) for v in instance["bbox"]],
                "area": float(instance["area"]),
                "iscrowd": int(instance["iscrowd"]),
            }
        )
    return rows


def _detection_rows(dataset, image_id, shape, result):
    """The detections of one image as COCO results, without the classes that this image's source does not annotate.

    Raises:
        ValueError: a mask is not of the size of the image.
    """
    rows = to_coco_results(int(image_id), result)
    for row in rows:
        size = tuple(row["segmentation"]["size"]) if "segmentation" in row else tuple(shape[:2])
        if size != tuple(shape[:2]):
            raise ValueError(
                f"image {image_id}: the detector gave a mask of {size[0]} x {size[1]} (height x width) "
                f"for an image of {shape[0]} x {shape[1]}"
            )
    # a source without classes of its own uses those of the others
    known = dataset.source_class_ids.get(dataset.image_info[image_id]["source"])
    return rows if known is None else [row for row in rows if row["category_id"] in known]


def _load(dataset, image_id):
    """An image and its ground truth rows.

    Raises:
        DataError: one of them cannot be had.
    """
    try:
        image = np.asarray(dataset.load_image(image_id))
        return image, _truth_rows(dataset, image_id, image.shape)
    except DataError:
        raise
    except (OSError, ValueError, KeyError, SyntaxError) as error:  # what decoders raise on a broken file
        raise DataError(f"image {image_id} ({dataset.image_reference(image_id)}): {error}") from error


def _class_names(dataset):
    """Class id -> a name that no other class has: those that two sources share get their source, and in one their id."""
    classes = dataset.class_info[1:]
    names = [info["name"] for info in classes]
    for more in ("source", "id"):
        shared = {name for name, count in Counter(names).items() if count > 1}
        names = [f"{name} ({info[more]})" if name in shared else name for name, info in zip(names, classes, strict=True)]
    return dict(enumerate(names, start=1))


def _collect(detect, dataset, image_ids, batch_size, progress):
    """Run the detector over the images.

    Returns:
        used: list of the image ids that could be read.
        truth, rows: lists of rows.
        left_out: dict image id -> reason.
        seconds: float, in the detector.
    """
    used, truth, rows, left_out, seconds = [], [], [], {}, 0.0
    for start in range(0, len(image_ids), batch_size):
        batch = []
        for image_id in image_ids[start : start + batch_size]:
            try:
                batch.append((image_id, *_load(dataset, image_id)))
            except DataError as error:
                left_out[image_id] = str(error)
        if batch:
            began = time.perf_counter()
            results = detect([image for _, image, _ in batch])
            seconds += time.perf_counter() - began
            if len(results) != len(batch):
                raise ValueError(f"the detector gave {len(results)} results for {len(batch)} images")
            for (image_id, image, annotations), result in zip(batch, results, strict=True):
                used.append(image_id)
                truth += annotations
                rows += _detection_rows(dataset, image_id, image.shape, result)
        if progress is not None:
            progress(min(start + batch_size, len(image_ids)), len(image_ids))
    return used, truth, rows, left_out, seconds


def score(truth, rows, image_ids, class_names, kinds=("mask", "box"), scorer=score_rows, progress=None):
    """COCO's figures of detection rows against ground-truth rows, overall and for each class.

    Args:
        truth: list of COCO annotations: image_id, category_id, segmentation (RLE), bbox, area, iscrowd.
        rows: list of COCO results.
        image_ids: list of ints, the images evaluated.
        class_names: dict class id -> name.
        kinds: what to compare, of "mask" and "box".
        scorer: callable with the arguments and the answer of `scoring.score_rows`.
        progress: maker of stages (`mrcnn.base.progress`), one a kind; or None.

    Returns:
        CocoResult.

    Raises:
        ValueError: unknown kind, or rows without what is compared.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"kinds={unknown}: expected some of {', '.join(KINDS)}")
    per_class = {
        name: {"class_id": class_id, "instances": 0, "crowds": 0, "detections": 0}
        for class_id, name in class_names.items()
    }
    for row in truth:
        per_class[class_names[row["category_id"]]]["crowds" if row["iscrowd"] else "instances"] += 1
    for row in rows:
        per_class[class_names[row["category_id"]]]["detections"] += 1
    metrics, curves = {}, {}
    for kind in kinds:
        with (progress or unseen)(f"scoring {_PLURALS[kind]}") as show:
            overall, by_class = scorer(truth, rows, image_ids, list(class_names), kind, curves, show)
        metrics |= {f"{kind}_{name}": value for name, value in overall.items()}
        for class_id, figures in by_class.items():
            per_class[class_names[class_id]] |= {f"{kind}_{name}": value for name, value in figures.items()}
    info = {"images": len(image_ids)}
    info |= {key: sum(c[key] for c in per_class.values()) for key in ("instances", "crowds", "detections")}
    return CocoResult(metrics, per_class, info, rows, truth, curves)


def evaluate(detect, dataset, image_ids=None, *, batch_size=1, progress=None, kinds=("mask", "box")):
    """Detect on the images of a data set and hold what is found against its ground truth.

    Args:
        detect: callable, list of images -> list of dicts with "rois", "class_ids", "scores" and "masks" (bool
            [H, W, N] or a list of COCO RLE), as `MaskRCNN.detect`. Each image is as `dataset.load_image` gives it.
        dataset: a prepared Dataset.
        image_ids: the images to take, by position in the data set; default all.
        batch_size: int. Images given to `detect` at once.
        progress: maker of stages (`mrcnn.base.progress`): "detecting", of images, then "scoring masks" and "scoring boxes";
            or None.
        kinds: what to compare; ("box",) for a detector without masks.

    Returns:
        CocoResult. Crowds are neither found nor missed; a class that the set does not hold has nan. Detections of
        classes that the image's source does not annotate are not counted. A data set whose `coverage` says that
        not every class is annotated in every image is evaluated as LVIS is; see `evaluation.lvis`.

    Raises:
        DataError: none of the images can be read, or there are none.
        ValueError: the detector's answer does not fit the images.
    """
    began = time.perf_counter()
    image_ids = [int(i) for i in (dataset.image_ids if image_ids is None else image_ids)]
    if not image_ids:
        raise DataError("no images to evaluate: the data set, or the list of image ids, is empty")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: expected 1 or more")
    with (progress or unseen)("detecting") as show:
        used, truth, rows, left_out, seconds = _collect(detect, dataset, image_ids, batch_size, show)
    if not used:
        raise DataError(f"none of {len(image_ids)} images can be evaluated; the first: {next(iter(left_out.values()))}")
    scorer = federated_scorer(dataset, used) or score_rows
    result = score(truth, rows, used, _class_names(dataset), kinds, scorer, progress)
    result.info |= {
        "seconds_detect": round(seconds, 3),
        "seconds_total": round(time.perf_counter() - began, 3),
        "left_out": left_out,
    }
    return result
