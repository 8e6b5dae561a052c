"""Semantic maps: beside each image a PNG whose pixels are the ids of classes.

Layout: images in images/, maps in masks/ under the same names (`images/a.jpg`, `masks/a.png`), sub-folders kept; or
`train/images` and `train/masks`; or `images/train` and `masks/train`. A map is grey of 8 or 16 bits, or of a palette,
whose numbers count and not its colours. 0 is background, 255 is to be ignored and belongs to no instance.

The classes stand in classes.txt or labels.txt (a name a line, from id 1, or from 0 where the first is "background"), or
in classes.json or labels.json ({"1": "cat"}, [{"id": 1, "name": "cat"}] or ["cat"]). Without such a file they are the
numbers that the maps hold.

A map does not tell objects of one class apart: an instance is a connected component of a class, or all of the class.

Shape letters: H W image.

Files that name the classes of semantic maps: see `mrcnn.datasets.formats.semantic` for their forms.
"""

from pathlib import Path

import numpy as np
import skimage.measure

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.folders import PARTS, part_name
from mrcnn.io.images import image_names, read_stored
from mrcnn.io.json_fields import field, read_json, shown
from mrcnn.io.orientation import read_orientation, turned_size
from mrcnn.io.paths import refuse_link

CLASS_FILES = ("classes.txt", "labels.txt", "classes.json", "labels.json")
MAX_CLASSES = 5000
# the largest number of a pixel
MAX_ID = 65535
# without the underscores that some tools put around them
_BACKGROUND_NAMES = ("background", "bg")
_IGNORE_NAME = "ignore"


def find_classes(folders, given=None):
    """Find and read the file of classes.

    Args:
        folders: list of Paths to look in, in this order.
        given: path of the file, or a list of names in its place; None looks for the file.

    Returns:
        (names, path): {id: name} without the background, and the file, None for a list; (None, None) where there is none.

    Raises:
        DataError: it is damaged, or the file that was given is missing.
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


def read_classes(path):
    """Read a file of classes.

    Args:
        path: path. A name a line, or JSON.

    Returns:
        {id: name}, without id 0, the background.

    Raises:
        DataError: the file is missing, is damaged, or names no class or one id twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        names = _from_json(read_json(path), path)
    else:
        names = _by_place(_lines(path), path)
    return _checked(names, path)


def _checked(names, path):
    """Leave out the background: {id: name} of the others, which must be some, and not too many."""
    names.pop(0, None)
    if not names:
        raise DataError(f"{path} names no class beside the background")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{path} names {len(names)} classes, and at most {MAX_CLASSES} are read")
    return names


def _lines(path):
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _by_place(names, path):
    """Number names by their place: from 1, or from 0 where the first is the background's."""
    for place, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: entry {place} is {shown(name)}, expected the name of a class")
    names = [name.strip() for name in names]
    if names and names[0].strip("_").lower() == _IGNORE_NAME:  # as labelme's tools begin their lists
        names = names[1:]
    first = 0 if names and names[0].strip("_").lower() in _BACKGROUND_NAMES else 1
    return dict(enumerate(names, start=first))


def _from_json(content, path):
    if isinstance(content, list) and not any(isinstance(entry, dict) for entry in content):
        return _by_place(content, path)
    if isinstance(content, list):
        pairs = [(field(entry, "id", int, f"{path}: [{i}]"), field(entry, "name", str, f"{path}: [{i}]"))
                 for i, entry in enumerate(content)]  # fmt: skip
    elif isinstance(content, dict):
        pairs = [(_number(key, path), field(content, key, str, str(path))) for key in content]
    else:
        raise DataError(f'{path} is {shown(content)}, expected {{"1": "name", ...}} or a list')
    names = {}
    for number, name in pairs:
        if not 0 <= number <= MAX_ID or number in names or not name.strip():
            raise DataError(f"{path}: the class {shown(name)} has the id {shown(number)}, expected a name, and an id from 0 to "
                            f"{MAX_ID} that no other has")  # fmt: skip
        names[number] = name.strip()
    return names


def _number(key, path):
    if not key.isascii() or not key.isdigit() or len(key) > 5:
        raise DataError(f"{path}: the key {shown(key)} is no class id, expected a whole number from 0 to {MAX_ID}")
    return int(key)


# what folders of parts may be called
_PART_FOLDERS = (*(name for names in PARTS.values() for name in names), "trainval")
IGNORE = 255
# more pieces of one map than any scene has: noise, or a picture that is no map
MAX_COMPONENTS = 10_000


def recognise(path):
    """Say why a path is no folder of semantic maps, or None. Args: path: Path. Returns: str or None."""
    if not path.is_dir():
        return "no folder"
    parts = _parts(path)
    if not parts:
        return "no images/ beside masks/"
    return None if any(_pairs(*folders)[0] for folders in parts.values()) else "no PNG in masks/ has the name of an image"


def subsets(path):
    """Name the parts: list of str, [] when the folder is undivided."""
    return [name for name in _parts(Path(path)) if name is not None]


