"""What the doctor says: the kinds of findings, one finding, and the list that they are collected in."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from mrcnn.base.text import printable, short

ERROR, WARNING, INFO = SEVERITIES = ("error", "warning", "info")
# findings of one kind and severity that are kept one by one; the others are counted
KEPT = 1000


class Kind(NamedTuple):
    """A kind of finding. Attributes: severity: str, its usual one; title: str; todo: str, what to do about it."""

    severity: str
    title: str
    todo: str


# in the order in which they are shown
KINDS = {
    # the files of the annotations
    "part_unreadable": Kind(ERROR, "annotations that cannot be read", "mend or replace the file; the others were checked"),
    "list_missing": Kind(ERROR, "a list of the format is missing", "write the file anew with images, annotations, categories"),
    "entry_malformed": Kind(ERROR, "entries of the wrong shape", "correct the field, or take the entry out (--fix does)"),
    "image_id_collision": Kind(ERROR, "images that share an id", "give each image an id of its own, in its annotations too"),
    "annotation_id_collision": Kind(ERROR, "annotations that share an id", "number the annotations anew (--fix does)"),
    "annotation_orphan": Kind(ERROR, "annotations of images that are not listed", "list the image, or drop them (--fix does)"),
    "file_listed_twice": Kind(WARNING, "a file that is listed as two images", "join the two entries and their annotations"),
    "left_out": Kind(ERROR, "what the reader of the format left out", "correct it at the place that is named"),
    "fields_missing": Kind(INFO, "annotations that lack fields", "pycocotools needs id, area, bbox, iscrowd (--fix adds them)"),
    # the image files
    "image_outside": Kind(ERROR, "image files outside the data set's folder", "copy them in, or use --allow-outside"),
    "image_missing": Kind(ERROR, "image files that are missing", "put the files back, or drop the images (--fix does)"),
    "image_unreadable": Kind(ERROR, "image files that cannot be read", "replace the files, or drop the images (--fix does)"),
    "image_truncated": Kind(ERROR, "image files that break off", "copy the files anew, or drop the images (--fix does)"),
    "image_too_large": Kind(ERROR, "image files that declare too many pixels", "cut the image into pieces, or drop it"),
    "size_swapped": Kind(ERROR, "width and height swapped by an EXIF orientation",
                         "turn the annotations to the stored pixels (--fix does)"),
    "size_mismatch": Kind(ERROR, "a size that is not the file's", "correct the size, or scale the annotations to the file"),
    "exif_orientation": Kind(WARNING, "images with an EXIF orientation",
                             "pixels are read as stored: look whether the annotations lie right, and remove the tag"),
    "image_leak": Kind(ERROR, "images that are in two parts", "keep each in one part: the evaluation is worth nothing"),
    "image_near_leak": Kind(WARNING, "images that look alike in two parts", "keep them in one part, or make sure they differ"),
    "image_duplicate": Kind(WARNING, "images that are there twice", "keep one of them"),
    "image_near_duplicate": Kind(WARNING, "images that look alike", "keep one of them, or make sure they differ"),
    "image_without_objects": Kind(INFO, "images without annotations", "training leaves them out unless TRAIN_EMPTY_IMAGES"),
    # the annotations
    "segmentation_missing": Kind(ERROR, "annotations without a segmentation", "draw the mask, or drop them (--fix does)"),
    "segmentation_malformed": Kind(ERROR, "segmentations that are none", "draw the mask anew, or drop them (--fix does)"),
    "polygon_outside": Kind(WARNING, "polygons that leave the image", "cut them off at the border (--fix does)"),
    "polygon_crosses_itself": Kind(WARNING, "polygons that cross themselves", "draw the outline anew: parts are inside out"),
    "mask_empty": Kind(ERROR, "masks without a pixel", "drop the annotation (--fix does)"),
    "mask_one_pixel": Kind(WARNING, "masks of one pixel", "look whether it is a slip of the mouse"),
    "box_malformed": Kind(ERROR, "boxes that are none", "a bbox is [x, y, width, height] (--fix computes it)"),
    "box_outside": Kind(WARNING, "boxes that leave the image", "cut them off at the border (--fix does)"),
    "box_mismatch": Kind(WARNING, "boxes that do not fit their masks", "compute them from the masks (--fix does)"),
    "area_mismatch": Kind(WARNING, "areas that do not fit their masks", "compute them from the masks (--fix does)"),
    "annotation_duplicate": Kind(WARNING, "objects that are annotated twice", "keep one of the annotations (--fix does)"),
    "annotation_conflict": Kind(INFO, "objects of two classes", "decide on one, unless objects may have several"),
    # the classes
    "category_id_collision": Kind(ERROR, "categories that share an id", "give each category an id of its own"),
    "category_name_collision": Kind(WARNING, "categories that share a name", "join them, or name them apart"),
    "category_missing": Kind(ERROR, "annotations of categories that are not listed", "list it, or drop them (--fix does)"),
    "category_differs": Kind(ERROR, "an id that is another category in another part", "use the same categories in all parts"),
    "category_not_trained": Kind(WARNING, "classes that are not in the part for training", "split the data anew, by class"),
    "category_unused": Kind(INFO, "classes without an annotation", "take them out if they are not to be learnt"),
    "category_ids_gaps": Kind(INFO, "category ids that are not 1, 2, 3, ...", "nothing: classes are numbered on reading"),
    # the objects for the network
    "anchors_miss": Kind(WARNING, "objects that no anchor fits", "take the anchor scales and the image size suggested below"),
}


class Place(NamedTuple):
    """Where something was found.

    Attributes:
        part: str. The subset, or the file.
        file: str. The image file as the data name it, "" if it is about no image.
        image_id, annotation_id: int or str as in the data, None if it is about none.
    """

    part: str = ""
    file: str = ""
    image_id: Any = None
    annotation_id: Any = None

    def __str__(self):
        """One line, such as "val, a.jpg, image 3, annotation 17"."""
        words = [short(self.part), short(self.file)]
        words += [f"image {short(self.image_id)}"] if self.image_id is not None else []
        words += [f"annotation {short(self.annotation_id)}"] if self.annotation_id is not None else []
        return ", ".join(word for word in words if word)


class Picture(NamedTuple):
    """What a picture of a finding shows.

    Attributes:
        images: tuple of functions without arguments, each reads an image: [H, W, C].
        segmentation: list of polygons, RLE dict, or None. Drawn on the first image.
        box: [x, y, width, height], or None. Drawn too.
    """

    images: tuple
    segmentation: Any = None
    box: Any = None


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: str, a key of KINDS.
        severity: "error", "warning" or "info".
        place: Place.
        found: str. What was found there.
        weight: float. How bad it is among its kind, more is worse: the worst are shown in pictures.
        picture: Picture, or None.
    """

    kind: str
    severity: str
    place: Place
    found: str
    weight: float = 0.0
    picture: Picture | None = None

    @property
    def todo(self):
        """What to do about it: str."""
        return KINDS[self.kind].todo

    def told(self):
        """Where it is and what was found, in one line: str."""
        return f"{self.place}: {self.found}" if str(self.place) else self.found

    def to_dict(self):
        """The finding as JSON can hold it: a dict of str, numbers and None."""
        ids = {"image_id": self.place.image_id, "annotation_id": self.place.annotation_id}
        return {
            "kind": self.kind,
            "severity": self.severity,
            "part": printable(self.place.part),
            "file": printable(self.place.file),
            **{name: v if v is None or isinstance(v, int) else printable(v) for name, v in ids.items()},
            "found": self.found,
            "todo": self.todo,
        }


class Findings:
    """A list of findings that stays small: of each kind and severity, the first KEPT are kept, and all are counted.

    Attributes:
        kept: list of Finding.
        counts: Counter of (kind, severity).
    """

    def __init__(self):
        self.kept = []
        self.counts = Counter()

    def add(self, kind, place, found, *, severity=None, weight=0.0, picture=None):
        """Add a finding.

        Args:
            kind: str, a key of KINDS.
            place: Place.
            found: str. What was found. Names from the data are made printable, and what is very long is cut.
            severity: str. None takes the usual one of the kind.
            weight, picture: see `Finding`.
        """
        severity = severity or KINDS[kind].severity
        self.counts[kind, severity] += 1
        if self.counts[kind, severity] <= KEPT:
            self.kept.append(Finding(kind, severity, place, short(found, 600), weight, picture))
