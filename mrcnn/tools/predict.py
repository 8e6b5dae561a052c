"""Detection on picture files: COCO results, counts, annotated pictures and labelme files.

Shape letters: H W C picture, N instances.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.io
from jaxtyping import Num
from PIL import Image

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.base.text import first_line, shorten_names
from mrcnn.datasets.class_names import natural_key
from mrcnn.datasets.coco_names import CATEGORY_IDS, CLASS_NAMES
from mrcnn.evaluation.results import Row, save_results, to_coco_results
from mrcnn.geometry.rle import rle_area
from mrcnn.io.images import IMAGE_SUFFIXES, is_darkened, read_image, refuse_bomb, to_channels
from mrcnn.io.orientation import read_orientation, turn_upright
from mrcnn.tools.html import jpeg
from mrcnn.tools.write.counts import ImageCounts, save_counts
from mrcnn.tools.write.images import unique_name
from mrcnn.tools.write.labelme import write_labelme_result
from mrcnn.viz.draw import draw_detections

RESULTS_NAME = "detections.json"
COUNTS_NAME = "detections.csv"
PICTURE_SUFFIX, QUALITY = "_detections.jpg", 92
LABELME_NAME = "labelme"
FILM_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv")
# what somebody who names a folder may expect to be taken, but is not
_OTHER_SUFFIXES = {*FILM_SUFFIXES, ".avif", ".cr2", ".dng", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".nef", ".psd",
                   ".svg"} - set(IMAGE_SUFFIXES)  # fmt: skip
_TAKEN = f"`predict` takes pictures ({', '.join(IMAGE_SUFFIXES)}) and folders of them"

# Takes pictures [H, W, C]; returns "rois", "class_ids", "scores" and "masks" (dense or RLE) for each.
Detect = Callable[[list[np.ndarray]], Sequence[Mapping[str, Any]]]


@dataclass
class PredictionSummary:
    """The summary of `predict_pictures`.

    Attributes:
        pictures: number of pictures that were detected on.
        instances: number of instances in them.
        without_mask: number of instances with an empty mask; only the COCO results contain them, as boxes.
        unreadable: the reason for each picture that could not be read, by path.
        darkened: paths of the pictures of 16 bits of which nearly nothing is left without `depth`.
        unwritten: the reason for each picture whose annotated picture or labelme file could not be written, by path.
    """

    pictures: int = 0
    instances: int = 0
    without_mask: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)
    darkened: list[str] = field(default_factory=list)


@dataclass
class _Detected:
    """The detections in a picture: its name in the output, its (height, width), and the detections with RLE masks."""

    name: str
    size: tuple[int, int]
    result: dict[str, Any]
    rows: list[Row]


def find_pictures(inputs: Iterable[Path | str], output_dir: Path | str | None = None) -> list[str]:
    """Find the pictures named by the user, without repetitions.

    Args:
        inputs: files that contain a picture, and folders, which are searched recursively by suffix; their pictures are in
            natural order: 2 before 10.
        output_dir: a folder to ignore, because it contains the output of earlier calls.

    Raises:
        FileNotFoundError: a path does not exist, or a folder contains no pictures.
        ValueError: none of the files is a picture, or a name is a URL.
    """
    inputs = list(inputs)
    for name in map(str, inputs):
        if "://" in name:
            raise ValueError(f"{name} is a URL: download the picture, and give the path of the file")
    pictures, paths = [], list(map(Path, inputs))
    for path in paths:
        if path.is_dir():
            inside = [p for p in _files_in(path, output_dir) if p.suffix.lower() in IMAGE_SUFFIXES]
            if not inside:
                raise FileNotFoundError(f"{path}: no pictures in this folder{_others(paths, output_dir)}. {_TAKEN}.")
            pictures += inside
        elif not path.is_file():
            raise FileNotFoundError(f"{path}: no such file or folder.")
        elif _is_picture(path):
            pictures.append(path)
    if not pictures:
        is_film = bool(paths) and paths[0].suffix.lower() in FILM_SUFFIXES
        advice = f". Cut it into pictures first, for example: ffmpeg -i {paths[0]} frames/%06d.png" if is_film else ""
        raise ValueError(f"{paths[0]} is {'a film' if is_film else 'not a picture'}: {_TAKEN}{advice}")
    return list(dict.fromkeys(map(str, pictures)))


def other_files(inputs: Iterable[Path | str], output_dir: Path | str | None = None) -> list[str]:
    """Find the files that `find_pictures` does not take: films and pictures of other kinds in folders, and any named file.

    Arguments as of `find_pictures`.
    """
    others = []
    for path in map(Path, inputs):
        if path.is_dir():
            others += [p for p in _files_in(path, output_dir) if p.suffix.lower() in _OTHER_SUFFIXES]
        elif path.is_file() and not _is_picture(path):
            others.append(path)
    return list(dict.fromkeys(map(str, others)))


def _others(inputs: Iterable[Path], output_dir: Path | str | None) -> str:
    others = other_files(inputs, output_dir)
    return f", but {shorten_names(others, 'other file')}" if others else ""


def _files_in(folder: Path, output_dir: Path | str | None) -> list[Path]:
    """List the files in a folder and its subfolders in natural order, without hidden ones, such as the ._ files of macOS."""
    files = [path for path in folder.rglob("*") if path.is_file()
             and not any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)]  # fmt: skip
    if output_dir is not None:
        output = Path(output_dir).resolve()
        files = [path for path in files if not path.resolve().is_relative_to(output)]
    return sorted(files, key=lambda path: [natural_key(part) for part in path.parts])


def _is_picture(path: Path) -> bool:
    """Return whether a file has the suffix or the header of a picture; it may still be damaged."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with Image.open(path):
            return True
    except Exception:  # decoders raise errors of many types for other files
        return bool(cv2.haveImageReader(str(path)))


