"""Semantic maps: next to each image a PNG whose pixels are class ids.

Layout: images in images/, maps in masks/ under the same names (`images/a.jpg`, `masks/a.png`), including subfolders; or
`train/images` and `train/masks`; or `images/train` and `masks/train`. A map is an 8-bit or 16-bit greyscale image, or a
palette image, of which the indices are used and not the colours. 0 is background; pixels with the value 255 are ignored and
belong to no instance.

The classes are listed in classes.txt or labels.txt (a name per line, from id 1, or from 0 if the first is "background"), or
in classes.json or labels.json ({"1": "cat"}, [{"id": 1, "name": "cat"}] or ["cat"]). Without such a file, the classes are
the values that occur in the maps.

A map does not distinguish objects of one class: an instance is a connected component of a class, or all of the class. Maps
that number the objects of one class instead, from 1 to n in each image (Penn-Fudan, Cellpose), are read with `class_name`.

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
# maximum value of a pixel
MAX_ID = 65535
# without the underscores that some tools put around these names
_BACKGROUND_NAMES = ("background", "bg")
_IGNORE_NAME = "ignore"
# names of the folders of subsets
_PART_FOLDERS = (*(name for names in PARTS.values() for name in names), "trainval")
IGNORE = 255
# more components than any scene has: noise, or an image that is not a map
MAX_COMPONENTS = 10_000
# number of maps that are examined for a hint, and the minimum number of values per component of maps that number objects
_LOOKED_AT, _WHOLE_OBJECTS = 20, 0.7
_NUMBERED = ("each map has the values 1 to n, most of them connected areas, as if they numbered objects: if they do, pass the "
             "class of the objects (class_name, --class-name NAME); if they are classes, name them in classes.txt")  # fmt: skip


def recognise(path: Path) -> str | None:
    """Return None for a folder of semantic maps, else why it is not one."""
    if not path.is_dir():
        return "not a folder"
    parts = _parts(path)
    if not parts:
        return "no images/ next to masks/"
    return None if any(_pairs(*folders)[0] for folders in parts.values()) else "no PNG in masks/ has the name of an image"


def subsets(path: Path | str) -> list[str]:
    """Return the subsets, [] if the folder is undivided."""
    return [name for name in _parts(Path(path)) if name is not None]


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    labels: Path | str | list[Any] | tuple[Any, ...] | None = None,
    class_name: str | None = None,
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
        class_name: the class of all objects, if the values of a map are the numbers of objects, and not classes. Then no value
            is ignored.
        per_class: True makes one instance of all pixels of a class, False one of each connected component.
        ignore: value of pixels without annotation, which belong to no instance. 0 for none.
        min_area: components with fewer pixels are skipped.
        allow_outside: whether links may point outside the folder.
        progress: reports the stage "reading", of maps, if no file names their classes.

    Returns:
        The data set, not prepared.

    Raises:
        DataError: the subset does not exist, or the file of classes is damaged, or the classes cannot be determined.
        ValueError: `ignore` or `min_area` is out of range.
    """
    path, parts = Path(path), _parts(Path(path))
    if subset not in parts:
        raise DataError(f"{path}: no images/ next to masks/" + (f" of the subset {subset!r}" if subset else "")
                        + f"; its subsets are {', '.join(filter(None, parts)) or 'none'}")  # fmt: skip
    images, masks = parts[subset]
    dataset = SemanticMapDataset(
        class_name=class_name, per_class=per_class, ignore=ignore, min_area=min_area, allow_outside=allow_outside
    )
    dataset.add_maps(images, masks)
    names, file = find_classes([path, images.parent, masks], labels) if class_name is None else ({1: class_name}, None)
    with (progress or unseen)("reading") as show:
        dataset.name_classes(path, names, file, progress=show)
    dataset.log_skipped(path, "files")
    return dataset


