"""Pascal VOC's segmentation data: two PNGs per image, one with object numbers and one with class numbers.

Layout: JPEGImages/<id>.jpg, SegmentationObject/<id>.png, SegmentationClass/<id>.png, Annotations/<id>.xml, and
ImageSets/Segmentation/{train,val,trainval}.txt with an id per line. The PNGs have a palette, or RGB pixels in the colours of
that palette, as some tools write them. The class of an object is the most frequent class of its pixels in
SegmentationClass. If that folder is missing, object k is the k-th <object> of the XML. labelme's old converter labelme2voc
wrote the PNGs to SegmentationObjectPNG and SegmentationClassPNG, with arrays in the folders of the usual names.

The class names are those in labelmap.txt (`name:r,g,b::` per line), those in class_names.txt (a name per line, starting with
the background), or VOC's twenty.

Void pixels (number 255: outlines and difficult objects) belong to no object and count as background; batches for semantic
segmentation can exclude them. They are not turned into crowds, because a crowd is matched by its box, and the box around all
outlines covers most of the image.

The PNGs are read when an image is loaded, and errors in them are reported then.

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf. Shape letters: H W image.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import read_lines
from mrcnn.geometry.boxes import Integer
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import image_names, read_stored
from mrcnn.io.paths import inside, refuse_link
from mrcnn.io.xml import read_xml

CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOID = 255
_BACKGROUND = ("background", "_background_")
_IGNORED = "__ignore__"
_IMAGES, _OBJECTS, _CLASSES, _XML = "JPEGImages", "SegmentationObject", "SegmentationClass", "Annotations"
_LISTS = "ImageSets/Segmentation"


def recognise(path: Path) -> str | None:
    """Return None for a folder in VOC's layout, else why it is not one."""
    if not path.is_dir():
        return "not a folder"
    missing = [name for name in (_IMAGES, _OBJECTS) if not _folder(path, name).is_dir()]
    if missing:
        inner = sorted(p.parent.name for p in path.glob(f"*/{_OBJECTS}"))
        return f"no {missing[0]}/ in it" + (f", but in {inner[0]}/: give that folder" if inner else "")
    if not _folder(path, _CLASSES).is_dir() and not (path / _XML).is_dir():
        return f"neither {_CLASSES}/ nor {_XML}/ in it"
    return None


def _folder(path: Path, name: str) -> Path:
    """Return a folder of the layout, which labelme2voc names <name>PNG if it holds PNGs."""
    png = path / f"{name}PNG"
    return png if png.is_dir() else path / name


def subsets(path: Path | str) -> list[str]:
    """Return the names of the lists in ImageSets/Segmentation; [] if there are none."""
    return sorted(file.stem for file in (Path(path) / _LISTS).glob("*.txt") if not file.name.startswith("."))


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    labels: Path | str | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "VocDataset":
    """Open a subset of a data set.

    Args:
        path: the folder that has JPEGImages/ in it, such as VOCdevkit/VOC2012.
        subset: the name of a list of ids; None takes all images that have an object PNG.
        labels: a text file with one class name per line, starting with the background or with class 1; None for the names
            of the data set.
        allow_outside: whether image files may be outside the folder.
        progress: reports the stage "listing images".

    Returns:
        The data set, not prepared.

    Raises:
        DataError: a folder is missing, or a list cannot be read.
    """
    path = Path(path)
    reason = recognise(path)
    if reason:
        raise DataError(f"{path}: {reason}, and VOC's layout has {_IMAGES}/, {_OBJECTS}/ and {_CLASSES}/")
    names, colors = _names(path, labels)
    dataset = VocDataset(path, names, colors, allow_outside=allow_outside)
    with (progress or unseen)("listing images") as show:
        dataset.add_ids(None if subset is None else _lines(path / _LISTS / f"{subset}.txt"), show)
    dataset.log_skipped(path, "images")
    return dataset


