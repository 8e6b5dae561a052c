"""What a conversion of COCO's panoptic annotations starts from: the images of a split, checked and in order.

Layout: `{train,val,test}2017/*.jpg`, `annotations/panoptic_{train,val}2017.json` and the PNGs in a folder of the same
name. The test split has images alone.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn.data.errors import DataError
from mrcnn.data.images import image_names
from mrcnn.data.panoptic.files import PanopticImage, read_panoptic, without_ending

SPLITS = ("train", "val", "test")
# splits without annotations
BARE_SPLITS = ("test",)
YEAR = "2017"
_JPEG_SUFFIXES = (".jpg", ".jpeg")


@dataclass
class Source:
    """The images of a split.

    Attributes:
        split: str.
        images: list of PanopticImage, sorted by name. Those of a test set have no size, PNG or segments.
        image_dir, png_dir: Path of the folders that the files must really lie in; png_dir is None for a test set.
        categories: dict id -> Category; empty for a test set.
        left_out: list of (where, reason).
        digest: str. Changes with the names, the sizes of the files and the annotations.
    """

    split: str
    images: list
    image_dir: Path
    png_dir: Path = None
    categories: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)
    digest: str = ""


def find_source(root, split, *, allow_outside=False, progress=None):
    """Read what there is of a split.

    Args:
        root: path of the folder with train2017/ and annotations/ in it.
        split: str, one of SPLITS.
        allow_outside: bool. Whether file names may lead out of their folders.
        progress: maker of stages, or None; see `read_panoptic`.

    Returns:
        Source, or a str that says why there is none: nothing of the split is there.

    Raises:
        DataError: only half of it is there, or the JSON is not usable.
    """
    image_dir = Path(root) / f"{split}{YEAR}"
    if split in BARE_SPLITS:
        source = _bare_source(split, image_dir)
    else:
        source = _annotated_source(split, image_dir, Path(root) / "annotations", allow_outside, progress)
    if isinstance(source, Source):
        source.images.sort(key=lambda image: image.name)
        source.digest = _digest(source)
    return source


def _bare_source(split, image_dir):
    if not image_dir.is_dir():
        return f"there is no folder {image_dir}"
    names = _jpegs(image_dir)
    if not names:
        return f"there are no .jpg files in {image_dir}"
    images = [PanopticImage(name, without_ending(name), image_dir / name, None) for name in names]
    return Source(split, images, image_dir)


def _annotated_source(split, image_dir, annotations, allow_outside, progress):
    path = annotations / f"panoptic_{split}{YEAR}.json"
    if not path.is_file():
        if not image_dir.is_dir():
            return f"there is neither {image_dir} nor {path}"
        instances = annotations / f"instances_{split}{YEAR}.json"
        beside = f" ({instances.name} is there, but holds instances, not panoptic segments)" if instances.is_file() else ""
        raise DataError(f"{path} does not exist{beside}: it comes, with its folder of PNGs, in "
                        "panoptic_annotations_trainval2017.zip from cocodataset.org; or leave this split out")  # fmt: skip
    png_dir = path.with_suffix("")
    index = read_panoptic(path, image_dir, png_dir, allow_outside=allow_outside, progress=progress)
    for folder, what in ((image_dir, "images"), (png_dir, "PNGs")):
        if not folder.is_dir() and index.images:
            raise DataError(f"{folder} does not exist: it is to hold the {what} of {path.name}")
    source = Source(split, index.images, image_dir, png_dir, index.categories, index.left_out)
    known = {image.name for image in index.images}
    unlisted = [name for name in _jpegs(image_dir) if without_ending(name) not in known] if image_dir.is_dir() else []
    source.left_out += [(f"{split}{YEAR}/{name}", f"{path.name} has no segments of it") for name in unlisted]
    return source


def _jpegs(folder):
    return [name for name in image_names(folder) if name.lower().endswith(_JPEG_SUFFIXES)]


def _digest(source):
    """Sum the source up, and see on the way that every file is there."""
    digest, missing = hashlib.sha256(), []
    for image in source.images:
        digest.update(f"{image.name}\0{image.size}\0".encode(errors="replace"))
        for path in (image.path, image.png):
            if path is not None:
                try:
                    digest.update(f"{os.stat(path).st_size}\0".encode())
                except (OSError, ValueError):
                    missing.append(path)
        if image.segments is not None:
            digest.update(image.segments.tobytes())
    if missing:
        raise DataError(f"{len(missing)} files of the {len(source.images)} images of {source.split} are missing, such as "
                        f"{missing[0]}: fetch them, or take their images out of the JSON")  # fmt: skip
    return digest.hexdigest()