def predict_pictures(detect: Detect, pictures: Sequence[str], output_dir: Path | str, class_names: Sequence[str], *,
                     channels: int = 3, depth: int | None = None, batch_size: int = 1, labelme: str | None = None,
                     progress: Stages | None = None) -> PredictionSummary:  # fmt: skip
    """Detect instances in pictures, and write results and annotated pictures.

    The results are written before any picture is drawn, and when detection is interrupted. A picture that cannot be read or
    written costs only itself.

    Args:
        detect: for example `MaskRCNN.detect`.
        pictures: paths of the files.
        output_dir: created if necessary. Receives detections.json: rows in COCO's results format with the additional keys
            "file_name" and "category" (the class name); detections.csv: counts, areas and scores of each picture; and
            <stem>_detections.jpg for each picture. image_id is the number in the file name if every file has a different one,
            as in COCO; otherwise the index in `pictures`, from 1. category_id is the class id, or COCO's id if the classes are
            COCO's 80.
        class_names: the background first.
        channels: number of channels of the network's input.
        depth: see `read_picture`.
        batch_size: number of pictures passed to `detect` at a time.
        labelme: "polygon" or "mask" also writes labelme files with shapes of this type, and copies of the pictures, to the
            folder labelme in `output_dir`.
        progress: the stages "detecting" and "drawing".

    Raises:
        ValueError: none of the pictures could be read.
    """
    output_dir, progress = Path(output_dir), progress or unseen
    output_dir.mkdir(parents=True, exist_ok=True)
    ids, taken = picture_ids(pictures), set[str]()
    names = {path: unique_name(Path(path).stem, "", taken) for path in pictures}
    summary = PredictionSummary()
    detected: dict[str, _Detected] = {}
    try:
        with progress("detecting") as show:
            for first in range(0, len(pictures), batch_size):
                # pictures that cannot be read make a batch smaller, or empty
                images = _read_all(pictures[first : first + batch_size], channels, depth, summary)
                results = detect(list(images.values())) if images else []
                for path, result in zip(images, results, strict=True):
                    detected[path] = _detected(path, ids[path], names[path], images[path].shape[:2], result, class_names)
                if show is not None:
                    show(min(first + batch_size, len(pictures)), len(pictures))
    finally:
        if detected:
            _write_results(output_dir, ids, detected, class_names, summary)
    if not detected:
        path, reason = next(iter(summary.unreadable.items()))
        raise ValueError(f"none of the {len(pictures)} pictures could be read; the first: {path}: {reason}")
    with progress("drawing") as show:
        for path, of_picture in tracked(detected.items(), show, len(detected)):
            try:
                if labelme:
                    write_labelme_result(output_dir / LABELME_NAME, path, of_picture.name, of_picture.result, class_names,
                                         of_picture.size, shape_type=labelme)
                content = jpeg(draw_detections(read_picture(path, channels, depth), of_picture.result, class_names), QUALITY)
                with atomic_open(output_dir / (of_picture.name + PICTURE_SUFFIX)) as file:
                    file.write(content)
            except Exception as error:  # encoders raise errors of many types, and the results of the other pictures are there
                summary.unwritten[path] = first_line(error)
    return summary


