"""LVIS: COCO's images with over a thousand categories, only a few of which were annotated in each image.

Layout: `lvis_v1_{subset}.json` (or v0.5) in the folder or in its `annotations/`, and COCO's images. A file is a COCO
instances file with more fields: a category has its "frequency" in the training images (r: up to 10, c: up to 100, f: more);
an image has "neg_category_ids" (searched for and absent) and "not_exhaustive_category_ids" (present, not all annotated).
The end of "coco_url", such as val2017/000000266409.jpg, names the image file, since a subset of LVIS mixes subsets of COCO.

Source: https://www.lvisdataset.org/dataset, and Gupta, Dollar and Girshick, LVIS, 2019.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages
from mrcnn.datasets.formats.coco import CocoDataset, check_size, has_lvis_fields, no_instances, read_annotations
from mrcnn.datasets.formats.coco.dataset import ids_of_labels
from mrcnn.datasets.ids import Id, is_id
from mrcnn.geometry.boxes import Integer
from mrcnn.io.file_finder import FileFinder, Found
from mrcnn.io.json_fields import field, shown

FREQUENCIES = ("r", "c", "f")
_COCO_FOLDERS = ("train2017", "val2017", "test2017")


def recognise(path: Path) -> str | None:
    """Return None for a folder in LVIS's layout or one of its JSON files, else why it is neither."""
    if path.is_dir():
        return None if _annotation_files(path) else "no lvis_v*_*.json in it or in its annotations/"
    reason = no_instances(path)
    if reason is None and not has_lvis_fields(path):
        return "its images have no 'neg_category_ids'"
    return reason


def subsets(path: Path | str) -> list[str]:
    """Return the subsets of a folder in LVIS's layout; [] for a file."""
    return sorted({subset for subset, _, _ in _annotation_files(Path(path))})


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    version: str | None = None,
    images: Path | str | None = None,
    labels: Iterable[object] | os.PathLike[str] | str | None = None,
    encoding: str | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "LvisDataset":
    """Open a subset of a folder in LVIS's layout, or a JSON file.

    Args:
        path: the folder, or a JSON file.
        subset: for a folder: the subset in the file names.
        version: for a folder: the version in the file names, such as "v1", needed if there are several.
        images: folder of the images, or of COCO's train2017 and val2017. None uses `images/` if it exists, else the
            folder itself; for a file in a folder annotations/, the parent of that folder.
        encoding: of a JSON file that is not UTF-8.
        labels: see `coco.open_subset`.
        allow_outside: whether file names may point outside the folder of the images.
        progress: reports the stages of `read_annotations` and `CocoDataset.add_annotations`.

    Returns:
        The data set, not prepared.

    Raises:
        DataError: a file is not in LVIS's format, or there are several versions and none was chosen.
    """
    path = Path(path)
    if path.is_file():
        root = path.parent.parent if path.parent.name == "annotations" else path.parent
    else:
        root, files = path, {its_version: file for name, its_version, file in _annotation_files(path) if name == subset}
        if not files:
            raise DataError(f"{path}: no lvis_v*_*.json in it or in its annotations/, which LVIS's layout has")
        if len(files) > 1 and version is None or version is not None and version not in files:
            raise DataError(f"{path} has the subset {subset!r} in the versions {', '.join(files)}: say which "
                            "with version=V (--lvis-version V), or give the path of the file")  # fmt: skip
        path = files[version] if version else next(iter(files.values()))
    dataset = LvisDataset(allow_outside=allow_outside)
    image_dir = Path(images) if images is not None else root / "images" if (root / "images").is_dir() else root
    content = read_annotations(path, progress, dataset.notes, encoding)
    class_ids = None if labels is None else ids_of_labels(content["categories"], labels, path)
    dataset.add_annotations(content, image_dir, path, class_ids, all_images=True, progress=progress)
    return dataset


def _annotation_files(folder: Path) -> list[tuple[str, str, Path]]:
    """List (subset, version, path) of the annotation files in a folder, except test sets, which have no annotations."""
    files = []
    for path in [*sorted(folder.glob("lvis_v*.json")), *sorted(folder.glob("annotations/lvis_v*.json"))]:
        match = re.fullmatch(r"lvis_(v[\d.]+)_(.+)", path.stem)
        if match and not match[2].startswith("image_info"):
            files.append((match[2], match[1], path))
    return files