class VocDataset(AnnotatedDataset):
    """A data set of object and class PNGs."""

    source = "voc"

    def __init__(
        self,
        folder: Path,
        names: Mapping[int, str],
        colors: Mapping[int, int],
        class_map: Mapping[str, str] | None = None,
        *,
        allow_outside: bool = False,
    ) -> None:
        """Create an empty data set.

        Args:
            folder: the folder of the data set.
            names: class number -> name.
            colors: code of a colour -> class number.
            class_map: see `Dataset.prepare`.
            allow_outside: see `open_subset`.
        """
        super().__init__(class_map, allow_outside=allow_outside)
        self.folder, self._names, self._colors = folder, names, colors
        self._files = {name: _pngs(_folder(folder, name)) for name in (_OBJECTS, _CLASSES)}
        for number, name in names.items():
            self.add_class(self.source, number, name)

    def add_ids(self, ids: Iterable[str] | None = None, progress: Show | None = None) -> None:
        """Add images. Those without an object PNG are recorded in `skipped`.

        Args:
            ids: image ids; None for all that have an object PNG.
            progress: called after each image.
        """
        masks = self._files[_OBJECTS]
        files = {_composed(name.rpartition(".")[0]): name for name in image_names(self.folder / _IMAGES)}
        for image_id in tracked(dict.fromkeys(sorted(masks) if ids is None else map(_composed, ids)), progress):
            path = inside(self.folder / _IMAGES, files.get(image_id, image_id + ".jpg"), f"image {image_id!r} of {_LISTS}",
                          allow_outside=self.allow_outside)  # fmt: skip
            if image_id in masks:
                self.add_annotated_image(image_id, path, None, None, self.folder)
            else:
                self.skip(image_id, f"it has no {_OBJECTS}/<id>.png")

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Read the PNGs of an image; see `AnnotatedDataset.annotations_of`.

        Raises:
            DataError: a file is missing or damaged, or of another size than the image.
        """
        name = self.image_info[image_id]["id"]
        numbers = _object_numbers(self._read(_OBJECTS, image_id))
        classes = self._classes_by_pixels if _folder(self.folder, _CLASSES).is_dir() else self._classes_by_xml
        annotations = []
        for number, class_number in classes(image_id, numbers).items():
            if class_number in self._names:
                annotations.append({"category_id": class_number, "segmentation": encode_mask(numbers == number)})
            else:
                self.skip(f"{_OBJECTS}/{name}.png: object {number}", "it has no class, or one without a name "
                          "(labelmap.txt, class_names.txt, --labels)")  # fmt: skip
        return annotations

    def _read(self, folder: str, image_id: Integer) -> Shaped[np.ndarray, "H W *C"]:
        """Read a PNG of an image: numbers [H, W] or uint8 colours [H, W, 3]."""
        name = self.image_info[image_id]["id"]
        path = _folder(self.folder, folder) / self._files[folder].get(name, f"{name}.png")
        if not self.allow_outside:
            refuse_link(path, self.folder, folder)
        pixels, size = read_stored(path), self.image_size(image_id)
        if pixels.shape[:2] != size:
            raise DataError(f"{path} is of size {pixels.shape[:2]}, but its image is of size {size} (height, width)")
        return pixels

    def _classes_by_pixels(self, image_id: Integer, numbers: Int64[np.ndarray, "H W"]) -> dict[int, int | None]:
        """Return the most frequent class among the pixels of each object: object -> class, None if it has no class."""
        classes = self._read(_CLASSES, image_id)
        if classes.ndim == 3:
            codes, which = np.unique(_codes(classes), return_inverse=True)
            classes = np.array([self._colors.get(int(code), 0) for code in codes])[which].reshape(numbers.shape)
        pairs, counts = np.unique(numbers * 65536 + classes, return_counts=True)
        majority: dict[int, int | None] = {}
        largest: dict[int, int] = {}
        for pair, count in zip(pairs.tolist(), counts.tolist()):
            number, class_number = divmod(pair, 65536)
            if number:
                majority.setdefault(number, None)
                if class_number not in (0, VOID) and count > largest.get(number, 0):
                    majority[number], largest[number] = class_number, count
        return majority

    def _classes_by_xml(self, image_id: Integer, numbers: Int64[np.ndarray, "H W"]) -> dict[int, int | None]:
        """Look up the classes of the objects in the XML, which lists them in the order of their numbers."""
        path = self.folder / _XML / f"{self.image_info[image_id]['id']}.xml"
        if not self.allow_outside:
            refuse_link(path, self.folder, _XML)
        listed = [(element.findtext("name") or "").strip() for element in read_xml(path).findall("object")]
        by_name = {name: number for number, name in self._names.items()}
        places = [int(number) for number in np.unique(numbers) if number]
        return {place: by_name.get(listed[place - 1]) if place <= len(listed) else None for place in places}

    def ignored_pixels(self, image_id: Integer) -> Bool[np.ndarray, "H W"] | None:
        """Return which pixels of an image are void; see `Dataset.ignored_pixels`."""
        if not self.reads(image_id):
            return super().ignored_pixels(image_id)
        pixels = self._read(_OBJECTS, image_id)
        return np.asarray(pixels == VOID if pixels.ndim == 2 else _codes(pixels) == _code(voc_colors()[VOID].tolist()))

    def num_instances(self, image_id: Integer) -> int | None:
        """Return None, because the PNG must be read to count the objects; see `Dataset.num_instances`."""
        return None if self.reads(image_id) else super().num_instances(image_id)


def _pngs(folder: Path) -> dict[str, str]:
    """Map the ids of a folder's PNGs to their file names."""
    return {_composed(name.rpartition(".")[0]): name for name in image_names(folder) if name.lower().endswith(".png")}


