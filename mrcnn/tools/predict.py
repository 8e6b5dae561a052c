"""Detection on picture files: read them, find the instances, write drawn pictures, COCO results and labelme files.

Legend: H W C picture, N instances.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import skimage.io

from mrcnn.base.errors import DataError
from mrcnn.datasets.coco_names import CATEGORY_IDS, CLASS_NAMES
from mrcnn.evaluation.results import save_results, to_coco_results
from mrcnn.geometry.rle import rle_area
from mrcnn.inference.mold import to_channels
from mrcnn.io.images import IMAGE_SUFFIXES, read_image, refuse_bomb
from mrcnn.io.orientation import read_orientation, turn_upright
from mrcnn.tools.write.labelme import write_labelme_result
from mrcnn.viz.draw import draw_detections

RESULTS_NAME = "detections.json"
PICTURE_ENDING = "_detections.jpg"
LABELME_NAME = "labelme"


@dataclass
class Summary:
    """What `predict_pictures` did.

    Attributes:
        pictures: int. Pictures drawn.
        instances: int. Instances on them.
        without_mask: int. Of these, those whose mask has no pixel: a box alone, which no labelme file holds.
        unreadable: {str path: str reason}. Pictures left out.
    """

    pictures: int = 0
    instances: int = 0
    without_mask: int = 0
    unreadable: dict = field(default_factory=dict)


def find_pictures(inputs, output_dir=None):
    """Return the pictures that a user names, each once, in order: list of str paths.

    Args:
        inputs: list of paths. A file is taken whatever it is called; of a folder, the files with a picture's suffix,
            those of its sub-folders too, sorted.
        output_dir: path, optional. What lies in it is left out: it was drawn by an earlier call.

    Raises:
        FileNotFoundError: a path that is not there, or a folder without pictures.
    """
    found = []
    for given in map(Path, inputs):
        if given.is_dir():
            inside = sorted(p for p in given.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if output_dir is not None:
                drawn = Path(output_dir).resolve()
                inside = [p for p in inside if not p.resolve().is_relative_to(drawn)]
            if not inside:
                raise FileNotFoundError(f"{given}: no pictures in this folder (looked for {', '.join(IMAGE_SUFFIXES)}).")
            found += inside
        elif given.is_file():
            found.append(given)
        else:
            raise FileNotFoundError(f"{given}: no such file or folder.")
    return list(dict.fromkeys(map(str, found)))


def predict_pictures(detect, pictures, output_dir, class_names, *, channels=3, batch_size=1, labelme=None,
                     progress=None):
    """Detect on pictures and write what was found.

    Args:
        detect: callable, list of [H, W, C] arrays -> list of {"rois", "class_ids", "scores", "masks"}, as
            `MaskRCNN.detect` with dense or RLE masks.
        pictures: list of str paths.
        output_dir: path. Made when missing. Gets <stem>_detections.jpg a picture, and detections.json: list of rows in
            COCO's results format with "file_name" and "category" (the name of the class) added. image_id is the number
            that the file is named by where every file is named by one of its own, as COCO's are, else its place in
            `pictures`, from 1. category_id is the class id, but COCO's own id where the classes are COCO's 80.
        class_names: list of str, the background first.
        channels: int. Channels that the network takes.
        batch_size: int. Pictures given to `detect` at a time.
        labelme: str or None. "polygon" or "mask" writes what was found as labelme files of such shapes too, each beside
            a copy of its picture, to the folder labelme in `output_dir`.
        progress: function (done, total), called after each batch, or None.

    Returns:
        Summary.

    Raises:
        ValueError: none of the pictures could be read.
    """
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    ids, names = picture_ids(pictures), _output_names(pictures)
    categories = CATEGORY_IDS if tuple(class_names) == CLASS_NAMES else range(len(class_names))
    summary, rows = Summary(), []
    for first in range(0, len(pictures), batch_size):
        images = _read_all(pictures[first : first + batch_size], channels, summary)
        # Pictures that could not be read leave a batch smaller, or empty.
        results = detect(list(images.values())) if images else []
        for path, result in zip(images, results, strict=True):
            picture = draw_detections(images[path], result, class_names)
            skimage.io.imsave(output_dir / (names[path] + PICTURE_ENDING), picture, check_contrast=False)
            if labelme:
                write_labelme_result(output_dir / LABELME_NAME, path, names[path], result, class_names,
                                     images[path].shape[:2], shape_type=labelme)
            found = _rows(path, ids[path], result, class_names, categories)
            rows += found
            summary.without_mask += sum(not rle_area(row["segmentation"]) for row in found if "segmentation" in row)
            summary.pictures += 1
            summary.instances += len(result["class_ids"])
        if progress is not None:
            progress(min(first + batch_size, len(pictures)), len(pictures))
    if not summary.pictures:
        path, reason = next(iter(summary.unreadable.items()))
        raise ValueError(f"none of the {len(pictures)} pictures could be read; the first: {path}: {reason}")
    save_results(output_dir / RESULTS_NAME, rows)
    return summary


def picture_ids(pictures):
    """Return the image id of each picture: {str path: int}. See `predict_pictures`."""
    stems = [Path(path).stem for path in pictures]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len(set(map(int, stems))) == len(stems):
        return {path: int(stem) for path, stem in zip(pictures, stems, strict=True)}
    return {path: place for place, path in enumerate(pictures, start=1)}


def _output_names(pictures):
    """Give each picture a name of its own, without an ending: pictures of two folders may be called the same."""
    names, taken = {}, set()
    for path in pictures:
        name, number = Path(path).stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{Path(path).stem}_{number}"
        taken.add(name.lower())
        names[path] = name
    return names


def _read_all(paths, channels, summary):
    """Read pictures: {path: [H, W, C]}. What cannot be read goes to `summary.unreadable` with the reason."""
    images = {}
    for path in paths:
        try:
            images[path] = read_picture(path, channels)
        except Exception as error:  # a decoder fails in its own way on each kind of broken file
            reason = str(error).strip().splitlines() or [type(error).__name__]
            summary.unreadable[path] = reason[0]
    return images


def read_picture(path, channels=3):
    """Read a picture the way up that a viewer shows it.

    Args:
        path: str or path.
        channels: int. 1 and 3 are made of any picture; for another number the file itself must hold it.

    Returns:
        [H, W, channels] of range 0..255; uint8 but for files of floats.

    Raises:
        DataError, ValueError, OSError: no picture, or not of so many channels.

    Differs: data sets keep the pixels as stored, since annotations refer to them. A photograph straight from a camera
        has nothing but its EXIF orientation to say which way is up.
    """
    if channels in (1, 3):
        image = read_image(path)
    else:
        refuse_bomb(os.fspath(path))
        image = skimage.io.imread(path)
    return np.ascontiguousarray(turn_upright(to_channels(image, channels), _orientation(path)))


def _orientation(path):
    """Return the EXIF orientation of a file, 1 to 8; 1 where there is none."""
    try:
        return read_orientation(path)
    except DataError:
        return 1  # a format that Pillow does not know carries no EXIF


def _rows(path, image_id, result, class_names, categories):
    rows = to_coco_results(image_id, result, categories)
    for row, class_id in zip(rows, result["class_ids"], strict=True):
        row["category"] = class_names[class_id]
        row["file_name"] = Path(path).name
    return rows