class LvisDataset(CocoDataset):
    """A data set in LVIS's format.

    Attributes:
        class_info: each class also has "frequency": "r", "c" or "f".
        image_info: each image also has "neg_category_ids" and "not_exhaustive_category_ids", category ids in the file.
    """

    source = "lvis"

    def add_category(self, category: Mapping[str, Any], where: str) -> None:
        """Add a class with its frequency; see `CocoDataset.add_category`."""
        frequency = field(category, "frequency", str, where, default=None)
        if frequency not in FREQUENCIES:
            raise DataError(f"{where}: 'frequency' is {shown(frequency)}, expected r, c or f (rare, common or frequent): write "
                            "one of them, by which LVIS groups its metrics")  # fmt: skip
        known = len(self.class_info)
        super().add_category(category, where)
        if len(self.class_info) > known:
            self.class_info[-1]["frequency"] = frequency

    def add_listed_image(
        self, image: Mapping[str, Any], annotations: Sequence[dict[str, Any]], finder: FileFinder, where: str
    ) -> None:
        """Add an image with its absent and partly annotated categories; see `CocoDataset.add_listed_image`."""
        check_size(image, where)
        known = {name: _ids(image, name, where) for name in ("neg_category_ids", "not_exhaustive_category_ids")}
        found = self._find_image(image, finder, where)
        if found is not None:
            size = image["height"], image["width"]
            self.add_annotated_image(image["id"], found.path, size, annotations, found.root, **known)

    def _find_image(self, image: Mapping[str, Any], finder: FileFinder, where: str) -> Found | None:
        """Find an image in the folder that its URL names, or in one folder of all images."""
        folder, _, name = field(image, "coco_url", str, where, default="").rpartition("/")
        if not name:
            # LVIS has no file_name: COCO's images are named by their ids in twelve digits
            name = field(image, "file_name", str, where, default=f"{image['id']:0>12}.jpg")
            # LVIS 0.5 keeps names of 2014, such as COCO_train2014_000000000009.jpg, of images that are in train2017 or val2017
            newer = re.sub(r"^COCO_(train|val)2014_", "", name)
            others = [newer, *(f"{folder}/{newer}" for folder in _COCO_FOLDERS)] if newer != name else []
            return self.found(image["id"], finder, name, *others)
        folder = folder.rpartition("/")[2] or "."
        found = self.found(image["id"], finder, f"{folder}/{name}", name, name_field="coco_url")
        # COCO's folders may be links to the folder where COCO is stored, as in COCO's own layout
        is_linked = found is not None and folder in _COCO_FOLDERS and found.path.parent == finder.folders[0] / folder
        return found._replace(root=found.path.parent) if found is not None and is_linked else found

    def coverage(self, image_id: Integer) -> tuple[Set[int], Set[int]] | None:
        """Return the classes verified to be absent, and those annotated only in part; see `Dataset.coverage`."""
        if not self.reads(image_id):
            return super().coverage(image_id)
        info = self.image_info[image_id]
        return self._class_ids(info["neg_category_ids"]), self._class_ids(info["not_exhaustive_category_ids"])

    def _class_ids(self, category_ids: Iterable[Id]) -> frozenset[int]:
        """Convert category ids to class ids, skipping classes that were not loaded."""
        class_ids = (self.class_from_source_map.get(f"{self.source}.{category_id}") for category_id in category_ids)
        return frozenset(class_id for class_id in class_ids if class_id is not None)


def _ids(image: Mapping[str, Any], name: str, where: str) -> list[Id]:
    """Return a field that is a list of category ids."""
    if image.get(name) is None:
        advice = ('read the file as COCO (format="coco", --format coco)' if image.get("file_name") is not None
                  else "write [] for it")  # COCO's images need a file_name
        raise DataError(f"{where} has no field {name!r}, which LVIS has: if all categories were annotated in all images, "
                        + advice)  # fmt: skip
    ids = field(image, name, list, where)
    for i, category_id in enumerate(ids):
        if not is_id(category_id):
            raise DataError(f"{where}: {name}[{i}] is {shown(category_id)}, expected the id of a category")
    return ids
