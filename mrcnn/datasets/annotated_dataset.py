"""Data sets whose instances are annotations in COCO's form: the base of the readers.

An annotation is a dict: "category_id" (the class's id at its source), "segmentation" (a list of polygons [x1, y1, x2,
y2, ...], or an RLE, compressed or not), and, where they are known, "iscrowd", "id", "area" in pixels and "bbox" [x, y,
width, height].

Shape letters: H W image, N instances.
"""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from mrcnn.datasets.dataset import Dataset, overrides_later
from mrcnn.geometry.rle import as_rle, decode_rle, rle_area, rle_bbox, rle_to_json
from mrcnn.io.orientation import read_header, read_orientation, turn_upright, turned_size
from mrcnn.io.paths import refuse_link

logger = logging.getLogger(__name__)


class AnnotatedDataset(Dataset):
    """A data set of annotations. A reader sets `source` and calls `add_class` and `add_annotated_image`.

    Where annotations lie in files of their own, too many or too large to be kept, a reader overrides `annotations_of`
    (and `num_instances`) and reads them there.

    Attributes:
        source: str. Of its classes and images.
        skipped: list of (where, reason): annotations and images left out while loading. `where` is the id or the place
            in the file that they were found at.
        told: list of (where, what): what was mended while loading, or is to be known.
        allow_outside: bool. Whether image files may lie outside the data set's folder.
    """

    source = ""

    def __init__(self, class_map=None, *, allow_outside=False):
        """Make an empty data set. Args: class_map: see `Dataset.prepare`; allow_outside: bool."""
        super().__init__(class_map)
        self.skipped, self.told, self._left_out = [], [], set()
        self.allow_outside = allow_outside

    def add_annotated_image(self, image_id, path, size, annotations, root=None, **info):
        """Add an image with its annotations.

        Args:
            image_id: int or str. Its id in the source.
            path: path of the image file, or None.
            size: (height, width) in pixels, that the annotations refer to. None reads it from the head of the file when
                it is asked for.
            annotations: list of annotation dicts; see the head of this file. None when `annotations_of` is overridden.
            root: path. The folder that the file must really lie in, behind any links; None where its name does not
                come from a data file.
            **info: kept in `image_info` beside these. "exif_applied" True: size and annotations are those of the image
                turned as its EXIF orientation says, which `load_image` then does.
        """
        if root is not None and not self.allow_outside:
            info["root"] = str(root)
        if size is not None:
            info["height"], info["width"] = int(size[0]), int(size[1])
        self.add_image(self.source, image_id, None if path is None else str(path), annotations=annotations, **info)

    def leave_out(self, where, reason):
        """Note what is left out, once. Args: where: id, or place in a file; reason: str, equal for what is of one kind."""
        if (where, reason) not in self._left_out:
            self._left_out.add((where, reason))
            self.skipped.append((where, reason))

    def tell_skipped(self, path, what="annotations"):
        """Log what was left out and told while loading, a line a reason. Args: path: of the data; what: str, plural."""
        for entries, done in ((self.skipped, f"{what} left out"), (self.told, "times")):
            for reason, count in Counter(reason for _, reason in entries).items():
                example = next(where for where, other in entries if other == reason)
                logger.warning("%s: %d %s, such as %s: %s", path, count, done, example, reason)

    def is_own(self, image_id):
        """Tell whether an image is of this reader's source, and not added by a subclass from another: bool."""
        return self.image_info[image_id]["source"] == self.source

    def annotations_of(self, image_id):
        """Give the annotations of an image of this source. Args: image_id: int. Returns: list of dicts."""
        return list(self.image_info[image_id]["annotations"])

    def load_image(self, image_id):
        """Read an image, which must lie in the data set's folder; see `Dataset.load_image`."""
        self._check_link(image_id)
        image, info = super().load_image(image_id), self.image_info[image_id]
        if not info.get("exif_applied"):
            return image
        return np.ascontiguousarray(turn_upright(image, read_orientation(info["path"])))

    def image_size(self, image_id):
        """Give the size of an image, from the head of its file where it is not known; see `Dataset.image_size`."""
        info = self.image_info[image_id]
        if not info.get("height") and info["path"] and type(self).load_image is AnnotatedDataset.load_image:
            self._check_link(image_id)
            size, orientation = read_header(info["path"])
            return turned_size(size, orientation) if info.get("exif_applied") else size
        return super().image_size(image_id)

    def _check_link(self, image_id):
        info = self.image_info[image_id]
        if info.get("root"):
            refuse_link(info["path"], info["root"], f"image {info['id']}")

    def _numbered(self, image_id):
        """Pair each annotation of an image with its class id, negative for crowds."""
        found = []
        for annotation in self.annotations_of(image_id):
            class_id = self.map_source_class_id(f"{self.source}.{annotation['category_id']}")
            found.append((annotation, -class_id if annotation.get("iscrowd") else class_id))
        return found

    def load_instances(self, image_id):
        """Give an image's polygons and RLEs as they are; see `Dataset.load_instances`."""
        if not self.is_own(image_id):
            return super().load_instances(image_id)
        numbered = self._numbered(image_id)
        return [segmentation_of(a) for a, _ in numbered], np.array([class_id for _, class_id in numbered], np.int32)

    def load_mask(self, image_id):
        """Draw the masks of an image at its own size.

        Args:
            image_id: int.

        Returns:
            (masks, class_ids): bool [H, W, N], int32 [N]. Instances smaller than a pixel are left out.
        """
        if not self.is_own(image_id):
            return super().load_mask(image_id)
        size = self.image_size(image_id)
        drawn = [(self.annToMask(a, *size), class_id) for a, class_id in self._numbered(image_id)]
        drawn = [(mask, class_id) for mask, class_id in drawn if mask.any()]
        if not drawn:
            return np.zeros((*size, 0), bool), np.zeros(0, np.int32)
        return np.stack([mask for mask, _ in drawn], axis=2), np.array([class_id for _, class_id in drawn], np.int32)

    def num_instances(self, image_id):
        """Count an image's annotations that are no crowds. Args: image_id: int. Returns: int, None if unknown."""
        if not self.is_own(image_id) or overrides_later(self, "load_mask", "num_instances"):
            return super().num_instances(image_id)
        return sum(not a.get("iscrowd") for a in self.annotations_of(image_id))

    def ground_truth(self, image_id):
        """Give the annotations with their own areas and boxes; see `Dataset.ground_truth`.

        An annotation without an area or a box gets those of its mask.
        """
        if not self.is_own(image_id) or overrides_later(self, "load_mask", "ground_truth"):
            return super().ground_truth(image_id)
        size = self.image_size(image_id)
        found = []
        for annotation, class_id in self._numbered(image_id):
            rle = self.annToRLE(annotation, *size)
            y1, x1, y2, x2 = rle_bbox(rle)
            area, box = annotation.get("area"), annotation.get("bbox") or [x1, y1, x2 - x1, y2 - y1]
            found.append({
                "class_id": abs(class_id),
                "segmentation": rle_to_json(rle),
                "bbox": [float(v) for v in box],
                "area": float(rle_area(rle) if area is None else area),
                "iscrowd": int(class_id < 0),
            })  # fmt: skip
        return found

    def image_reference(self, image_id):
        """Say which file an image is. Args: image_id: int. Returns: str."""
        return Path(self.image_info[image_id]["path"] or "").name

    def annToRLE(self, ann, height, width):
        """Encode a segmentation. Args: ann: dict; height, width: int pixels. Returns: compressed RLE dict."""
        return as_rle(segmentation_of(ann), (height, width))

    def annToMask(self, ann, height, width):
        """Draw an annotation's segmentation. Args: ann: dict; height, width: int pixels. Returns: bool [H, W]."""
        return decode_rle(self.annToRLE(ann, height, width))


def rings_of(segmentation):
    """Leave out polygons of fewer than three points. Args: segmentation: list of flat lists. Returns: the others."""
    return [polygon for polygon in segmentation if is_ring(polygon)]


def is_ring(polygon):
    """Tell whether a flat list of coordinates has at least three points, and each x its y: bool."""
    return len(polygon) >= 6 and len(polygon) % 2 == 0


def segmentation_of(annotation):
    """Give an annotation's RLE, or its polygons that have three points: dict or list."""
    segmentation = annotation["segmentation"]
    return segmentation if isinstance(segmentation, dict) else rings_of(segmentation)