def _composed(name: str) -> str:
    """Return the Unicode form in which names are compared: macOS decomposes the letters of file names, lists do not."""
    return unicodedata.normalize("NFC", name)


def voc_colors() -> UInt8[np.ndarray, "256 3"]:
    """Return VOC's palette. Colour n distributes the bits of n over red, green and blue, low bits to high bits.

    Source: the function VOClabelcolormap of the VOC development kit.
    """
    colors, rest = np.zeros((256, 3), np.uint8), np.arange(256)
    for bit in range(7, -1, -1):
        colors |= ((rest[:, None] >> np.arange(3)) & 1).astype(np.uint8) << np.uint8(bit)
        rest >>= 3
    return colors


def _names(path: Path, labels: Path | str | None) -> tuple[dict[int, str], dict[int, int]]:
    """Return the names of the classes, number -> name, and their colours, code -> number."""
    colors = {int(code): number for number, code in enumerate(_codes(voc_colors()))}
    if labels is not None:
        return _numbered(_lines(labels), labels), colors
    if (path / "labelmap.txt").is_file():
        return _read_labelmap(path / "labelmap.txt")
    if (path / "class_names.txt").is_file():
        return _numbered(_lines(path / "class_names.txt"), path / "class_names.txt"), colors
    return dict(enumerate(CLASS_NAMES, start=1)), colors


def _numbered(names: Sequence[str], path: Path | str) -> dict[int, str]:
    """Number a list of names, which may begin with the background and the ignored label."""
    names = [name for name in names if name != _IGNORED]
    names = names[1:] if names and names[0] in _BACKGROUND else names
    if not names or len(names) >= VOID:
        raise DataError(f"{path} has {len(names)} class names, expected 1 to {VOID - 1}")
    return dict(enumerate(names, start=1))


def _read_labelmap(path: Path) -> tuple[dict[int, str], dict[int, int]]:
    """Read lines `name:r,g,b:parts:actions`; returns what `_names` returns."""
    names, colors = {}, {_code((224, 224, 192)): VOID}
    for number, line in enumerate(line for line in _lines(path) if not line.startswith("#")):
        name, _, rest = line.partition(":")
        color = rest.partition(":")[0].split(",")
        if not name or len(color) != 3 or not all(v.strip().isdecimal() and int(v) < 256 for v in color):
            raise DataError(f"{path}: {line[:60]!r} is not a line of a labelmap, name:red,green,blue::")
        code = _code([int(v) for v in color])
        if code == 0 or name in _BACKGROUND:
            colors[code] = 0
        else:
            names[number] = name
            colors[code] = number
    if not names:
        raise DataError(f"{path} names no class")
    return names, colors


def _lines(path: Path | str) -> list[str]:
    """Read the non-empty lines of a text file."""
    return [line for line in read_lines(path) if line]


def _code(color: Sequence[int]) -> int:
    red, green, blue = color
    return red + 256 * green + 65536 * blue


def _codes(pixels: UInt8[np.ndarray, "*S 3"]) -> Int64[np.ndarray, "*S"]:
    """Return one number per colour."""
    return pixels.astype(np.int64) @ np.array([1, 256, 65536])


def _object_numbers(pixels: Shaped[np.ndarray, "H W *C"]) -> Int64[np.ndarray, "H W"]:
    """Return the number of each pixel's object, 0 for background and void pixels.

    Args:
        pixels: numbers, or uint8 colours. The number of a colour is its index in the palette; a colour outside the palette
            gets a number above 255.
    """
    numbers = pixels.astype(np.int64)
    if pixels.ndim == 3:
        palette = {int(code): place for place, code in enumerate(_codes(voc_colors()))}
        codes, which = np.unique(_codes(pixels), return_inverse=True)
        numbers = np.array([palette.get(int(code), VOID + 1 + int(code)) for code in codes])[which].reshape(pixels.shape[:2])
    return np.where(numbers == VOID, 0, numbers)
