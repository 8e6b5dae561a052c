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
from mrcnn.datasets.ids import Id, is_id
from mrcnn.geometry.boxes import Integer
from mrcnn.io.json_fields import field, shown
from mrcnn.io.paths import inside

FREQUENCIES = ("r", "c", "f")
_COCO_FOLDERS = ("train2017", "val2017", "test2017")


def recognise(path: Path) -> str | None:
    """Return None for a folder in LVIS's layout or one of its JSON files, else why it is neither."""
    if path.is_dir():
        return None if _annotation_files(path) else "no lvis_v*_*.json in it or in its annotations/"
    reason = no_instances(path)
    if reason is None and not has_lvis_fields(path):
        return "its categories have no 'frequency', its images no 'neg_category_ids'"
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
            raise DataError(f"{path} has the subset {subset!r} in the versions {', '.join(files)}: say which (version), or "
                            "give the path of the file")  # fmt: skip
        path = files[version] if version else next(iter(files.values()))
    dataset = LvisDataset(allow_outside=allow_outside)
    image_dir = Path(images) if images is not None else root / "images" if (root / "images").is_dir() else root
    dataset.add_annotations(read_annotations(path, progress), image_dir, path, progress=progress)
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

    def __init__(self, class_map: Mapping[str, str] | None = None, *, allow_outside: bool = False) -> None:
        """Create an empty data set; see `AnnotatedDataset`."""
        super().__init__(class_map, allow_outside=allow_outside)
        self._nested: dict[str, bool] = {}

    def add_category(self, category: Mapping[str, Any], where: str) -> None:
        """Add a class with its frequency; see `CocoDataset.add_category`."""
        frequency = field(category, "frequency", str, where)
        if frequency not in FREQUENCIES:
            raise DataError(f"{where}: 'frequency' is {shown(frequency)}, expected r, c or f")
        known = len(self.class_info)
        super().add_category(category, where)
        if len(self.class_info) > known:
            self.class_info[-1]["frequency"] = frequency

    def add_listed_image(
        self, image: Mapping[str, Any], annotations: Sequence[dict[str, Any]], image_dir: Path | str, where: str
    ) -> None:
        """Add an image with its absent and partly annotated categories; see `CocoDataset.add_listed_image`."""
        check_size(image, where)
        known = {name: _ids(image, name, where) for name in ("neg_category_ids", "not_exhaustive_category_ids")}
        path, root = self._image_path(image, Path(image_dir), where)
        self.add_annotated_image(image["id"], path, (image["height"], image["width"]), annotations, root, **known)

    def _image_path(self, image: Mapping[str, Any], image_dir: Path, where: str) -> tuple[Path, Path]:
        """Find an image in the folder that its URL names, or in one folder of all images: (path, its root)."""
        url = field(image, "coco_url", str, where, default="")
        folder, _, name = url.rpartition("/")
        if not name:
            name = field(image, "file_name", str, where)
            return inside(image_dir, name, f"{where}: file_name", allow_outside=self.allow_outside), image_dir
        folder = folder.rpartition("/")[2] or "."
        flat, nested = (inside(image_dir, place, f"{where}: coco_url", allow_outside=self.allow_outside)
                        for place in (name, f"{folder}/{name}"))  # fmt: skip
        # the first image of a folder decides for all of them: looking for each of a hundred thousand would be slow
        if folder not in self._nested:
            self._nested[folder] = os.path.isdir(nested.parent) or not os.path.exists(flat)
        if not self._nested[folder]:
            return flat, image_dir
        # COCO's folders may be links to the folder where COCO is stored, as in COCO's own layout
        return nested, nested.parent if folder in _COCO_FOLDERS else image_dir

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
    ids = field(image, name, list, where)
    for i, category_id in enumerate(ids):
        if not is_id(category_id):
            raise DataError(f"{where}: {name}[{i}] is {shown(category_id)}, expected the id of a category")
    return ids
