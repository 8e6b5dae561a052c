"""Findings of the data set doctor: the kinds with their advice, a single finding, and the collection of findings.

Shape letters: H W C image.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mrcnn.base.text import printable, short

ERROR, WARNING, INFO = SEVERITIES = ("error", "warning", "info")
# maximum number of findings kept per kind and severity; the rest are only counted
KEPT = 1000


class Kind(NamedTuple):
    """A kind of finding: its default severity, its title, and what to do about it."""

    severity: str
    title: str
    advice: str


# in the order in which reports list them
KINDS = {
    # annotation files
    "part_unreadable": Kind(ERROR, "unreadable annotation files", "repair or replace the file; other subsets were checked"),
    "list_missing": Kind(ERROR, "missing lists", "write the file again with images, annotations and categories"),
    "entry_malformed": Kind(ERROR, "malformed entries", "correct the field; --fix corrects it or drops the entry"),
    "number_reread": Kind(WARNING, "ids or sizes written in two ways",
                          "write whole numbers, and ids as in the lists; --fix does this"),
    "value_mended": Kind(WARNING, "values that are not in COCO's form, but have one reading",
                         "check the reading; --fix writes it"),
    "image_id_collision": Kind(ERROR, "images that share an id",
                               "give each image a unique id and update its annotations; --fix drops them all"),
    "annotation_id_collision": Kind(ERROR, "annotations that share an id", "renumber the annotations; --fix does this"),
    "annotation_orphan": Kind(ERROR, "annotations of unlisted images", "list the image; --fix drops the annotations"),
    "file_listed_twice": Kind(WARNING, "files listed as two images", "merge the two entries and their annotations"),
    "noted": Kind(INFO, "entries the reader mended or passed over", "nothing, if what it did is right"),
    "left_out": Kind(ERROR, "entries the reader skipped", "correct the entry at the given place"),
    "fields_missing": Kind(INFO, "annotations with missing fields",
                           "pycocotools needs id, area, bbox and iscrowd; --fix adds them"),
    # image files
    "image_outside": Kind(ERROR, "image files outside the data set folder",
                          "copy them into the folder, or pass --allow-outside; --fix drops the images"),
    "image_elsewhere": Kind(WARNING, "image files found by their names", "correct the names; --fix does this"),
    "image_missing": Kind(ERROR, "missing image files", "restore the files; --fix drops the images"),
    "image_unreadable": Kind(ERROR, "unreadable image files", "replace the files; --fix drops the images"),
    "image_truncated": Kind(ERROR, "truncated image files", "copy the files again; --fix drops the images"),
    "image_too_large": Kind(ERROR, "image files that declare too many pixels", "split the image; --fix drops it"),
    "size_swapped": Kind(WARNING, "width and height swapped by an EXIF orientation",
                         "rotate the annotations to match the stored pixels for other programs; --fix does this"),
    "size_mismatch": Kind(ERROR, "image sizes that differ from the file",
                          "correct the size, or rescale the annotations; --fix drops the images"),
    "exif_orientation": Kind(WARNING, "images with an EXIF orientation",
                             "pixels are read as stored: check that the annotations match, then remove the tag"),
    "values_dark": Kind(WARNING, "images of 16 bits that use few of them",
                        "give the number of bits that they use (--depth): otherwise they are nearly black"),
    "image_leak": Kind(ERROR, "duplicate images across subsets",
                       "keep each image in one subset: otherwise the evaluation measures memorisation"),
    "image_near_leak": Kind(WARNING, "near-duplicate images across subsets",
                            "keep them in one subset, or make sure they differ"),
    "image_duplicate": Kind(WARNING, "duplicate images", "keep one of them"),
    "image_near_duplicate": Kind(WARNING, "near-duplicate images", "keep one of them, or make sure they differ"),
    "image_without_objects": Kind(INFO, "images without annotations", "training skips them unless TRAIN_EMPTY_IMAGES=True"),
    "too_many_objects": Kind(WARNING, "images with more objects than MAX_GT_INSTANCES",
                             "raise MAX_GT_INSTANCES: otherwise each step of training uses a random choice of them"),
    # annotations
    "segmentation_missing": Kind(ERROR, "annotations without a segmentation",
                                 "draw the mask; --fix drops the annotations"),
    "segmentation_malformed": Kind(ERROR, "malformed segmentations",
                                   "redraw the mask; --fix drops what is malformed"),
    "polygon_outside": Kind(WARNING, "polygons that extend beyond the image",
                            "clip them to the image; --fix does this, and drops those entirely outside"),
    "polygon_crosses_itself": Kind(WARNING, "self-intersecting polygons", "redraw the outline: parts of it are inverted"),
    "mask_empty": Kind(ERROR, "empty masks", "delete the annotation; --fix does this"),
    "mask_one_pixel": Kind(WARNING, "one-pixel masks", "check for accidental clicks"),
    "box_malformed": Kind(ERROR, "malformed boxes", "a bbox is [x, y, width, height]; --fix computes it from the mask"),
    "box_outside": Kind(WARNING, "boxes that extend beyond the image",
                        "clip them to the image; --fix computes them from the masks"),
    "box_mismatch": Kind(WARNING, "boxes that do not match their masks", "compute them from the masks; --fix does this"),
    "area_mismatch": Kind(WARNING, "areas that do not match their masks", "compute them from the masks; --fix does this"),
    "annotation_duplicate": Kind(WARNING, "objects annotated twice", "keep one of the annotations; --fix does this"),
    "annotation_conflict": Kind(INFO, "objects annotated with two classes",
                                "choose one class, unless objects may have several"),
    "only_crowds": Kind(ERROR, "data without single objects",
                        "set iscrowd to 0 for single objects: it says what is annotated, not whether the mask is an RLE"),
    # classes
    "category_id_collision": Kind(ERROR, "categories that share an id",
                                  "give each category a unique id; --fix drops them, or merges those of the same name"),
    "category_name_collision": Kind(WARNING, "categories that share a name",
                                    "they are read as one class: rename one if they differ; --fix merges them"),
    "category_names_similar": Kind(WARNING, "classes with similar names",
                                   "if they are one class, give them the same name: names are compared letter by letter"),
    "category_missing": Kind(ERROR, "annotations of unlisted categories", "list the category; --fix drops the annotations"),
    "category_differs": Kind(ERROR, "category ids whose name differs between subsets",
                             "use the same categories in all subsets"),
    "category_not_trained": Kind(WARNING, "classes missing from the training subset", "split the data again, by class"),
    "category_unused": Kind(INFO, "classes without annotations", "if you do not need them, leave them out (--labels FILE)"),
    "category_ids_gaps": Kind(INFO, "category ids that are not 1, 2, 3, ...", "nothing: classes are renumbered on loading"),
    # the network's view of the objects
    "anchors_miss": Kind(WARNING, "objects that no anchor fits", "use the anchor scales and image size suggested below"),
}


class Place(NamedTuple):
    """Where a problem was found.

    Attributes:
        part: the subset; "" for a data set without subsets.
        file: the image file as named by the data set; "" if the finding does not concern an image.
        image_id, annotation_id: ids from the data set; None if the finding does not concern an image or annotation.
    """

    part: str = ""
    file: str = ""
    image_id: Any = None
    annotation_id: Any = None

    def __str__(self) -> str:
        """The place on one line, such as "val, a.jpg, image 3, annotation 17"."""
        words = [short(self.part), short(self.file)]
        words += [f"image {short(self.image_id)}"] if self.image_id is not None else []
        words += [f"annotation {short(self.annotation_id)}"] if self.annotation_id is not None else []
        return ", ".join(word for word in words if word)


class Picture(NamedTuple):
    """The contents of a finding's picture.

    Attributes:
        images: functions that each read one image [H, W, C].
        segmentation: polygons, an RLE dict, or any invalid value from the data set; drawn on the first image.
        box: bbox of the annotation, or any invalid value from the data set; drawn on the first image.
    """

    images: tuple[Callable[[], np.ndarray], ...]
    segmentation: Any = None
    box: Any = None


# Records a finding about an annotation: (kind, message, severity=None, weight=0.0); see `Findings.add`.
Note = Callable[..., None]


@dataclass(frozen=True)
class Finding:
    """A problem, or a note, about one place in the data.

    Attributes:
        kind: a key of KINDS.
        severity: one of SEVERITIES.
        message: what was found there.
        weight: severity relative to findings of the same kind; those with the highest weights get pictures.
    """

    kind: str
    severity: str
    place: Place
    message: str
    weight: float = 0.0
    picture: Picture | None = None

    @property
    def advice(self) -> str:
        """What to do about it."""
        return KINDS[self.kind].advice

    def __str__(self) -> str:
        """The place and the message on one line."""
        return f"{self.place}: {self.message}" if str(self.place) else self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain values for JSON."""
        ids = {"image_id": self.place.image_id, "annotation_id": self.place.annotation_id}
        return {
            "kind": self.kind,
            "severity": self.severity,
            "part": printable(self.place.part),
            "file": printable(self.place.file),
            **{name: v if v is None or isinstance(v, int) else printable(v) for name, v in ids.items()},
            "found": self.message,
            "todo": self.advice,
        }


class Findings:
    """A bounded collection of findings: it keeps the first KEPT of each kind and severity, and counts all.

    Attributes:
        kept: list of Finding.
        counts: counter of (kind, severity).
    """

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, kind: str, place: Place, message: str, *, severity: str | None = None, weight: float = 0.0,
            picture: Picture | None = None) -> None:  # fmt: skip
        """Add a finding.

        Args:
            kind: a key of KINDS.
            message: what was found. Unprintable characters are escaped, and a very long message is truncated.
            severity: one of SEVERITIES; None uses the default of the kind.
            weight, picture: see `Finding`.
        """
        severity = severity or KINDS[kind].severity
        self.counts[kind, severity] += 1
        if self.counts[kind, severity] <= KEPT:
            self.kept.append(Finding(kind, severity, place, short(message, 600), weight, picture))
