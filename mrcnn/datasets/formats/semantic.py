"""Semantic maps: next to each image a PNG whose pixels are class ids.

Layout: images in images/, maps in masks/ under the same names (`images/a.jpg`, `masks/a.png`), sub-folders included; or
`train/images` and `train/masks`; or `images/train` and `masks/train`. A map is grey of 8 or 16 bits, or has a palette, of
which the numbers count and not the colours. 0 is background; pixels of 255 are ignored and belong to no instance.

The classes are listed in classes.txt or labels.txt (a name per line, from id 1, or from 0 where the first is "background"), or
in classes.json or labels.json ({"1": "cat"}, [{"id": 1, "name": "cat"}] or ["cat"]). Without such a file they are the
numbers that the maps contain.

A map does not distinguish objects of one class: an instance is a connected component of a class, or all of the class.

Shape letters: H W image, N instances.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.measure
from jaxtyping import Bool, Int64, Integer, UInt16

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import read_lines
from mrcnn.datasets.folders import PARTS, part_name
from mrcnn.geometry.boxes import Integer as Index
from mrcnn.io.images import image_names, read_stored
from mrcnn.io.json_fields import field, read_json, shown
from mrcnn.io.orientation import read_orientation, turned_size
from mrcnn.io.paths import refuse_link

CLASS_FILES = ("classes.txt", "labels.txt", "classes.json", "labels.json")
MAX_CLASSES = 5000
# the largest value of a pixel
MAX_ID = 65535
# without the underscores that some tools put around these names
_BACKGROUND_NAMES = ("background", "bg")
_IGNORE_NAME = "ignore"
# names of the folders of subsets
_PART_FOLDERS = (*(name for names in PARTS.values() for name in names), "trainval")
IGNORE = 255
# more pieces than any scene has: noise, or a picture that is not a map
MAX_COMPONENTS = 10_000


def recognise(path: Path) -> str | None:
    """Return None for a folder of semantic maps, else why it is not one."""
    if not path.is_dir():
        return "not a folder"
    parts = _parts(path)
    if not parts:
        return "no images/ next to masks/"
    return None if any(_pairs(*folders)[0] for folders in parts.values()) else "no PNG in masks/ has the name of an image"


def subsets(path: Path | str) -> list[str]:
    """Return the subsets, [] when the folder is undivided."""
    return [name for name in _parts(Path(path)) if name is not None]


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    labels: Path | str | list[Any] | tuple[Any, ...] | None = None,
    per_class: bool = False,
    ignore: int = IGNORE,
    min_area: int = 1,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "SemanticMapDataset":
    """Open a folder of semantic maps, or a subset of it.

    Args:
        path: the folder.
        subset: train, val, ...
        labels: a file of classes, or their names; None for the file of the folder.
        per_class: True makes one instance of all pixels of a class, False one of each connected component.
        ignore: nothing is known of pixels of this value: they belong to no instance. 0 ignores none.
        min_area: components of fewer pixels are left out.
        allow_outside: whether links may lead out of the folder.
        progress: stage "reading", of maps, where no file names their classes.

    Returns:
        Not prepared.

    Raises:
        DataError: the subset does not exist, or the classes are damaged or cannot be determined.
        ValueError: `ignore` or `min_area` is out of range.
    """
    path, parts = Path(path), _parts(Path(path))
    if subset not in parts:
        raise DataError(f"{path}: no images/ next to masks/" + (f" of the subset {subset!r}" if subset else "")
                        + f"; its subsets are {', '.join(filter(None, parts)) or 'none'}")  # fmt: skip
    images, masks = parts[subset]
    dataset = SemanticMapDataset(per_class=per_class, ignore=ignore, min_area=min_area, allow_outside=allow_outside)
    dataset.add_maps(images, masks)
    names, file = find_classes([path, images.parent, masks], labels)
    with (progress or unseen)("reading") as show:
        dataset.name_classes(path, names, file, progress=show)
    dataset.log_skipped(path, "files")
    return dataset


class SemanticMapDataset(AnnotatedDataset):
    """A data set of semantic maps; a map is read when its instances are loaded.

    Attributes:
        numbers: the values that the maps may contain besides the background and the ignored value.
        named_by: the file that names them, or what to make.
    """

    source = "semantic"

    def __init__(
        self,
        class_map: Mapping[str, str] | None = None,
        *,
        per_class: bool = False,
        ignore: int = IGNORE,
        min_area: int = 1,
        allow_outside: bool = False,
    ) -> None:
        """Make an empty data set. Args: class_map: see `Dataset.prepare`; the others: see `open_subset`."""
        super().__init__(class_map, allow_outside=allow_outside)
        if not 0 <= ignore <= MAX_ID or min_area < 1:
            raise ValueError(f"ignore is {ignore} and min_area {min_area}, expected 0 to {MAX_ID}, and at least 1")
        self.per_class, self.ignore, self.min_area = per_class, ignore, min_area
        self.numbers: set[int] = set()
        self.named_by: Path | str | None = None

    def add_maps(self, images: Path, masks: Path) -> None:
        """Add the images that have a map of their name. Args: images, masks: their folders."""
        pairs, lonely = _pairs(images, masks)
        for name, image, class_map in pairs:
            self.add_annotated_image(name, images / image, None, None, images, map=str(masks / class_map), map_root=str(masks))
        for where, reason in lonely:
            self.skip(where, reason)

    def name_classes(
        self,
        path: Path | str,
        names: Mapping[int, str] | None,
        file: Path | None = None,
        progress: Show | None = None,
    ) -> None:
        """Add the classes.

        Args:
            path: the data set, for messages.
            names: by id; None takes the ids that the maps contain: each map is then read.
            file: the file that names them, for messages.
            progress: called after each map that is read.

        Raises:
            DataError: the ignored value has a name, or the maps contain no class.
        """
        if names is None:
            names = {number: f"class {number}" for number in self._numbers_in_maps(path, progress)}
        elif self.ignore in names:
            raise DataError(f"{file or path}: the class {names[self.ignore]!r} has the id {self.ignore}, which is "
                            "ignored: give another value to ignore (ignore=..., --ignore), 0 for none")  # fmt: skip
        self.numbers, self.named_by = set(names), file or "a file of classes, such as classes.json"
        for number, name in sorted(names.items()):
            self.add_class(self.source, number, name)

    def _numbers_in_maps(self, path: Path | str, progress: Show | None) -> set[int]:
        """Read all maps, skip the images of those that cannot be read, and return the class ids."""
        class_ids: set[int] = set()
        usable, ignored = [], False
        for info in tracked(self.image_info, progress):
            try:
                numbers = set(np.flatnonzero(np.bincount(self._read_map(info).ravel())).tolist())
            except DataError as error:
                self.skip(info["map"], str(error))
                continue
            usable.append(info)
            ignored |= self.ignore in numbers - {0}
            class_ids |= numbers - {0, self.ignore}
            if len(class_ids) > MAX_CLASSES:
                raise DataError(f"{path}: the maps contain more than {MAX_CLASSES} values, up to {max(class_ids)}: are they "
                                "photographs? If not, name the values in classes.json")  # fmt: skip
        self.image_info[:] = usable
        if usable and not class_ids:
            raise DataError(f"{path}: the maps contain no class, "
                            + (f"but {self.ignore}, which is ignored: if that is the object, open with ignore=0 (--ignore 0)"
                               if ignored else "all their pixels are background"))  # fmt: skip
        return class_ids

    def _read_map(self, info: Mapping[str, Any]) -> UInt16[np.ndarray, "H W"]:
        if not self.allow_outside:
            refuse_link(info["map"], info["map_root"], f"map of image {info['id']!r}")
        stored = read_stored(info["map"])
        if stored.ndim != 2:
            raise DataError(f"{info['map']} is a colour image, expected one class id per pixel: save it in grey or a palette")
        if stored.size and not 0 <= stored.min() <= stored.max() <= MAX_ID:
            raise DataError(f"{info['map']} holds values from {stored.min()} to {stored.max()}, expected 0 to {MAX_ID}")
        return stored.astype(np.uint16)

    def class_map_of(self, image_id: Index) -> UInt16[np.ndarray, "H W"]:
        """Read the map of an image.

        Args:
            image_id: position in `image_info`.

        Returns:
            Class ids at the source, 0 where the pixel is background or ignored.

        Raises:
            DataError: the map cannot be read, is not of the image's size, or holds a value that is not a class.
        """
        info = self.image_info[image_id]
        class_map = self._read_map(info)
        size = self.image_size(image_id)
        if class_map.shape != tuple(size):
            turned = class_map.shape == turned_size(size, read_orientation(info["path"]))
            hint = ": an EXIF tag turns the image, and the map is of the turned one. Turn its pixels, and remove the tag"
            raise DataError(f"{info['map']} is of size {class_map.shape}, its image {info['path']} of size {tuple(size)} "
                            f"(height, width){hint if turned else ''}")  # fmt: skip
        class_map[class_map == self.ignore] = 0
        unknown = set(np.flatnonzero(np.bincount(class_map.ravel())).tolist()) - self.numbers - {0}
        if unknown:
            raise DataError(f"{info['map']} holds the value {min(unknown)}, which is not a class; the classes are "
                            f"{sorted(self.numbers)[:50]}: name it in {self.named_by}, or correct the map")  # fmt: skip
        return class_map

    def annotations_of(self, image_id: Index) -> list[dict[str, Any]]:
        """Make the annotations of an image from its map, in RLE.

        Raises:
            DataError: see `class_map_of`; or the map falls into more than MAX_COMPONENTS pieces.
        """
        class_map = self.class_map_of(image_id)
        if self.per_class:
            pieces = class_map.astype(np.int64)
        else:
            pieces = skimage.measure.label(class_map, background=0, connectivity=2)  # corners touch
        areas = np.bincount(pieces.ravel())
        areas[0] = 0
        kept = np.flatnonzero(areas >= self.min_area)
        if len(kept) > MAX_COMPONENTS and not self.per_class:
            raise DataError(f"{self.image_info[image_id]['map']} falls into {len(kept)} pieces, more than {MAX_COMPONENTS}: "
                            "is it a map? If so, open it with per_class=True, or exclude specks with min_area")  # fmt: skip
        return _annotations(class_map, pieces, kept)

    def ignored_pixels(self, image_id: Index) -> Bool[np.ndarray, "H W"] | None:
        """Return which pixels of an image have the ignored value; see `Dataset.ignored_pixels`."""
        if not self.reads(image_id) or not self.ignore:
            return super().ignored_pixels(image_id)
        return self._read_map(self.image_info[image_id]) == self.ignore

    def num_instances(self, image_id: Index) -> int | None:
        """Return None: counting takes as long as reading."""
        return None


def _annotations(
    class_map: UInt16[np.ndarray, "H W"], pieces: Integer[np.ndarray, "H W"], kept: Int64[np.ndarray, " N"]
) -> list[dict[str, Any]]:
    """Make an annotation of each piece that is kept.

    Args:
        class_map: class ids.
        pieces: number of the piece that each pixel belongs to.
        kept: numbers of pieces, ascending.

    Returns:
        Annotations, by class and then by number.
    """
    along = pieces.ravel(order="F")  # down the columns, as the runs of an RLE go
    places = np.flatnonzero(along)
    places = places[np.argsort(along[places], kind="stable")]
    numbers = along[places]
    starts, ends = np.searchsorted(numbers, kept, "left"), np.searchsorted(numbers, kept, "right")
    classes = class_map.ravel(order="F")
    annotations: list[dict[str, Any]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        of_piece = places[start:end]
        rle = {"size": [int(v) for v in class_map.shape], "counts": _runs(of_piece, class_map.size)}
        annotations.append({"category_id": int(classes[of_piece[0]]), "segmentation": rle, "area": len(of_piece), "iscrowd": 0})
    annotations.sort(key=lambda annotation: annotation["category_id"])
    return [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)]


def _runs(places: Int64[np.ndarray, " n"], total: int) -> list[int]:
    """Return run lengths outside and inside in turn. Args: places: pixels inside, ascending, at least one; total: pixels."""
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts, ends = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]] + 1
    edges = np.stack([starts, ends], axis=1).ravel()
    return np.diff(np.r_[0, edges, total]).tolist()


def _parts(path: Path) -> Mapping[str | None, tuple[Path, Path]]:
    """Find the subsets of a folder: name, or None when undivided -> (folder of images, folder of maps)."""
    images, masks = path / "images", path / "masks"
    if images.is_dir() and masks.is_dir():
        return _divided(lambda name: (images / name, masks / name)) or {None: (images, masks)}
    return _divided(lambda name: (path / name / "images", path / name / "masks"))


def _divided(folders_of: Callable[[str], tuple[Path, Path]]) -> dict[str | None, tuple[Path, Path]]:
    """Find subsets by the names of their folders, "val" for valid. Args: folders_of: name -> (images, masks)."""
    parts: dict[str | None, tuple[Path, Path]] = {}
    for name in _PART_FOLDERS:
        folders = folders_of(name)
        if all(folder.is_dir() for folder in folders):
            parts.setdefault(part_name(name), folders)
    return parts


def _pairs(images: Path, masks: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Match images and maps by their names without suffix.

    Returns:
        (pairs, lonely): (name, image file, map file), relative to their folders; (file, reason).
    """
    maps: dict[str, str] = {}
    pairs, lonely, taken = [], [], set()
    for file in image_names(masks):
        if file.lower().endswith(".png") and maps.setdefault(file[: -len(".png")], file) != file:
            lonely.append((file, "another map has its name"))
    for image in image_names(images):
        name = image.rpartition(".")[0]
        if name not in maps:
            lonely.append((image, "the image has no map of its name in masks/"))
        elif name in taken:
            lonely.append((image, "another image has its name"))
        else:
            taken.add(name)
            pairs.append((name, image, maps[name]))
    lonely += [(file, "the map has no image of its name in images/") for name, file in maps.items() if name not in taken]
    return pairs, lonely


