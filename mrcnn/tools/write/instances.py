"""The instances of any data set in the one form that writers take them in.

Shape letters: H W image, N instances.
"""

from dataclasses import dataclass

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import AnnotatedDataset, rings_of
from mrcnn.datasets.annotation_checks import FAR
from mrcnn.datasets.dataset import instances_of, overrides_later
from mrcnn.geometry.polygons import polygon_area, polygon_bounds
from mrcnn.geometry.rle import as_rle, encode_mask, rle_area, rle_bbox, rle_to_json
from mrcnn.io.json_fields import is_kind


@dataclass
class Instance:
    """One instance.

    Attributes:
        class_id: int > 0.
        iscrowd: 0 or 1.
        segmentation: list of polygons [x1, y1, x2, y2, ...] of floats, as they were; or an RLE dict ready for JSON.
        area: float. Pixels; see `measure`.
        bbox: [x, y, width, height] floats, in pixels.
    """

    class_id: int
    iscrowd: int
    segmentation: list | dict
    area: float
    bbox: list


def instances_to_write(dataset, image_id, left_out):
    """Give the instances of an image.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position of the image in it.
        left_out: list. Gets (where, reason) of each instance that nothing is left of, or that is not usable.

    Returns:
        list of Instance.

    Raises:
        DataError: the instances of the image cannot be loaded.
    """
    size = dataset.image_size(image_id)
    segmentations, class_ids, known = _load(dataset, image_id)
    found = []
    for i, (segmentation, class_id) in enumerate(zip(segmentations, class_ids, strict=True)):
        where = f"instance {i} of image {dataset.image_info[image_id]['id']}"
        try:
            segmentation = _writable(segmentation, size)
            area, bbox = measure(segmentation, size)
        except (ValueError, TypeError, KeyError) as error:
            left_out.append((where, f"its segmentation is not usable: {error}"))
            continue
        if area <= 0:
            left_out.append((where, "nothing of it lies inside the image, or it has no area"))
            continue
        own_area, own_bbox = known[i] if known else (None, None)
        found.append(Instance(abs(int(class_id)), int(class_id < 0), segmentation, own_area or area, own_bbox or bbox))
    return found


def _load(dataset, image_id):
    """Give the segmentations, class ids, and the (area, bbox) that the annotations themselves tell, if they do."""
    masks, class_ids = instances_of(dataset, image_id)
    if isinstance(masks, np.ndarray):
        masks = [masks[:, :, i] for i in range(masks.shape[2])]
    if len(masks) != len(class_ids):
        raise DataError(f"image {dataset.image_info[image_id]['id']}: {len(masks)} masks and {len(class_ids)} class ids")
    own = getattr(type(dataset), "load_instances", None) is AnnotatedDataset.load_instances
    own = own and not overrides_later(dataset, "load_mask", "load_instances")
    annotations = (dataset.image_info[image_id].get("annotations") or []) if own and dataset.is_own(image_id) else []
    known = [(_number(a.get("area")), _box(a.get("bbox"))) for a in annotations]
    return masks, np.asarray(class_ids).tolist(), known if len(known) == len(masks) else None


def _number(value):
    return float(value) if is_kind(value, float) and value > 0 else None


def _box(value):
    if isinstance(value, list) and len(value) == 4 and all(is_kind(v, float) for v in value):
        return [float(v) for v in value]
    return None


def _writable(segmentation, size):
    """Bring polygons to lists of floats, and masks and RLE to an RLE of the image's size."""
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != tuple(size):
            raise ValueError(f"its mask is of size {segmentation.shape}, the image of {tuple(size)} (height, width)")
        return encode_mask(segmentation)
    if isinstance(segmentation, dict):
        rle = rle_to_json(as_rle(segmentation))
        if tuple(rle["size"]) != tuple(size):
            raise ValueError(f"its RLE is of size {tuple(rle['size'])}, the image of {tuple(size)} (height, width)")
        return rle
    polygons = [np.asarray(polygon, np.float64).tolist() for polygon in rings_of(segmentation)]
    if not polygons:
        raise ValueError("no polygon of it has three points")
    if not all(np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a coordinate is no finite number")
    if max(abs(v) for polygon in polygons for v in polygon) > FAR * max(size):
        # a reader of what is written would refuse it
        raise ValueError(f"a polygon of it is further out than {FAR} times the size of the image")
    return polygons


def measure(segmentation, size):
    """Compute the area and the box of a segmentation.

    Args:
        segmentation: list of polygons, or RLE dict.
        size: (height, width) of the image.

    Returns:
        (area, [x, y, width, height]): floats in pixels. Of polygons the area within them and the box of their points;
            where they overlap, cross themselves or reach out of the image, the number of pixels that they cover, and
            the part of their box inside the image. Of an RLE its pixels.
    """
    pixels = as_rle(segmentation, size)
    count = float(rle_area(pixels))
    if isinstance(segmentation, dict):
        y1, x1, y2, x2 = rle_bbox(pixels)
        return count, [float(v) for v in (x1, y1, x2 - x1, y2 - y1)]
    bounds = polygon_bounds(segmentation)
    y1, x1, y2, x2 = (min(max(v, 0.0), float(end)) for v, end in zip(bounds, (*size, *size), strict=True))
    bbox = [x1, y1, x2 - x1, y2 - y1]
    if (y1, x1, y2, x2) != bounds:
        return count, bbox
    area = sum(polygon_area(polygon) for polygon in segmentation)
    # drawing on pixels may win or lose half a pixel along an outline; what differs by more is not the area covered
    is_plain = abs(area - count) <= sum(_perimeter(polygon) for polygon in segmentation) / 2 + 2
    return area if is_plain else count, bbox


def _perimeter(polygon):
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return float(np.hypot(*(points - np.roll(points, -1, axis=0)).T).sum())
