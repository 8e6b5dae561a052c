"""The annotations of a part: each by itself, and those that stand for one object twice."""

from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked
from mrcnn.datasets.annotation_checks import is_id
from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.io.orientation import turned_size
from mrcnn.tools.doctor.finding import Picture, Place
from mrcnn.tools.doctor.outlines import look_at

# from this IoU on, two masks of one image are of one object
SAME_OBJECT = 0.95
# masks whose boxes overlap less cannot overlap so much, thin ones apart
_SAME_BOX = 0.8


@dataclass
class Objects:
    """The objects of a part that have a mask, and no crowds.

    Attributes:
        boxes: list of float [n, 4] (y1, x1, y2, x2) pixels, one array an image.
        sizes: list of (height, width) of those images.
        areas: list of float [n], pixels.
        class_counts: dict category id -> number of objects, those without a usable mask too.
        image_counts: dict category id -> number of images that show it.
        images, annotations, crowds, empty_images: int, numbers of them.
    """

    boxes: list = field(default_factory=list)
    sizes: list = field(default_factory=list)
    areas: list = field(default_factory=list)
    class_counts: dict = field(default_factory=dict)
    image_counts: dict = field(default_factory=dict)
    images: int = 0
    annotations: int = 0
    crowds: int = 0
    empty_images: int = 0


def note_annotations(part, scans, findings, progress=None):
    """Look at all annotations of a part.

    Args:
        part: Part.
        scans: list of ImageScan, one an image.
        findings: Findings, which is added to.
        progress: function (done, total), called after each image, or None.

    Returns:
        Objects.
    """
    objects = Objects(images=len(part.images))
    for i, (image, scan) in enumerate(tracked(zip(part.images, scans, strict=True), progress, len(scans))):
        annotations = read_annotations(part, i, findings)
        if annotations is None:
            continue
        _count(annotations, objects)
        if not annotations:
            objects.empty_images += 1
        size = working_size(image, scan)
        if size is None:
            continue
        drawn = []
        for label, annotation in annotations:
            place = Place(part.name, image.file, image.id, label)
            note = _noter(place, image, scan, annotation, findings)
            one = look_at(annotation, _size_for(annotation, size, image, scan), note)
            if one is not None:
                drawn.append((place, annotation, one))
        _note_doubles(drawn, image, scan, findings)
        kept = [one for _, annotation, one in drawn if not annotation.get("iscrowd")]
        if kept:
            objects.boxes.append(np.array([one.box for one in kept], np.float32))
            objects.areas.append(np.array([one.area for one in kept], np.float32))
            objects.sizes.append(size)
    if objects.empty_images:
        told = f"{objects.empty_images} of {objects.images} images have no annotations"
        findings.add("image_without_objects", Place(part.name), told)
    for where, reason in part.left_out():
        findings.add("left_out", Place(part.name), f"{where}: {reason}")
    return objects


def read_annotations(part, position, findings=None):
    """Read the annotations of an image; a fault that keeps all of them from being read is noted.

    Args:
        part: Part.
        position: int, of the image in the part.
        findings: Findings, which is added to; None notes nothing.

    Returns:
        list of (label, annotation); None where they cannot be read.
    """
    image = part.images[position]
    try:
        found = part.annotations(position)
    except Exception as error:  # a data set's own load_mask may raise anything
        if findings is not None:
            told = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            findings.add("left_out", Place(part.name, image.file, image.id), f"its annotations cannot be read: {told}")
        return None
    if part.content is None and findings is not None:  # of a JSON this was told when it was read
        for label, annotation in found:
            if annotation.get("category_id") not in part.categories:
                place = Place(part.name, image.file, image.id, label)
                findings.add("category_missing", place, f"no category has the id {annotation.get('category_id')}")
    return found


def working_size(image, scan):
    """The size that annotations are compared with.

    Args:
        image: CheckedImage.
        scan: ImageScan of it.

    Returns:
        (height, width), or None where neither the data nor the file tell. Where they tell different sizes, and nobody
        knows which the annotations mean, the larger of each: that is told once, and not again at each of them.
    """
    seen = scan.size and (turned_size(scan.size, scan.orientation) if image.upright else scan.size)
    if image.size is None or seen is None:
        return image.size or seen
    if tuple(image.size) == turned_size(scan.size, scan.orientation):
        return tuple(image.size)
    return max(image.size[0], seen[0]), max(image.size[1], seen[1])


def _size_for(annotation, size, image, scan):
    """The size that one annotation is compared with: where data and file differ, an RLE may be of either size.

    Of an image that is turned by its EXIF orientation, the data tell which.
    """
    segmentation = annotation.get("segmentation")
    own = segmentation.get("size") if isinstance(segmentation, dict) else None
    either = isinstance(own, list) and scan.orientation < 5 and tuple(own) in (image.size, scan.size)
    return tuple(own) if either else size


def _noter(place, image, scan, annotation, findings):
    def note(kind, found, severity=None, weight=0.0):
        picture = None
        if not scan.fault and (image.path or image.load):
            picture = Picture((image.read,), annotation.get("segmentation"), annotation.get("bbox"))
        findings.add(kind, place, found, severity=severity, weight=weight, picture=picture)

    return note


def _count(annotations, objects):
    """Count annotations by their category, which may be anything."""
    objects.annotations += len(annotations)
    seen = set()
    for _, annotation in annotations:
        category = annotation.get("category_id")
        if annotation.get("iscrowd"):
            objects.crowds += 1
        elif is_id(category):
            objects.class_counts[category] = objects.class_counts.get(category, 0) + 1
            seen.add(category)
    for category in seen:
        objects.image_counts[category] = objects.image_counts.get(category, 0) + 1


def _note_doubles(drawn, image, scan, findings):
    """Note objects of one image that are annotated twice. Args: drawn: list of (place, annotation, Drawn)."""
    told = set()
    pairs = [(is_double(drawn[i][1], drawn[j][1]), i, j, overlap) for i, j, overlap in same_objects([d[2] for d in drawn])]
    for same, i, j, overlap in sorted(pairs, key=lambda pair: (not pair[0], pair[1])):
        (first, a, _), (place, b, _) = drawn[i], drawn[j]
        if j in told or bool(a.get("iscrowd")) != bool(b.get("iscrowd")):
            continue
        told.add(j)
        what = f"its mask is that of annotation {first.annotation_id} (IoU {overlap:.3g})"
        if not same:
            what += f", of category {a.get('category_id')} there and {b.get('category_id')} here"
        kind = "annotation_duplicate" if same else "annotation_conflict"
        _noter(place, image, scan, b, findings)(kind, what, None, overlap)


def is_double(a, b):
    """Whether two annotations of one mask say the same of it: its class, and whether it is a crowd."""
    return a.get("category_id") == b.get("category_id") and bool(a.get("iscrowd")) == bool(b.get("iscrowd"))


def same_objects(drawn):
    """Find masks that are nearly the same.

    Args:
        drawn: list of Drawn, of one image.

    Returns:
        list of (i, j, IoU), i < j: the pairs whose masks overlap more than SAME_OBJECT.
    """
    if len(drawn) < 2:
        return []
    boxes = np.array([one.box for one in drawn])
    found = []
    for j, row in enumerate(np.tril(compute_overlaps(boxes, boxes), -1)):
        near = np.flatnonzero(row > _SAME_BOX)
        if len(near):
            overlaps = coco_mask.iou([drawn[j].rle], [drawn[i].rle for i in near], [0] * len(near))[0]
            found += [(int(i), j, float(iou)) for i, iou in zip(near, overlaps) if iou > SAME_OBJECT]
    return found
