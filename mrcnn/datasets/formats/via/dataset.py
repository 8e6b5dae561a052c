"""The VGG Image Annotator: one JSON or CSV file for the images of a folder.

Version 1 writes the regions of an image as an object, version 2 as a list; a saved project of version 2 has the images under
`_via_img_metadata`, one of version 3 apart from their regions. Outlines are polygon, polyline, rect, circle and ellipse; the
class of a region is the value of one of its attributes. A polyline that ends where it began is a polygon; any other is a line
of a given width.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.class_names import natural_key, read_class_names
from mrcnn.datasets.folders import part_folders
from mrcnn.datasets.formats.via.file import ViaImage, annotation_files, is_via, read_images, the_file
from mrcnn.datasets.formats.via.regions import Region, class_of, class_or_none, find_attribute
from mrcnn.geometry.boxes import Number
from mrcnn.geometry.outlines import outline_fault
from mrcnn.geometry.polygons import polygon_bounds
from mrcnn.io.orientation import read_header, turned_size

# the class of regions if none has an attribute
CLASS_NAME = "object"
# width of a line that is not closed, in pixels
LINE_WIDTH = 10
# distance in pixels that regions may extend beyond the image that they were drawn on
_SLACK = 2
_ANY_SIZE = (math.inf, math.inf)


def recognise(path: Path) -> str | None:
    """Return None for a VIA file, or a folder that holds one, else why it is neither."""
    if path.is_dir():
        files = annotation_files(path) or part_folders(path, annotation_files)
        return None if files else "no JSON or CSV file of regions in it, nor in a train or val folder"
    if path.suffix.lower() not in (".json", ".csv"):
        return "not a folder, a .json or a .csv file"
    return None if is_via(path) else "the file has no images with filename and regions"


def subsets(path: Path | str) -> list[str]:
    """Return the subfolders train, val and test of a folder that has no VIA file itself."""
    path = Path(path)
    if path.is_file() or annotation_files(path):
        return []
    return list(part_folders(path, annotation_files))


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    attribute: str | None = None,
    class_name: str | None = None,
    labels: Iterable[object] | os.PathLike[str] | str | None = None,
    line_width: Number = LINE_WIDTH,
    encoding: str | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "ViaDataset":
    """Open a folder with a VIA file and its images, or a VIA file.

    Args:
        path: the folder or file.
        subset: one of `subsets`. The classes are those of all subsets, so that their numbers agree.
        attribute: the region attribute that holds the class; needed if regions have several.
        class_name: the class of regions without a value of the attribute. None skips them, unless no region has an
            attribute: then all have the class CLASS_NAME.
        labels: the classes in their order, or a file with one per line; regions of other classes are skipped. None takes
            the classes that occur, sorted by name.
        line_width: width in pixels of lines that are not closed.
        encoding: of a JSON file that is not UTF-8.
        allow_outside: whether file names may point outside the folder.
        progress: reports the stages of `read_json` and "checking regions", for each file, and "reading image sizes".

    Returns:
        The data set, not prepared. Its `skipped` lists what was skipped, its `notes` what was repaired.

    Raises:
        DataError: the file cannot be used, or the attribute does not exist.
        ValueError: line_width is not above 0.
    """
    if not 0 < line_width < math.inf:
        raise ValueError(f"line_width is {line_width}: expected pixels above 0")
    path = Path(path)
    files: dict[str | None, Path]
    if path.is_file():
        files = {None: path}
    elif subset is None:
        files = {None: the_file(path)}
    else:
        files = {part: the_file(folder) for part, folder in part_folders(path, annotation_files).items()}
    dataset = ViaDataset(allow_outside=allow_outside)
    # what is skipped in the other subsets is not reported
    images = {
        part: read_images(
            file, line_width, dataset if part == subset else ViaDataset(allow_outside=allow_outside), encoding, progress
        )
        for part, file in files.items()
    }
    regions = [region for listed in images.values() for image in listed for region in image.regions]
    attribute = find_attribute(regions, attribute, " and ".join(map(str, files.values())))
    if labels is not None:
        classes = read_class_names(labels)
    elif attribute is None:
        classes = [class_name or CLASS_NAME]
    else:
        names = {class_or_none(region, attribute, class_name) for region in regions}
        classes = sorted((name for name in names if name), key=natural_key)
    # the whole folder of a divided data set, so that file names relative to it distinguish the subsets
    root = path.parent if path.is_file() else path
    with (progress or unseen)("reading image sizes") as show:
        dataset.add_images(images[subset], classes, attribute, class_name, root, show)
    dataset.log_skipped(files[subset], "images or regions")
    return dataset


class ViaDataset(AnnotatedDataset):
    """Images annotated with VIA."""

    source = "via"

    def add_images(
        self,
        images: Sequence[ViaImage],
        classes: Iterable[str],
        attribute: str | None,
        class_name: str | None,
        root: Path,
        progress: Show | None = None,
    ) -> None:
        """Add images with their regions.

        Args:
            images: images of a file.
            classes: names in the order of their ids, which count from 1.
            attribute: the attribute that holds the class, None if there is none.
            class_name: see `open_subset`.
            root: the folder that the images must be in.
            progress: called after each image.
        """
        ids = {name: number for number, name in enumerate(classes, start=1)}
        for name, number in ids.items():
            self.add_class(self.source, number, name)
        headers = {image.name: _header(image) for image in tracked(images, progress)}
        is_turned = _find_turned(images, headers)
        for image in images:
            stored, orientation = headers[image.name]
            size, info = stored, {}
            if stored is not None and orientation != 1 and is_turned(image):
                size, info = turned_size(stored, orientation), {"exif_applied": True}
                self.notes.append((image.name, "its EXIF orientation is applied: the regions fit only the image as displayed"))
            annotations = []
            for region in image.regions:
                try:
                    annotations.append(_annotation(region, ids, attribute, class_name, size))
                except DataError as error:
                    self.skip(region.where, str(error))
            self.add_annotated_image(image.name, image.path, size, annotations, root, **info)


def _annotation(
    region: Region, ids: Mapping[str, int], attribute: str | None, class_name: str | None, size: tuple[int, int] | None
) -> dict[str, Any]:
    fault = outline_fault(region.rings, size or _ANY_SIZE)
    if fault:
        raise DataError(fault)
    name = class_name or CLASS_NAME if attribute is None else class_of(region, attribute, class_name)
    if name not in ids:
        raise DataError(f"its class {name!r} is not among the classes")
    return {"category_id": ids[name], "segmentation": region.rings, "iscrowd": 0}


def _header(image: ViaImage) -> tuple[tuple[int, int] | None, int]:
    """Return the stored size and the orientation, or (None, 1) if they cannot be read, which loading the image reports."""
    try:
        return read_header(image.path) if os.path.isfile(image.path) else (None, 1)
    except DataError:
        return None, 1


def _find_turned(
    images: Iterable[ViaImage], headers: Mapping[str, tuple[tuple[int, int] | None, int]]
) -> Callable[[ViaImage], bool]:
    """Return a function that says whether VIA displayed an image rotated by its EXIF orientation.

    Newer browsers rotate images, older ones did not, and VIA does not record the size that it displayed. If the regions of an
    image fit only one orientation, that is evidence for all images of the file. Without evidence, or with evidence for both,
    an image is taken as stored, unless its own regions fit only the rotated image.
    """

    def evidence(image: ViaImage) -> bool | None:
        stored, orientation = headers[image.name]
        bounds = [polygon_bounds(region.rings) for region in image.regions if not outline_fault(region.rings, _ANY_SIZE)]
        if stored is None or orientation < 5 or not bounds:
            return None
        turned = turned_size(stored, orientation)
        fits = [all(b[2] <= h + _SLACK and b[3] <= w + _SLACK for b in bounds) for h, w in (stored, turned)]
        return fits[1] if fits[0] != fits[1] else None

    votes = {evidence(image) for image in images} - {None}
    return lambda image: votes == {True} or evidence(image) is True
