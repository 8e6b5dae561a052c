"""Detection on picture files: annotated pictures, COCO results and labelme files.

Shape letters: H W C picture, N instances.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skimage.io
from jaxtyping import Num
from PIL import Image

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.coco_names import CATEGORY_IDS, CLASS_NAMES
from mrcnn.evaluation.results import Row, save_results, to_coco_results
from mrcnn.geometry.rle import rle_area
from mrcnn.io.images import IMAGE_SUFFIXES, read_image, refuse_bomb, to_channels
from mrcnn.io.orientation import read_orientation, turn_upright
from mrcnn.tools.write.images import unique_name
from mrcnn.tools.write.labelme import write_labelme_result
from mrcnn.viz.draw import draw_detections

RESULTS_NAME = "detections.json"
PICTURE_SUFFIX = "_detections.jpg"
LABELME_NAME = "labelme"

# Takes pictures [H, W, C]; returns "rois", "class_ids", "scores" and "masks" (dense or RLE) for each.
Detect = Callable[[list[np.ndarray]], Sequence[Mapping[str, Any]]]


@dataclass
class PredictionSummary:
    """The summary of `predict_pictures`.

    Attributes:
        pictures: number of pictures written.
        instances: number of instances in them.
        without_mask: number of instances with an empty mask; only the COCO results contain them, as boxes.
        unreadable: the reason for each picture that could not be read, by path.
    """

    pictures: int = 0
    instances: int = 0
    without_mask: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def find_pictures(inputs: Iterable[Path | str], output_dir: Path | str | None = None) -> list[str]:
    """Find the pictures named by the user, without repetitions.

    Args:
        inputs: files with any suffix, and folders, which are searched recursively by suffix and sorted.
        output_dir: a folder to ignore, because it contains the output of earlier calls.

    Raises:
        FileNotFoundError: a path does not exist, or a folder contains no pictures.
    """
    paths = []
    for path in map(Path, inputs):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if output_dir is not None:
                output = Path(output_dir).resolve()
                inside = [p for p in inside if not p.resolve().is_relative_to(output)]
            if not inside:
                raise FileNotFoundError(f"{path}: no pictures in this folder (their suffixes are {', '.join(IMAGE_SUFFIXES)}).")
            paths += inside
        elif path.is_file():
            paths.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder.")
    return list(dict.fromkeys(map(str, paths)))


def predict_pictures(detect: Detect, pictures: Sequence[str], output_dir: Path | str, class_names: Sequence[str], *,
                     channels: int = 3, batch_size: int = 1, labelme: str | None = None,
                     progress: Show | None = None) -> PredictionSummary:  # fmt: skip
    """Detect instances in pictures, and write annotated pictures and results.

    Args:
        detect: for example `MaskRCNN.detect`.
        pictures: paths of the files.
        output_dir: created if necessary. Receives <stem>_detections.jpg for each picture, and detections.json: rows in COCO's
            results format with the additional keys "file_name" and "category" (the class name). image_id is the number in the
            file name if every file has a different one, as in COCO; otherwise the index in `pictures`, from 1. category_id is
            the class id, or COCO's id if the classes are COCO's 80.
        class_names: the background first.
        channels: number of channels of the network's input.
        batch_size: number of pictures passed to `detect` at a time.
        labelme: "polygon" or "mask" also writes labelme files with shapes of this type, and copies of the pictures, to the
            folder labelme in `output_dir`.
        progress: called after each batch.

    Raises:
        ValueError: none of the pictures could be read.
    """
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    ids, taken = picture_ids(pictures), set[str]()
    names = {path: unique_name(Path(path).stem, "", taken) for path in pictures}
    categories = CATEGORY_IDS if tuple(class_names) == CLASS_NAMES else range(len(class_names))
    summary = PredictionSummary()
    rows: list[Row] = []
    for first in range(0, len(pictures), batch_size):
        # pictures that cannot be read make a batch smaller, or empty
        images = _read_all(pictures[first : first + batch_size], channels, summary)
        results = detect(list(images.values())) if images else []
        for path, result in zip(images, results, strict=True):
            picture = draw_detections(images[path], result, class_names)
            with atomic_open(output_dir / (names[path] + PICTURE_SUFFIX)) as file:
                Image.fromarray(picture).save(file, "JPEG")
            if labelme:
                write_labelme_result(output_dir / LABELME_NAME, path, names[path], result, class_names,
                                     images[path].shape[:2], shape_type=labelme)
            of_picture = to_coco_results(ids[path], result, categories)
            for row, class_id in zip(of_picture, result["class_ids"], strict=True):
                row.update(category=class_names[class_id], file_name=Path(path).name)
            rows += of_picture
            summary.without_mask += sum(not rle_area(row["segmentation"]) for row in of_picture if "segmentation" in row)
            summary.pictures += 1
            summary.instances += len(result["class_ids"])
        if progress is not None:
            progress(min(first + batch_size, len(pictures)), len(pictures))
    if not summary.pictures:
        path, reason = next(iter(summary.unreadable.items()))
        raise ValueError(f"none of the {len(pictures)} pictures could be read; the first: {path}: {reason}")
    save_results(output_dir / RESULTS_NAME, rows)
    return summary


def picture_ids(pictures: Sequence[str]) -> dict[str, int]:
    """Assign image ids to pictures; see `predict_pictures`."""
    stems = [Path(path).stem for path in pictures]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len(set(map(int, stems))) == len(stems):
        return {path: int(stem) for path, stem in zip(pictures, stems, strict=True)}
    return {path: number for number, path in enumerate(pictures, start=1)}


def _read_all(paths: Iterable[str], channels: int, summary: PredictionSummary) -> dict[str, np.ndarray]:
    """Read pictures; those that cannot be read are recorded in `summary.unreadable` with the reason."""
    images = {}
    for path in paths:
        try:
            images[path] = read_picture(path, channels)
        except Exception as error:  # decoders raise errors of many types for damaged files
            reason = str(error).strip().splitlines() or [type(error).__name__]
            summary.unreadable[path] = reason[0]
    return images


def read_picture(path: Path | str, channels: int = 3) -> Num[np.ndarray, "H W C"]:
    """Read a picture upright, as image viewers show it.

    Args:
        channels: 1 or 3, to which any picture is converted; any other value must be the file's number of channels.

    Returns:
        Pixels from 0 to 255, uint8 unless the file contains floats.

    Raises:
        DataError, ValueError, OSError: the file is not a picture, or has a different number of channels.

    Differs: data sets keep the pixels as stored, because annotations refer to them. For a photograph without annotations, only
        the EXIF orientation determines which way up it is.
    """
    if channels in (1, 3):
        image = read_image(path)
    else:
        refuse_bomb(os.fspath(path))
        image = skimage.io.imread(path)
    try:
        orientation = read_orientation(path)
    except DataError:
        orientation = 1  # formats that Pillow does not support have no EXIF data
    return np.ascontiguousarray(turn_upright(to_channels(image, channels), orientation))
