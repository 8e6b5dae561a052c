"""Reading the instances of any data set in the form that the writers need, image by image, optionally in several processes.

Shape letters: H W image, N instances.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import available_cores, map_tasks
from mrcnn.datasets.annotated_dataset import AnnotatedDataset, rings_of
from mrcnn.datasets.annotation_mending import FAR
from mrcnn.datasets.dataset import Dataset, instances_of, overrides_later
from mrcnn.geometry.polygons import polygon_area, polygon_bounds
from mrcnn.geometry.rle import as_rle, encode_mask, rle_area, rle_bbox, rle_to_json
from mrcnn.io.json_fields import is_kind

# images per task, because sending a task takes longer than reading a small image
_CHUNK = 16
# with fewer images, starting processes takes longer than it saves
_WORTHWHILE = 200

# polygons [x1, y1, x2, y2, ...] of floats, or an RLE dict that is ready for JSON
Segmentation = list[Any] | dict[str, Any]


@dataclass
class Instance:
    """One instance.

    Attributes:
        class_id: above 0.
        iscrowd: 0 or 1.
        area: in pixels; see `measure`.
        bbox: [x, y, width, height] in pixels.
    """

    class_id: int
    iscrowd: int
    segmentation: Segmentation
    area: float
    bbox: list[float]


@dataclass
class ReadImage:
    """The result of reading an image's instances.

    Attributes:
        image_id: index in the data set.
        instances: list of Instance, or of what the writer's `work` function returns; None if they cannot be loaded.
        skipped: (where, reason) of each unusable instance, and of the image if it is unusable.
        notes: (where, note) of everything the reader corrected or noted.
    """

    image_id: int
    instances: Any = None
    skipped: list[tuple[Any, str]] = field(default_factory=list)
    notes: list[tuple[Any, str]] = field(default_factory=list)


def read_instances(dataset: Dataset, image_ids: Sequence[int], workers: int | None = None,
                   work: Callable[[Dataset, int], ReadImage] | None = None) -> Iterator[ReadImage]:  # fmt: skip
    """Read the instances of many images.

    Args:
        dataset: prepared. It is sent to each process.
        image_ids: indices in the data set.
        workers: number of processes. 1 reads in this process; None uses one per core when there are many images.
        work: reads one image, instead of `read_image_instances`. A module-level function, or a functools.partial of one.

    Yields:
        A ReadImage for each image, in the order of `image_ids`.
    """
    if workers is None:
        workers = available_cores() if len(image_ids) >= _WORTHWHILE else 1
    if len(image_ids) <= _CHUNK or _is_of_a_script(dataset):
        workers = 1
    yield from map_tasks(functools.partial(work or read_image_instances, dataset), image_ids, workers, _CHUNK)


def _is_of_a_script(dataset: Dataset) -> bool:
    """Return whether the class of a data set is defined in the running script, which worker processes do not import."""
    return "__main__" in (type(dataset).__module__, type(getattr(dataset, "base", None)).__module__)


def read_image_instances(dataset: Dataset, image_id: int) -> ReadImage:
    """Read the instances of an image, and collect the reader's notes about it."""
    logs = [(getattr(dataset, "skipped", []), "skipped"), (getattr(dataset, "notes", []), "notes")]
    before, read = [len(log) for log, _ in logs], ReadImage(image_id)
    try:
        read.instances = instances_to_write(dataset, image_id, read.skipped)
    except DataError as error:
        read.skipped.append((f"image {dataset.image_info[image_id]['id']}", str(error)))
    for (log, name), length in zip(logs, before, strict=True):
        getattr(read, name)[:0] = log[length:]
    return read


def instances_to_write(dataset: Dataset, image_id: int, skipped: list[tuple[Any, str]]) -> list[Instance]:
    """Load the instances of an image.

    Args:
        skipped: receives (where, reason) of each instance that is not usable, or lies outside the image.

    Raises:
        DataError: the instances cannot be loaded.
    """
    size = dataset.image_size(image_id)
    segmentations, class_ids, known = _load(dataset, image_id)
    instances = []
    for i, (segmentation, class_id) in enumerate(zip(segmentations, class_ids, strict=True)):
        where = f"instance {i} of image {dataset.image_info[image_id]['id']}"
        try:
            segmentation = _writable(segmentation, size)
            area, bbox = measure(segmentation, size)
        except (ValueError, TypeError, KeyError) as error:
            skipped.append((where, f"its segmentation is not usable: {error}"))
            continue
        if area <= 0:
            skipped.append((where, "it has no area inside the image"))
            continue
        known_area, known_bbox = known[i] if known else (None, None)
        instances.append(Instance(abs(int(class_id)), int(class_id < 0), segmentation, known_area or area, known_bbox or bbox))
    return instances