class SemanticMapDataset(AnnotatedDataset):
    """A data set of semantic maps; a map is read when its instances are loaded.

    Attributes:
        numbers: the values that the maps may contain besides the background and the ignored value.
        named_by: the file that names the classes, or a suggestion of one to create.
    """

    source = "semantic"

    def __init__(
        self,
        class_map: Mapping[str, str] | None = None,
        *,
        class_name: str | None = None,
        per_class: bool = False,
        ignore: int = IGNORE,
        min_area: int = 1,
        allow_outside: bool = False,
    ) -> None:
        """Create an empty data set.

        Args:
            class_map: see `Dataset.prepare`.
            class_name: see `open_subset`.
            per_class: see `open_subset`.
            ignore: see `open_subset`.
            min_area: see `open_subset`.
            allow_outside: see `open_subset`.
        """
        super().__init__(class_map, allow_outside=allow_outside)
        if not 0 <= ignore <= MAX_ID or min_area < 1:
            raise ValueError(f"ignore is {ignore} and min_area {min_area}, expected 0 to {MAX_ID}, and at least 1")
        self.class_name, self.per_class, self.min_area = class_name, per_class, min_area
        self.ignore = ignore if class_name is None else 0
        self.numbers: set[int] = set()
        self.named_by: Path | str | None = None

    def add_maps(self, images: Path, masks: Path) -> None:
        """Add the images that have a map of the same name.

        Args:
            images: folder of the images.
            masks: folder of the maps.
        """
        pairs, unpaired = _pairs(images, masks)
        for name, image, class_map in pairs:
            self.add_annotated_image(name, images / image, None, None, images, map=str(masks / class_map), map_root=str(masks))
        for where, reason in unpaired:
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
            names: id -> name; None reads every map and takes the ids that occur.
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
        """Read all maps and return their class ids. Images whose map cannot be read are skipped."""
        class_ids: set[int] = set()
        usable: list[dict[str, Any]] = []
        ignored, are_numbered, values, pieces = False, True, 0, 0
        for info in tracked(self.image_info, progress):
            try:
                found = self._read_map(info)
            except DataError as error:
                self.skip(info["map"], str(error))
                continue
            numbers = set(np.flatnonzero(np.bincount(found.ravel())).tolist())
            are_numbered &= numbers - {0} == set(range(1, len(numbers - {0}) + 1))
            if are_numbered and len(usable) < _LOOKED_AT:
                values += len(numbers - {0})
                pieces += int(skimage.measure.label(found, background=0, connectivity=2).max(initial=0))
            usable.append(info)
            ignored |= self.ignore in numbers - {0}
            class_ids |= numbers - {0, self.ignore}
            if len(class_ids) > MAX_CLASSES:
                raise DataError(f"{path}: the maps contain more than {MAX_CLASSES} values, up to {max(class_ids)}: are they "
                                "photographs? If not, name the values in classes.json")  # fmt: skip
        self.image_info[:] = usable
        if are_numbered and len(class_ids) > 2 and values >= _WHOLE_OBJECTS * pieces:
            self.notes.append((str(path), _NUMBERED))
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
            image_id: index in the data set.

        Returns:
            Class ids at the source, 0 for background and ignored pixels.

        Raises:
            DataError: the map cannot be read, is not of the image's size, or holds a value that is not a class.
        """
        values = self._values_of(image_id)
        if self.class_name is not None:
            return (values > 0).astype(np.uint16)
        unknown = set(np.flatnonzero(np.bincount(values.ravel())).tolist()) - self.numbers - {0}
        if unknown:
            where = self.image_info[image_id]["map"]
            raise DataError(f"{where} holds the value {min(unknown)}, which is not a class; the classes are "
                            f"{sorted(self.numbers)[:50]}: name it in {self.named_by}, or correct the map")  # fmt: skip
        return values

    def _values_of(self, image_id: Index) -> UInt16[np.ndarray, "H W"]:
        """Read the values of the map of an image, 0 for background and ignored pixels."""
        info = self.image_info[image_id]
        class_map = self._read_map(info)
        size = self.image_size(image_id)
        if class_map.shape != tuple(size):
            turned = class_map.shape == turned_size(size, read_orientation(info["path"]))
            hint = ": an EXIF tag rotates the image, and the map fits the rotated image. Rotate its pixels and remove the tag"
            raise DataError(f"{info['map']} is of size {class_map.shape}, but its image {info['path']} is of size "
                            f"{tuple(size)} (height, width){hint if turned else ''}")  # fmt: skip
        class_map[class_map == self.ignore] = 0
        return class_map

    def annotations_of(self, image_id: Index) -> list[dict[str, Any]]:
        """Make RLE annotations of an image from its map.

        Raises:
            DataError: see `class_map_of`; or the map has more than MAX_COMPONENTS connected components.
        """
        class_map = self.class_map_of(image_id)
        if self.class_name is not None:
            pieces = self._values_of(image_id).astype(np.int64)
        elif self.per_class:
            pieces = class_map.astype(np.int64)
        else:
            pieces = skimage.measure.label(class_map, background=0, connectivity=2)  # corners touch
        areas = np.bincount(pieces.ravel())
        areas[0] = 0
        kept = np.flatnonzero(areas >= self.min_area)
        if len(kept) > MAX_COMPONENTS and not self.per_class:
            raise DataError(f"{self.image_info[image_id]['map']} has {len(kept)} connected components, more than "
                            f"{MAX_COMPONENTS}: is it a map? If so, open it with per_class=True (--per-class), or exclude "
                            "specks with min_area=N (--min-area N)")  # fmt: skip
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
    """Make an annotation of each component that is kept.

    Args:
        class_map: class ids.
        pieces: number of the component that each pixel belongs to.
        kept: numbers of components, ascending.

    Returns:
        Annotations, by class and then by number.
    """
    along = pieces.ravel(order="F")  # down the columns, in the order of the runs of an RLE
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
    """Return run lengths, alternating between outside and inside.

    Args:
        places: indices of the pixels inside, ascending, at least one.
        total: number of pixels.
    """
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts, ends = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]] + 1
    edges = np.stack([starts, ends], axis=1).ravel()
    return np.diff(np.r_[0, edges, total]).tolist()


def _parts(path: Path) -> Mapping[str | None, tuple[Path, Path]]:
    """Find the subsets of a folder: name, or None if undivided -> (folder of images, folder of maps)."""
    images, masks = path / "images", path / "masks"
    if images.is_dir() and masks.is_dir():
        return _divided(lambda name: (images / name, masks / name)) or {None: (images, masks)}
    return _divided(lambda name: (path / name / "images", path / name / "masks"))


def _divided(folders_of: Callable[[str], tuple[Path, Path]]) -> dict[str | None, tuple[Path, Path]]:
    """Find subsets by the names of their folders, "val" for valid.

    Args:
        folders_of: function (name of a folder) -> (images, masks).
    """
    parts: dict[str | None, tuple[Path, Path]] = {}
    for name in _PART_FOLDERS:
        folders = folders_of(name)
        if all(folder.is_dir() for folder in folders):
            parts.setdefault(part_name(name), folders)
    return parts


def _pairs(images: Path, masks: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Match images and maps by their names without suffix.

    Returns:
        (pairs, unpaired): (name, image file, map file), relative to their folders; (file, reason).
    """
    maps: dict[str, str] = {}
    pairs, unpaired, taken = [], [], set()
    for file in image_names(masks):
        if file.lower().endswith(".png") and maps.setdefault(file[: -len(".png")], file) != file:
            unpaired.append((file, "another map has its name"))
    for image in image_names(images):
        name = image.rpartition(".")[0]
        if name not in maps:
            unpaired.append((image, "the image has no map of its name in masks/"))
        elif name in taken:
            unpaired.append((image, "another image has its name"))
        else:
            taken.add(name)
            pairs.append((name, image, maps[name]))
    unpaired += [(file, "the map has no image of its name in images/") for name, file in maps.items() if name not in taken]
    return pairs, unpaired


# --- files that name the classes


def find_classes(
    folders: Iterable[Path], given: Path | str | list[Any] | tuple[Any, ...] | None = None
) -> tuple[dict[int, str] | None, Path | None]:
    """Find and read the file of classes.

    Args:
        folders: where to look, in this order.
        given: the file, or the names; None looks for the file.

    Returns:
        (names, path): id -> name without the background, and the file, None if names were given; (None, None) if there is
        no file.

    Raises:
        DataError: the file is damaged, or the given file does not exist.
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
        DataError: the file is missing or damaged, names no class, or names one id twice.
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
        raise DataError(f"{path} names {len(names)} classes, but at most {MAX_CLASSES} are supported")
    return names


def _by_place(names: Sequence[object], path: Path | str) -> dict[int, str]:
    """Number names in their order: from 1, or from 0 if the first is the background."""
    stripped = []
    for place, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: entry {place} is {shown(name)}, expected the name of a class")
        stripped.append(name.strip())
    if stripped and stripped[0].strip("_").lower() == _IGNORE_NAME:  # labelme's tools begin their lists with it
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