def _detected(path: str, image_id: int, name: str, size: tuple[int, int], result: Mapping[str, Any],
              class_names: Sequence[str]) -> _Detected:  # fmt: skip
    categories = CATEGORY_IDS if tuple(class_names) == CLASS_NAMES else range(len(class_names))
    rows = to_coco_results(image_id, result, categories)
    for row, class_id in zip(rows, result["class_ids"], strict=True):
        row.update(category=class_names[class_id], file_name=Path(path).name)
    # the RLEs of the rows: dense masks of all pictures would not fit in memory
    masks = [row["segmentation"] for row in rows] if result.get("masks") is not None else None
    return _Detected(name, (size[0], size[1]), {**result, "masks": masks}, rows)


def _write_results(output_dir: Path, ids: Mapping[str, int], detected: Mapping[str, _Detected], class_names: Sequence[str],
                   summary: PredictionSummary) -> None:  # fmt: skip
    """Write the results of all pictures, and complete the summary."""
    save_results(output_dir / RESULTS_NAME, [row for of_picture in detected.values() for row in of_picture.rows])
    counts = []
    for path, image_id in ids.items():
        image = ImageCounts(Path(path).name, image_id, skipped=summary.unreadable.get(path, ""))
        if path in detected:
            image.size = detected[path].size
            for row in detected[path].rows:
                area = rle_area(row["segmentation"]) if "segmentation" in row else 0
                image.add(row["category"], area, row["score"])
                summary.without_mask += "segmentation" in row and not area
            summary.pictures += 1
            summary.instances += len(detected[path].rows)
        if image.skipped or path in detected:
            counts.append(image)
    save_counts(output_dir / COUNTS_NAME, counts)


def picture_ids(pictures: Sequence[str]) -> dict[str, int]:
    """Assign image ids to pictures; see `predict_pictures`."""
    stems = [Path(path).stem for path in pictures]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len(set(map(int, stems))) == len(stems):
        return {path: int(stem) for path, stem in zip(pictures, stems, strict=True)}
    return {path: number for number, path in enumerate(pictures, start=1)}


def _read_all(paths: Iterable[str], channels: int, depth: int | None, summary: PredictionSummary) -> dict[str, np.ndarray]:
    """Read pictures; those that cannot be read are recorded in `summary.unreadable` with the reason."""
    images = {}
    for path in paths:
        try:
            images[path] = read_picture(path, channels, depth)
            if depth is None and is_darkened(path, images[path]):
                summary.darkened.append(path)
        except Exception as error:  # decoders raise errors of many types for damaged files
            summary.unreadable[path] = first_line(error)
    return images


def read_picture(path: Path | str, channels: int = 3, depth: int | None = None) -> Num[np.ndarray, "H W C"]:
    """Read a picture upright, as image viewers show it.

    Args:
        channels: 1 or 3, to which any picture is converted; any other value must be the file's number of channels.
        depth: number of bits that the values of a 16-bit picture use; None for 16.

    Returns:
        Pixels from 0 to 255, uint8 unless the file contains floats.

    Raises:
        DataError, ValueError, OSError: the file is not a picture, or has a different number of channels.

    Differs: data sets keep the pixels as stored, because annotations refer to them. For a photograph without annotations, only
        the EXIF orientation determines which way up it is.
    """
    if channels in (1, 3):
        image = read_image(path, depth)
    else:
        refuse_bomb(os.fspath(path))
        image = skimage.io.imread(path)
    try:
        orientation = read_orientation(path)
    except DataError:
        orientation = 1  # formats that Pillow does not support have no EXIF data
    return np.ascontiguousarray(turn_upright(to_channels(image, channels), orientation))