def _load(dataset: Dataset, image_id: int) -> tuple[Any, list[int], list[tuple[float | None, list[float] | None]] | None]:
    """Return the segmentations, the class ids, and (area, bbox) from the annotations, each None if missing."""
    masks, class_ids = instances_of(dataset, image_id)
    if isinstance(masks, np.ndarray):
        masks = [masks[:, :, i] for i in range(masks.shape[2])]
    if len(masks) != len(class_ids):
        raise DataError(f"image {dataset.image_info[image_id]['id']}: {len(masks)} masks and {len(class_ids)} class ids")
    known = None
    # an overridden method may return instances that differ from the annotations
    if (isinstance(dataset, AnnotatedDataset) and type(dataset).load_instances is AnnotatedDataset.load_instances
            and not overrides_later(dataset, "load_mask", "load_instances") and dataset.reads(image_id)):  # fmt: skip
        annotations = dataset.image_info[image_id].get("annotations") or []
        known = [(_number(a.get("area")), _box(a.get("bbox"))) for a in annotations]
    return masks, np.asarray(class_ids).tolist(), known if known and len(known) == len(masks) else None


def _number(value: Any) -> float | None:
    return float(value) if is_kind(value, float) and value > 0 else None


def _box(value: Any) -> list[float] | None:
    if isinstance(value, list) and len(value) == 4 and all(is_kind(v, float) for v in value):
        return [float(v) for v in value]
    return None


def _writable(segmentation: Any, size: tuple[int, int]) -> Segmentation:
    """Convert polygons to lists of floats, and masks and RLEs to an RLE of the image's size."""
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != tuple(size):
            raise ValueError(f"its mask has size {segmentation.shape}, the image {tuple(size)} (height, width)")
        return encode_mask(segmentation)
    if isinstance(segmentation, dict):
        rle = rle_to_json(as_rle(segmentation))
        if tuple(rle["size"]) != tuple(size):
            raise ValueError(f"its RLE has size {tuple(rle['size'])}, the image {tuple(size)} (height, width)")
        return rle
    polygons = [np.asarray(polygon, np.float64).tolist() for polygon in rings_of(segmentation)]
    if not polygons:
        raise ValueError("none of its polygons has three points")
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a coordinate is not a finite number")
    if max(abs(v) for polygon in polygons for v in polygon) > FAR * max(size):
        # readers refuse such polygons
        raise ValueError(f"one of its polygons extends to more than {FAR} times the size of the image")
    return polygons


def measure(segmentation: Segmentation, size: tuple[int, int]) -> tuple[float, list[float]]:
    """Compute the area and the box of a segmentation.

    Args:
        size: (height, width) of the image.

    Returns:
        (area, [x, y, width, height]) in pixels. For polygons, the enclosed area and the bounds of the points; if they overlap,
        intersect themselves or extend beyond the image, the number of pixels they cover, and the bounds clipped to the image.
        For an RLE, the area and box of its pixels.
    """
    pixels = as_rle(segmentation, size)
    count = float(rle_area(pixels))
    if isinstance(segmentation, dict):
        y1, x1, y2, x2 = rle_bbox(pixels)
        return count, [float(v) for v in (x1, y1, x2 - x1, y2 - y1)]
    bounds = polygon_bounds(segmentation)
    clipped = tuple(min(max(v, 0.0), float(end)) for v, end in zip(bounds, (*size, *size), strict=True))
    bbox = [clipped[1], clipped[0], clipped[3] - clipped[1], clipped[2] - clipped[0]]
    if clipped != bounds:
        return count, bbox
    area = sum(polygon_area(polygon) for polygon in segmentation)
    # rasterising adds or removes up to half a pixel along an outline; a larger difference means that the pixels covered do not
    # match the enclosed area
    is_plain = abs(area - count) <= sum(_perimeter(polygon) for polygon in segmentation) / 2 + 2
    return (float(area) if is_plain else count), bbox


def _perimeter(polygon: Sequence[int | float]) -> float:
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return float(np.hypot(*(points - np.roll(points, -1, axis=0)).T).sum())