def open_subset(path, subset=None, *, labels=None, per_class=False, ignore=IGNORE, min_area=1, allow_outside=False,
                progress=None):  # fmt: skip
    """Open a folder of semantic maps, or a part of it.

    Args:
        path: path of the folder.
        subset: str. The part: train, val, ...
        labels: path of a file of classes, or list of their names; None for the file of the folder.
        per_class: bool. True makes one instance of all pixels of a class, False one of each connected component.
        ignore: int. Nothing is known of pixels of this number: they are no instance. 0 ignores none.
        min_area: int. Components of fewer pixels are left out.
        allow_outside: bool. Whether links may lead out of the folder.
        progress: maker of stages (`mrcnn.base.progress`): "reading", of maps, where no file names their classes; or None.

    Returns:
        SemanticMapDataset, not prepared.

    Raises:
        DataError: the part is missing, or the classes are damaged or cannot be found out.
        ValueError: `ignore` or `min_area` is out of its range.
    """
    path, parts = Path(path), _parts(Path(path))
    if subset not in parts:
        raise DataError(f"{path}: no images/ beside masks/" + (f" of the part {subset!r}" if subset else "")
                        + f"; its parts are {', '.join(filter(None, parts)) or 'none'}")  # fmt: skip
    images, masks = parts[subset]
    dataset = SemanticMapDataset(per_class=per_class, ignore=ignore, min_area=min_area, allow_outside=allow_outside)
    dataset.add_maps(images, masks)
    with (progress or unseen)("reading") as show:
        dataset.name_classes(path, *find_classes([path, images.parent, masks], labels), progress=show)
    dataset.log_skipped(path, "files")
    return dataset


def _parts(path):
    """Find the parts of a folder: {name, or None when undivided: (folder of images, folder of maps)}."""
    images, masks = path / "images", path / "masks"
    if images.is_dir() and masks.is_dir():
        return _divided(lambda name: (images / name, masks / name)) or {None: (images, masks)}
    return _divided(lambda name: (path / name / "images", path / name / "masks"))


def _divided(folders_of):
    """Find parts by their names, "val" for valid. Args: folders_of: function (name) -> (images, masks). Returns: dict."""
    found = {}
    for name in _PART_FOLDERS:
        folders = folders_of(name)
        if all(folder.is_dir() for folder in folders):
            found.setdefault(part_name(name), folders)
    return found


def _pairs(images, masks):
    """Match images and maps by their names without ending.

    Returns:
        (pairs, lonely): [(name, image file, map file)], as str relative to their folders; [(file, reason)].
    """
    maps, pairs, lonely, taken = {}, [], [], set()
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