# --- files that name the classes


def find_classes(
    folders: Iterable[Path], given: Path | str | list[Any] | tuple[Any, ...] | None = None
) -> tuple[dict[int, str] | None, Path | None]:
    """Find and read the file of classes.

    Args:
        folders: where to look, in this order.
        given: the file, or the names; None looks for the file.

    Returns:
        (names, path): id -> name without the background, and the file, None where names were given; (None, None) where there
        is no file.

    Raises:
        DataError: it is damaged, or the given file does not exist.
    """
    if isinstance(given, list | tuple):
        return _checked(_by_place(given, "labels"), "labels"), None
    if given is not None:
        return read_classes(given), Path(given)
    for folder in folders:
        for name in CLASS_FILES:
            if (folder / name).is_file():
                return read_classes(folder / name), folder / name
    return None, None


def read_classes(path: Path | str) -> dict[int, str]:
    """Read a file of classes.

    Args:
        path: a name per line, or JSON.

    Returns:
        Id -> name, without id 0, the background.

    Raises:
        DataError: the file is missing, is damaged, or names no class or one id twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        names = _from_json(read_json(path), path)
    else:
        lines = read_lines(path)
        while lines and not lines[-1]:
            lines.pop()
        names = _by_place(lines, path)
    return _checked(names, path)


def _checked(names: dict[int, str], path: Path | str) -> dict[int, str]:
    """Remove the background, and refuse too few or too many names."""
    names.pop(0, None)
    if not names:
        raise DataError(f"{path} names no class besides the background")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{path} names {len(names)} classes, and at most {MAX_CLASSES} are read")
    return names


def _by_place(names: Sequence[object], path: Path | str) -> dict[int, str]:
    """Number names by their place: from 1, or from 0 where the first is the background's."""
    stripped = []
    for place, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: entry {place} is {shown(name)}, expected the name of a class")
        stripped.append(name.strip())
    if stripped and stripped[0].strip("_").lower() == _IGNORE_NAME:  # as labelme's tools begin their lists
        stripped = stripped[1:]
    first = 0 if stripped and stripped[0].strip("_").lower() in _BACKGROUND_NAMES else 1
    return dict(enumerate(stripped, start=first))


def _from_json(content: Any, path: Path) -> dict[int, str]:
    if isinstance(content, list) and not any(isinstance(entry, dict) for entry in content):
        return _by_place(content, path)
    if isinstance(content, list):
        pairs = [(field(entry, "id", int, f"{path}: [{i}]"), field(entry, "name", str, f"{path}: [{i}]"))
                 for i, entry in enumerate(content)]  # fmt: skip
    elif isinstance(content, dict):
        pairs = [(_number(key, path), field(content, key, str, str(path))) for key in content]
    else:
        raise DataError(f'{path} is {shown(content)}, expected {{"1": "name", ...}} or a list')
    names: dict[int, str] = {}
    for number, name in pairs:
        if not 0 <= number <= MAX_ID or number in names or not name.strip():
            raise DataError(f"{path}: the class {shown(name)} has the id {shown(number)}, expected a name, and an id from 0 to "
                            f"{MAX_ID} that no other has")  # fmt: skip
        names[number] = name.strip()
    return names


def _number(key: str, path: Path) -> int:
    if not key.isascii() or not key.isdigit() or len(key) > 5:
        raise DataError(f"{path}: the key {shown(key)} is not a class id, expected a whole number from 0 to {MAX_ID}")
    return int(key)
