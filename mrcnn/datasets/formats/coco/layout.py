"""Where the annotation files of a folder are, and the images that each of them lists.

annotations/instances_SUBSETYEAR.json   COCO, and CVAT, whose images are in images/ or images/SUBSET/
annotations/instances.json              undivided
SUBSET/_annotations.coco.json           Roboflow, with the images beside the file
labels.json and data/                   FiftyOne, in the folder or in SUBSET/
any other JSON file of instances        in the folder, in annotations/ or in SUBSET/, if the folder holds no other format
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.datasets.folders import PARTS, folders_of_others, json_files, mentions, part_folders, part_name
from mrcnn.io.file_finder import FileFinder
from mrcnn.io.json_fields import json_outline

# the lists that a file of instances has
LISTS = ("images", "annotations", "categories")
# subsets of the 2014 validation set, whose images are in the folder of that set
_VAL_SUBSETS = ("minival", "valminusminival")
# the JSON files that are opened to find out whether a folder of unknown files is a COCO data set
_LOOKED_AT = 20
# what the beginning or end of a JSON file of another format holds
_OTHER_FORMATS = (b'"shapes"', b'"regions"', b'"_via_img_metadata"')


@dataclass(frozen=True)
class CocoFile:
    """An annotation file.

    Attributes:
        path: the file.
        subset: its subset, None if the data set is undivided.
        year: as in the file name, "" for none.
        folders: the folders that its images' names may be relative to, the most likely one first.
        root: the folder of the data set, in which images are looked for by name.
    """

    path: Path
    subset: str | None
    year: str
    folders: tuple[Path, ...]
    root: Path

    def finder(self, allow_outside: bool = False) -> FileFinder:
        """Return a finder of its images."""
        return FileFinder(self.folders, self.root, elsewhere=folders_of_others(self.subset), allow_outside=allow_outside)


def coco_files(folder: Path) -> list[CocoFile]:
    """List the annotation files of a folder whose names belong to a layout of this format."""
    named = [coco_file(folder, subset, year) for subset, year, _ in sorted(annotation_files(folder))]
    single = folder / "annotations" / "instances.json"
    if named or single.is_file():
        return named or [_undivided(single, folder)]
    for export in (_roboflow, _fiftyone):
        files = _in_parts(folder, export)
        if files:
            return files
    return []


def other_coco_files(folder: Path) -> list[CocoFile]:
    """List the annotation files of a folder by their content; [] if JSON files of another format are in it."""
    names = list(islice(json_files(folder), _LOOKED_AT))
    if any(mentions(folder / name, _OTHER_FORMATS) for name in names):
        return []
    at_once = [path for place in (folder, folder / "annotations") for path in _json_instances(place)]
    if at_once:
        files = {_subset_of(path): path for path in at_once}
        if len(files) < len(at_once):
            files = {path.stem: path for path in at_once}
        if len(at_once) == 1:
            return [_undivided(at_once[0], folder)]
        return [CocoFile(path, subset, "", _folders(folder, subset, "", path), folder)
                for subset, path in sorted(files.items())]  # fmt: skip
    return _in_parts(folder, lambda part: next(iter(_json_instances(part)), None))


def file_layout(path: Path) -> CocoFile:
    """Return where the images of an annotation file are: in the layout that it is part of, or in its own folder."""
    above = path.parent.parent
    for folder in (path.parent, above):
        for file in coco_files(folder):
            if file.path == path:
                return file
    return _undivided(path, above if path.parent.name == "annotations" else path.parent)


def annotation_files(folder: Path, kind: str = "instances") -> list[tuple[str, str, Path]]:
    """List the annotation files of a folder in COCO's own layout.

    Args:
        folder: the folder.
        kind: start of the file names: "instances" or "panoptic".

    Returns:
        (subset, year, path) of each; the year is "" if the name has none.
    """
    files = []
    for path in sorted(folder.glob(f"annotations/{kind}_*.json")):
        match = re.fullmatch(rf"{kind}_(.+?)(\d{{4}})?", path.stem, re.DOTALL | re.ASCII)
        if match:
            files.append((match[1], match[2] or "", path))
    return files


def coco_file(folder: Path, subset: str, year: str | int) -> CocoFile:
    """Return a file in COCO's own layout, which may not exist.

    Args:
        folder: the folder that has annotations/ in it.
        subset: the subset in the file name.
        year: "" for none.
    """
    path = folder / "annotations" / f"instances_{subset}{year}.json"
    return CocoFile(path, subset, str(year), _folders(folder, subset, year, path), folder)


def _folders(root: Path, subset: str, year: str | int, path: Path) -> tuple[Path, ...]:
    """Return the folders in which programs store the images of a subset."""
    name = "val" if subset in _VAL_SUBSETS else subset
    places = [root / place for place in (f"{name}{year}", f"images/{name}{year}", name, f"images/{name}", "images")]
    # if there is none, a message about missing images names COCO's own
    return tuple(dict.fromkeys([*([place for place in places if place.is_dir()] or places[:1]), root, path.parent]))


def _undivided(path: Path, root: Path) -> CocoFile:
    folders = dict.fromkeys([path.parent, root / "images", root] if path.parent == root else [root / "images", root])
    return CocoFile(path, None, "", tuple(folder for folder in folders if folder.is_dir()), root)


def _in_parts(folder: Path, export: Callable[[Path], Path | None]) -> list[CocoFile]:
    """List the files that a program exports to a folder, or to its subfolders train, val and test."""
    path = export(folder)
    if path is not None:
        return [CocoFile(path, None, "", _beside(path), folder)]
    parts = part_folders(folder, export)
    return [CocoFile(file, subset, "", _beside(file), part) for subset, part in parts.items() if (file := export(part))]


def _beside(path: Path) -> tuple[Path, ...]:
    folders = [path.parent / "data", path.parent, path.parent / "images"]
    return tuple(folder for folder in folders if folder.is_dir() and (folder.name != "data" or path.name == "labels.json"))


def _roboflow(folder: Path) -> Path | None:
    path = folder / "_annotations.coco.json"
    return path if path.is_file() else None


def _fiftyone(folder: Path) -> Path | None:
    path = folder / "labels.json"
    return path if path.is_file() and (folder / "data").is_dir() else None


def _json_instances(folder: Path) -> list[Path]:
    """Return the JSON files of instances in a folder itself."""
    paths = sorted(path for path in folder.glob("*.json") if path.is_file() and not path.name.startswith("."))
    return [path for path in paths[:_LOOKED_AT] if _is_instances(path)] if len(paths) <= _LOOKED_AT else []


def _is_instances(path: Path) -> bool:
    try:
        return no_instances(path) is None and not has_lvis_fields(path)
    except DataError:
        return False


def _subset_of(path: Path) -> str:
    """Return the subset that a file name tells, such as val for toys_val.json; else the name itself."""
    words = {part_name(word) for word in re.split(r"[^a-z]+", path.stem.lower())} & set(PARTS)
    return words.pop() if len(words) == 1 else path.stem


# --- the content of a file


def no_instances(path: Path) -> str | None:
    """Return why a file does not hold COCO instances, None if it does."""
    if path.suffix.lower() != ".json":
        return "not a folder or a .json file"
    outline = json_outline(path)
    missing = [key for key in LISTS if key not in outline]
    if missing:
        return f"the JSON has no {missing[0]!r}"
    return "its annotations are of panoptic segments" if "segments_info" in outline["annotations"] else None


def has_lvis_fields(path: Path) -> bool:
    """Return whether a file of instances has the lists of categories that LVIS adds to the images of COCO's format.

    The frequency of its categories, which LVIS adds too, is also in subsets that were made complete.
    """
    return "neg_category_ids" in json_outline(path)["images"]