class SemanticMapDataset(AnnotatedDataset):
    """A data set of semantic maps; a map is read when its instances are asked for.

    Args:
        class_map: see `Dataset.prepare`.
        per_class, ignore, min_area, allow_outside: see `open_subset`.

    Attributes:
        numbers: set of int. The numbers that the maps may hold beside those of the background and to be ignored.
        named_by: path of the file that names them, or what to make.
    """

    source = "semantic"

    def __init__(self, class_map=None, *, per_class=False, ignore=IGNORE, min_area=1, allow_outside=False):
        """Make an empty data set; see the class."""
        super().__init__(class_map, allow_outside=allow_outside)
        if not 0 <= ignore <= MAX_ID or min_area < 1:
            raise ValueError(f"ignore is {ignore} and min_area {min_area}, expected 0 to {MAX_ID}, and at least 1")
        self.per_class, self.ignore, self.min_area = per_class, ignore, min_area
        self.numbers, self.named_by = set(), None

    def add_maps(self, images, masks):
        """Add the images that have a map of their name. Args: images, masks: Paths of their folders."""
        pairs, lonely = _pairs(images, masks)
        for name, image, class_map in pairs:
            self.add_annotated_image(name, images / image, None, None, images, map=str(masks / class_map), map_root=str(masks))
        for where, reason in lonely:
            self.skip(where, reason)

    def name_classes(self, path, names, file=None, progress=None):
        """Add the classes.

        Args:
            path: path of the data set, for messages.
            names: {id: name}, or None to find out from the maps which ids there are: each map is then read.
            file: path of the file that names them, for messages.
            progress: function (done, total), called after each map that is read, or None.

        Raises:
            DataError: the number to ignore has a name, or the maps hold no class.
        """
        if names is None:
            names = {number: f"class {number}" for number in self._numbers_in_maps(path, progress)}
        elif self.ignore in names:
            raise DataError(f"{file or path}: the class {names[self.ignore]!r} has the id {self.ignore}, which is to be "
                            "ignored: say which number is (ignore=..., --ignore), 0 for none")  # fmt: skip
        self.numbers, self.named_by = set(names), file or "a file of classes, such as classes.json"
        for number, name in sorted(names.items()):
            self.add_class(self.source, number, name)

    def _numbers_in_maps(self, path, progress):
        """Read all maps, leave out the images of those that cannot be read, and list the class ids found."""
        found, usable, ignored = set(), [], False
        for info in tracked(self.image_info, progress):
            try:
                numbers = set(np.flatnonzero(np.bincount(self._read_map(info).ravel())).tolist())
            except DataError as error:
                self.skip(info["map"], str(error))
                continue
            usable.append(info)
            ignored |= self.ignore in numbers - {0}
            found |= numbers - {0, self.ignore}
            if len(found) > MAX_CLASSES:
                raise DataError(f"{path}: the maps hold more than {MAX_CLASSES} numbers, up to {max(found)}: are they "
                                "pictures? If not, name the numbers in classes.json")  # fmt: skip
        self.image_info[:] = usable
        if usable and not found:
            raise DataError(f"{path}: the maps hold no class, "
                            + (f"but {self.ignore}, which is ignored: if that is the object, open with ignore=0 (--ignore 0)"
                               if ignored else "all their pixels are background"))  # fmt: skip
        return found

    def _read_map(self, info):
        """Read the map of an image: uint16 [H, W]."""
        if not self.allow_outside:
            refuse_link(info["map"], info["map_root"], f"map of image {info['id']!r}")
        stored = read_stored(info["map"])
        if stored.ndim != 2:
            raise DataError(f"{info['map']} is a colour picture, expected one class id a pixel: save it grey or with a palette")
        if stored.size and not 0 <= stored.min() <= stored.max() <= MAX_ID:
            raise DataError(f"{info['map']} holds numbers from {stored.min()} to {stored.max()}, expected 0 to {MAX_ID}")
        return stored.astype(np.uint16)

    def class_map_of(self, image_id):
        """Read the map of an image.

        Args:
            image_id: int.

        Returns:
            uint16 [H, W]. The ids of the classes at the source, 0 where the pixel is background or to be ignored.

        Raises:
            DataError: the map cannot be read, is not of the image's size, or holds a number that is no class.
        """
        info = self.image_info[image_id]
        class_map = self._read_map(info)
        size = self.image_size(image_id)
        if class_map.shape != tuple(size):
            turned = class_map.shape == turned_size(size, read_orientation(info["path"]))
            hint = ": an EXIF tag turns the image, and the map is of the turned one. Turn its pixels, and drop the tag"
            raise DataError(f"{info['map']} is of size {class_map.shape}, its image {info['path']} of size {tuple(size)} "
                            f"(height, width){hint if turned else ''}")  # fmt: skip
        class_map[class_map == self.ignore] = 0
        unknown = set(np.flatnonzero(np.bincount(class_map.ravel())).tolist()) - self.numbers - {0}
        if unknown:
            raise DataError(f"{info['map']} holds the number {min(unknown)}, which is no class; the classes are "
                            f"{sorted(self.numbers)[:50]}: name it in {self.named_by}, or correct the map")  # fmt: skip
        return class_map

    def annotations_of(self, image_id):
        """Make the annotations of an image of its map. Args: image_id: int. Returns: list of dicts with RLEs.

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
                            "is it a map? If so, open it with per_class=True, or leave specks out with min_area")  # fmt: skip
        return _annotations(class_map, pieces, kept)

    def ignored_pixels(self, image_id):
        """Tell which pixels of an image have the number that is to be ignored; see `Dataset.ignored_pixels`."""
        if not self.reads(image_id) or not self.ignore:
            return super().ignored_pixels(image_id)
        return self._read_map(self.image_info[image_id]) == self.ignore

    def num_instances(self, image_id):
        """Leave it open: counting takes as long as reading. Returns: None."""
        return None


def _annotations(class_map, pieces, kept):
    """Make an annotation of each piece that is kept.

    Args:
        class_map: uint16 [H, W]. Class ids.
        pieces: int [H, W]. The number of the piece that each pixel is of.
        kept: int [N], ascending. Numbers of pieces.

    Returns:
        list of N annotation dicts, by class and then by number.
    """
    along = pieces.ravel(order="F")  # down the columns, as the runs of an RLE go
    places = np.flatnonzero(along)
    places = places[np.argsort(along[places], kind="stable")]
    numbers = along[places]
    starts, ends = np.searchsorted(numbers, kept, "left"), np.searchsorted(numbers, kept, "right")
    classes = class_map.ravel(order="F")
    found = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        of_piece = places[start:end]
        rle = {"size": [int(v) for v in class_map.shape], "counts": _runs(of_piece, class_map.size)}
        found.append({"category_id": int(classes[of_piece[0]]), "segmentation": rle, "area": len(of_piece), "iscrowd": 0})
    found.sort(key=lambda annotation: annotation["category_id"])
    return [{"id": number, **annotation} for number, annotation in enumerate(found, start=1)]


def _runs(places, total):
    """Count the runs of pixels outside and inside in turn. Args: places: int [n], ascending, n > 0; total: int pixels."""
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts, ends = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]] + 1
    edges = np.stack([starts, ends], axis=1).ravel()
    return np.diff(np.r_[0, edges, total]).tolist()
