"""The base class of the readers: data sets whose instances are COCO annotations.

An annotation is a dict: "category_id" (the id of the class at its source), "segmentation" (a list of polygons [x1, y1, x2,
y2, ...], or an RLE, compressed or not) and, if known, "iscrowd", "id", "area" in pixels and "bbox" [x, y, width, height].

Shape letters: H W C image, N instances.
"""

import logging
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Num, Shaped

from mrcnn.base.errors import DataError
from mrcnn.base.text import printable
from mrcnn.datasets.dataset import Dataset, overrides_later
from mrcnn.geometry.boxes import Integer
from mrcnn.geometry.rle import Rle, as_rle, decode_rle, rle_area, rle_bbox, rle_to_json
from mrcnn.io.images import is_darkened
from mrcnn.io.orientation import read_header, read_orientation, turn_upright, turned_size
from mrcnn.io.paths import refuse_link

logger = logging.getLogger(__name__)


class AnnotatedDataset(Dataset):
    """A data set of annotations. A reader sets `source` and calls `add_class` and `add_annotated_image`.

    A reader whose annotations are in separate files, too many or too large to keep in memory, overrides `annotations_of`
    (and `num_instances`) and reads the files there.

    Attributes:
        source: the source of its classes and images.
        skipped: (where, reason) of each annotation or image skipped while loading. `where` is an id or a place in a file.
        notes: (where, note) of each repair made while loading, and of anything else worth knowing.
        allow_outside: whether image files may be outside the data set's folder.
        states_orientation: whether the format determines if annotations refer to images rotated by their EXIF orientation.
    """

    source = ""
    states_orientation = True

    def __init__(self, class_map: object = None, *, allow_outside: bool = False) -> None:
        """Create an empty data set.

        Args:
            class_map: see `Dataset.prepare`.
            allow_outside: see the class.
        """
        super().__init__(class_map)
        self.skipped: list[tuple[Any, str]] = []
        self.notes: list[tuple[Any, str]] = []
        self._skipped_once: set[tuple[Any, str]] = set()
        self._same_names: dict[str, str] = {}
        self._warned: set[str] = set()
        self._upright: set[int] = set()  # images whose EXIF orientation is known to be clear
        self.allow_outside = allow_outside

    def add_annotated_image(
        self,
        image_id: Hashable,
        path: Path | str | None,
        size: tuple[int, int] | None,
        annotations: Sequence[dict[str, Any]] | None,
        root: Path | str | None = None,
        **info: Any,
    ) -> None:
        """Add an image with its annotations.

        Args:
            image_id: number or text. Its id at the source.
            path: the image file, or None.
            size: (height, width) in pixels that the annotations refer to. None reads it from the header of the file when
                it is needed.
            annotations: see the docstring of this module. None if `annotations_of` is overridden. A `JsonList` decodes its
                entries again at each access.
            root: the folder that the file must be in after links are resolved; None if the file's name does not come from
                a data file.
            **info: also stored in `image_info`. "exif_applied" True: size and annotations refer to the image rotated by its
                EXIF orientation, and `load_image` rotates it.
        """
        if root is not None and not self.allow_outside:
            info["root"] = str(root)
        if size is not None:
            info["height"], info["width"] = int(size[0]), int(size[1])
        self.add_image(self.source, image_id, None if path is None else str(path), annotations=annotations, **info)

    def prepare(self, class_map: Mapping[str, str] | None = None) -> None:
        """Number the classes and images; see `Dataset.prepare`. Classes of this source that have one name are one class.

        Args:
            class_map: see `Dataset.prepare`.
        """
        class_map = class_map or self._class_map or {}
        first: dict[str, str] = {}
        for info in self.class_info:
            key, name = f"{info['source']}.{info['id']}", str(info["name"])
            if info["source"] != self.source or key in class_map:
                continue
            if first.setdefault(name, key) != key:
                self._same_names[key] = first[name]
                self.notes.append((f"classes {first[name]} and {key}", "they have the same name, and are read as one class"))
                logger.warning("the classes %s and %s are both named %r, and are read as one class", first[name], key, name)
        kept = {merged: self._same_names.get(into, into) for merged, into in class_map.items()}
        super().prepare({**self._same_names, **kept})

    def skip(self, where: Any, reason: str) -> None:
        """Record that something is skipped. A repeated call has no effect.

        Args:
            where: an id, or a place in a file.
            reason: the same text for all faults of one kind, so that they can be counted.
        """
        if (where, reason) not in self._skipped_once:
            self._skipped_once.add((where, reason))
            self.skipped.append((where, reason))

    def log_skipped(self, path: Any, what: str = "annotations") -> None:
        """Log what was skipped and noted while loading, one line per reason.

        Args:
            path: the data set, for the message.
            what: plural noun for what was skipped.
        """
        for entries, done in ((self.skipped, f"{what} skipped"), (self.notes, "times")):
            for reason, count in Counter(reason for _, reason in entries).items():
                example = printable(next(where for where, other in entries if other == reason))
                place = example if (count, done) == (1, "times") else f"{count} {done}, such as {example}"
                logger.warning("%s: %s: %s", path, place, printable(reason))

    def reads(self, image_id: Integer) -> bool:
        """Return whether an image is from this reader's source, and not from another source that a subclass added."""
        return self.image_info[image_id]["source"] == self.source

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Return the annotations of an image from this source."""
        return list(self.image_info[image_id]["annotations"])

    def load_image(self, image_id: Integer) -> Num[np.ndarray, "H W C"]:
        """Read an image, after checking that its file is in the data set's folder; see `Dataset.load_image`."""
        self._check_link(image_id)
        image, info = super().load_image(image_id), self.image_info[image_id]
        self._warn_of_depth(image_id, image)
        listed = info.get("height"), info.get("width")
        if not info.get("exif_applied") and (None in listed or listed == image.shape[:2] or not self.is_rotated(image_id)):
            self._warn_of_orientation(image_id)
            return image
        return np.ascontiguousarray(turn_upright(image, read_orientation(info["path"])))

    def _warn_of_orientation(self, image_id: Integer) -> None:
        if "unknown" in self._warned or image_id in self._upright:
            return
        orientation = self.unclear_orientation(image_id)
        if orientation == 1:
            self._upright.add(int(image_id))  # in later epochs its header is not read again
        else:
            self._warn_once("unknown", f"image {self.image_info[image_id]['id']} has the EXIF orientation {orientation}, which "
                            "is not applied: look whether its masks fit (mrcnn view), and remove the tag")  # fmt: skip

    def unclear_orientation(self, image_id: Integer) -> int:
        """Return an EXIF orientation that a mirrored, upside-down or square image has; see `Dataset.unclear_orientation`."""
        info = self.image_info[image_id]
        if self.states_orientation or info.get("exif_applied") or not info["path"] or not os.path.isfile(info["path"]):
            return 1
        try:
            (height, width), orientation = read_header(info["path"])
        except DataError:  # a format that only other decoders support
            return 1
        return orientation if orientation < 5 or height == width else 1

    def _warn_of_depth(self, image_id: Integer, image: Num[np.ndarray, "H W C"]) -> None:
        """Warn if nearly nothing is left of an image of 16 bits, because its camera uses fewer."""
        info = self.image_info[image_id]
        if self.depth is None and "depth" not in self._warned and is_darkened(info["path"], image):
            self._warn_once("depth", f"image {info['id']} has 16 bits, but values that are read as at most {image.max()} of "
                            "255: give the number of bits that the camera uses, such as 12 (depth=12, --depth 12)")  # fmt: skip

    def is_rotated(self, image_id: Integer) -> bool:
        """Compare the listed size with that in the header of the file; see `Dataset.is_rotated`.

        If the EXIF orientation swaps the sides, a listed size with swapped sides is that of the rotated image.
        """
        info = self.image_info[image_id]
        listed = info.get("height"), info.get("width")
        if info.get("exif_applied") or None in listed or not info["path"] or not os.path.isfile(info["path"]):
            return bool(info.get("exif_applied"))
        try:
            stored, orientation = read_header(info["path"])
        except DataError:  # reported when the image is loaded
            return False
        if orientation < 5 or listed == stored or listed != turned_size(stored, orientation):
            return False
        info["exif_applied"] = True
        self._warn_once("rotated", f"the size of image {info['id']} is that of its file rotated by its EXIF orientation, and "
                        "so it is read rotated")  # fmt: skip
        return True

    def _warn_once(self, kind: str, message: str) -> None:
        """Log a warning, and only the first of its kind for this data set."""
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("%s. Other such images are not reported", printable(message))

    def image_size(self, image_id: Integer) -> tuple[int, int]:
        """Return the size of an image, reading the header of its file if it is unknown; see `Dataset.image_size`."""
        info = self.image_info[image_id]
        if not info.get("height") and info["path"] and type(self).load_image is AnnotatedDataset.load_image:
            self._check_link(image_id)
            size, orientation = read_header(info["path"])
            return turned_size(size, orientation) if info.get("exif_applied") else size
        return super().image_size(image_id)

    def _check_link(self, image_id: Integer) -> None:
        info = self.image_info[image_id]
        if info.get("root"):
            refuse_link(info["path"], info["root"], f"image {info['id']}")

    def _with_class_ids(self, image_id: Integer) -> list[tuple[dict[str, Any], int]]:
        """Pair each annotation of an image with its class id, negative for crowds."""
        pairs = []
        for annotation in self.annotations_of(image_id):
            class_id = self.map_source_class_id(f"{self.source}.{annotation['category_id']}")
            pairs.append((annotation, -class_id if annotation.get("iscrowd") else class_id))
        return pairs

    def load_instances(
        self, image_id: Integer
    ) -> tuple[Shaped[np.ndarray, "H W N"] | Sequence[Any], Shaped[np.ndarray, " N"]]:
        """Return an image's polygons and RLEs without drawing them; see `Dataset.load_instances`."""
        if not self.reads(image_id):
            return super().load_instances(image_id)
        pairs = self._with_class_ids(image_id)
        return [segmentation_of(a) for a, _ in pairs], np.array([class_id for _, class_id in pairs], np.int32)

    def load_mask(self, image_id: Integer) -> tuple[Shaped[np.ndarray, "H W N"], Shaped[np.ndarray, " N"]]:
        """Draw the masks of an image at its original size; see `Dataset.load_mask`. Instances without pixels are skipped."""
        if not self.reads(image_id):
            return super().load_mask(image_id)
        size = self.image_size(image_id)
        drawn = [(self.annToMask(a, *size), class_id) for a, class_id in self._with_class_ids(image_id)]
        drawn = [(mask, class_id) for mask, class_id in drawn if mask.any()]
        if not drawn:
            return np.zeros((*size, 0), bool), np.zeros(0, np.int32)
        return np.stack([mask for mask, _ in drawn], axis=2), np.array([class_id for _, class_id in drawn], np.int32)

    def num_instances(self, image_id: Integer) -> int | None:
        """Count an image's annotations other than crowds; see `Dataset.num_instances`."""
        if not self.reads(image_id) or overrides_later(self, "load_mask", "num_instances"):
            return super().num_instances(image_id)
        return sum(not a.get("iscrowd") for a in self.annotations_of(image_id))

    def ground_truth(self, image_id: Integer) -> list[dict[str, Any]]:
        """Return the annotations with the areas and boxes that they list; see `Dataset.ground_truth`.

        A missing area or box is computed from the mask.
        """
        if not self.reads(image_id) or overrides_later(self, "load_mask", "ground_truth"):
            return super().ground_truth(image_id)
        size = self.image_size(image_id)
        instances = []
        for annotation, class_id in self._with_class_ids(image_id):
            rle = self.annToRLE(annotation, *size)
            y1, x1, y2, x2 = rle_bbox(rle)
            area, box = annotation.get("area"), annotation.get("bbox") or [x1, y1, x2 - x1, y2 - y1]
            instances.append({
                "class_id": abs(class_id),
                "segmentation": rle_to_json(rle),
                "bbox": [float(v) for v in box],
                "area": float(rle_area(rle) if area is None else area),
                "iscrowd": int(class_id < 0),
            })  # fmt: skip
        return instances

    def image_reference(self, image_id: Integer) -> str:
        """Return the name of an image's file."""
        return Path(self.image_info[image_id]["path"] or "").name

    def annToRLE(self, ann: Mapping[str, Any], height: Integer, width: Integer) -> Rle:
        """Encode the segmentation of an annotation as compressed RLE.

        Args:
            ann: the annotation.
            height: height of its image in pixels.
            width: width of its image in pixels.
        """
        return as_rle(segmentation_of(ann), (height, width))

    def annToMask(self, ann: Mapping[str, Any], height: Integer, width: Integer) -> Bool[np.ndarray, "H W"]:
        """Draw the segmentation of an annotation.

        Args:
            ann: the annotation.
            height: height of its image in pixels.
            width: width of its image in pixels.
        """
        return decode_rle(self.annToRLE(ann, height, width))


def is_ring(polygon: Sequence[Any]) -> bool:
    """Return whether a flat list of coordinates has at least three points and a y for each x."""
    return len(polygon) >= 6 and len(polygon) % 2 == 0


def rings_of(segmentation: Sequence[Any]) -> list[Any]:
    """Return the polygons that have at least three points."""
    return [polygon for polygon in segmentation if is_ring(polygon)]


def segmentation_of(annotation: Mapping[str, Any]) -> Rle | list[Any]:
    """Return an annotation's RLE, or its polygons that have at least three points."""
    segmentation = annotation["segmentation"]
    return segmentation if isinstance(segmentation, dict) else rings_of(segmentation)
