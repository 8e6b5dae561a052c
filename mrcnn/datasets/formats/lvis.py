"""LVIS: COCO's images with over a thousand categories, of which each image is searched for a few.

Layout: `lvis_v1_{subset}.json` (or v0.5) in the folder or in its `annotations/`, and COCO's images. A file is one of COCO's
instances with more fields: a category has its "frequency" in the training images (r: up to 10, c: up to 100, f: more),
an image "neg_category_ids" (looked for and not there) and "not_exhaustive_category_ids" (there, not all annotated). Images
are named by the end of "coco_url", such as val2017/000000266409.jpg: a subset of LVIS mixes those of COCO's.

Source: https://www.lvisdataset.org/dataset, and Gupta, Dollar and Girshick, LVIS, 2019.
"""

import os
import re
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotation_checks import is_id
from mrcnn.datasets.formats.coco import CocoDataset, check_size, has_lvis_fields, no_instances, read_annotations
from mrcnn.io.json_fields import field, shown
from mrcnn.io.paths import inside

FREQUENCIES = ("r", "c", "f")
_COCO_FOLDERS = ("train2017", "val2017", "test2017")


def recognise(path):
    """Say why a path is no LVIS data set, or None. Args: path: Path of a folder or a JSON file. Returns: str or None."""
    if path.is_dir():
        return None if _annotation_files(path) else "no lvis_v*_*.json in it or in its annotations/"
    reason = no_instances(path)
    if reason is None and not has_lvis_fields(path):
        return "its categories have no 'frequency', its images no 'neg_category_ids'"
    return reason


def subsets(path):
    """Name the parts of a folder in LVIS's layout. Args: path: folder or JSON file. Returns: list, [] for a file."""
    return sorted({subset for subset, _, _ in _annotation_files(Path(path))})


def open_subset(path, subset=None, *, version=None, images=None, allow_outside=False, progress=None):
    """Open a part of a folder in LVIS's layout, or a JSON file.

    Args:
        path: path of the folder, or of one JSON file.
        subset: str. Of a folder: as in the file names.
        version: str. Of a folder: as in the file names, such as "v1", needed where there are several.
        images: path. The folder of the images, or of COCO's train2017 and val2017. None takes `images/` where it is
            there and else the folder itself; for a file in a folder annotations/ the one around that.
        allow_outside: bool. Whether file names may lead out of the folder of the images.
        progress: see `read_annotations` and `CocoDataset.add_annotations`.

    Returns:
        LvisDataset, not prepared.

    Raises:
        DataError: a file is not in LVIS's format, or there are several versions and none was chosen.
    """
    path = Path(path)
    if path.is_file():
        root = path.parent.parent if path.parent.name == "annotations" else path.parent
    else:
        root, there = path, {found: file for name, found, file in _annotation_files(path) if name == subset}
        if not there:
            raise DataError(f"{path}: no lvis_v*_*.json in it or in its annotations/, which LVIS's layout has")
        if len(there) > 1 and version is None or version is not None and version not in there:
            raise DataError(f"{path}: the subset {subset!r} is there as {', '.join(there)}: say which (version), or give the "
                            "path of the file")  # fmt: skip
        path = there[version] if version else next(iter(there.values()))
    dataset = LvisDataset(allow_outside=allow_outside)
    image_dir = Path(images) if images is not None else root / "images" if (root / "images").is_dir() else root
    dataset.add_annotations(read_annotations(path, progress), image_dir, path, progress=progress)
    return dataset


def _annotation_files(folder):
    """List (subset, version, path) of the files of a folder; those of test images alone have no annotations."""
    found = []
    for path in [*sorted(folder.glob("lvis_v*.json")), *sorted(folder.glob("annotations/lvis_v*.json"))]:
        named = re.fullmatch(r"lvis_(v[\d.]+)_(.+)", path.stem)
        if named and not named[2].startswith("image_info"):
            found.append((named[2], named[1], path))
    return found


class LvisDataset(CocoDataset):
    """A data set in LVIS's format.

    Attributes:
        class_info: its entries have "frequency" beside what others have: "r", "c" or "f".
        image_info: its entries have "neg_category_ids" and "not_exhaustive_category_ids", lists of ids of the file.
    """

    source = "lvis"

    def __init__(self, class_map=None, *, allow_outside=False):
        """Make an empty data set; see `AnnotatedDataset`."""
        super().__init__(class_map, allow_outside=allow_outside)
        self._nested = {}

    def add_category(self, category, where):
        """Add a class with its frequency; see `CocoDataset.add_category`."""
        frequency = field(category, "frequency", str, where)
        if frequency not in FREQUENCIES:
            raise DataError(f"{where}: 'frequency' is {shown(frequency)}, expected r, c or f")
        known = len(self.class_info)
        super().add_category(category, where)
        if len(self.class_info) > known:
            self.class_info[-1]["frequency"] = frequency

    def add_listed_image(self, image, annotations, image_dir, where):
        """Add an image with what is known of the categories in it; see `CocoDataset.add_listed_image`."""
        check_size(image, where)
        known = {name: _ids(image, name, where) for name in ("neg_category_ids", "not_exhaustive_category_ids")}
        path, root = self._image_path(image, Path(image_dir), where)
        self.add_annotated_image(image["id"], path, (image["height"], image["width"]), annotations, root, **known)

    def _image_path(self, image, image_dir, where):
        """Find where an image lies, in the folder that its address names or among all in one: (path, root of it)."""
        url = field(image, "coco_url", str, where, default="")
        folder, _, name = url.rpartition("/")
        if not name:
            name = field(image, "file_name", str, where)
            return inside(image_dir, name, f"{where}: file_name", allow_outside=self.allow_outside), image_dir
        folder = folder.rpartition("/")[2] or "."
        flat, nested = (inside(image_dir, place, f"{where}: coco_url", allow_outside=self.allow_outside)
                        for place in (name, f"{folder}/{name}"))  # fmt: skip
        # the first image of a folder tells for all of it: a look at each of a hundred thousand would take long
        if folder not in self._nested:
            self._nested[folder] = os.path.isdir(nested.parent) or not os.path.exists(flat)
        if not self._nested[folder]:
            return flat, image_dir
        # folders of COCO's may be links to where COCO lies, as they may for COCO itself
        return nested, nested.parent if folder in _COCO_FOLDERS else image_dir

    def coverage(self, image_id):
        """Tell which classes are verified to be absent, and which may be annotated in part; see `Dataset.coverage`."""
        if not self.reads(image_id):
            return super().coverage(image_id)
        info = self.image_info[image_id]
        return self._class_ids(info["neg_category_ids"]), self._class_ids(info["not_exhaustive_category_ids"])

    def _class_ids(self, category_ids):
        """Translate ids of the file into a set of class ids, without those of classes that were not loaded."""
        found = {self.class_from_source_map.get(f"{self.source}.{category_id}") for category_id in category_ids}
        return frozenset(found - {None})


def _ids(image, name, where):
    """Take a list of category ids."""
    ids = field(image, name, list, where)
    for i, category_id in enumerate(ids):
        if not is_id(category_id):
            raise DataError(f"{where}: {name}[{i}] is {shown(category_id)}, expected the id of a category")
    return ids
