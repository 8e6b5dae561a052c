"""Writing any data set, or detections, as JSON files for labelme, in which they can be corrected.

labelme's annotations refer to the image as viewers show it: rotated by its EXIF orientation.

Source: https://github.com/wkentaro/labelme. Shape letters: H W image, N instances.
"""

import base64
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats.labelme.shapes import CROWD_FLAG
from mrcnn.geometry.outlines import find_holes, signed_area, trace_mask
from mrcnn.geometry.rle import decode_rle
from mrcnn.io.orientation import read_orientation, turn_points, turn_upright, turned_size
from mrcnn.tools.write.images import MISSING, ImageNames, copy_file, is_file
from mrcnn.tools.write.instances import Instance, ReadImage, Segmentation, read_instances
from mrcnn.tools.write.summary import Summary

# labelme compares the major version
VERSION = "5.5.0"
SHAPE_TYPES = ("polygon", "mask")
# pixels by which an outline may deviate from its mask, so that there are few points to drag
TOLERANCE = 1.0
_ELSEWHERE = "its image is outside the folder: copy the images (copy_images), or read it with --allow-outside"

Shapes = list[dict[str, Any]]


def write_labelme(dataset: Dataset, folder: Path | str, *, images: Path | str | None = None,
                  copy_images: bool = False, shape_type: str = "polygon", tolerance: int | float = TOLERANCE,
                  image_ids: Sequence[int] | None = None, workers: int | None = 1,
                  progress: Show | None = None) -> Summary:  # fmt: skip
    """Write a data set as labelme files, one per image.

    Polygons are written unchanged. Masks and RLEs become masks, or polygons with an IoU of at least 0.99. An instance with
    several parts or with holes becomes a group of shapes; crowds get the flag "crowd".

    Args:
        dataset: prepared.
        folder: for <image>.json, with the subfolders of the images.
        images: folder to which the subfolders are relative; None determines it (see `images_folder`).
        copy_images: whether to copy the images to the folder; otherwise, the files refer to the original images.
        shape_type: shape for masks and RLEs: "polygon", or "mask", which is exact and needs labelme 5.2.
        tolerance: pixels by which traced polygons may deviate from the mask; 0 follows every pixel.
        image_ids: indices of the images to write; None for all.
        workers: number of processes that read annotations; None uses one per core when there are many images.
        progress: called after each image.

    Returns:
        Summary, which lists unusable images and instances.

    Raises:
        DataError: no image could be written.
        ValueError: shape_type is unknown.
    """
    check_shape_type(shape_type)
    image_ids = range(len(dataset.image_info)) if image_ids is None else [int(i) for i in image_ids]
    names = ImageNames(dataset, images, folder if copy_images else None, image_ids)
    class_names = [str(info["name"]) for info in dataset.class_info]
    summary, json_names = Summary.of(dataset), ImageNames(dataset, names.folder)

    def shapes_of(instance: Instance, segmentation: Any, group: int) -> Shapes:
        return to_shapes(class_names[instance.class_id], segmentation, group, shape_type=shape_type, tolerance=tolerance,
                         iscrowd=bool(instance.iscrowd))

    for done, read in enumerate(read_instances(dataset, image_ids, workers), start=1):
        summary.skipped += read.skipped
        summary.notes += read.notes
        info = dataset.image_info[read.image_id]
        try:
            if read.instances is not None:
                name = names.name(read.image_id)
                path = Path(folder, json_names.unique_name(Path(name).with_suffix(".json")))
                picture = Path(folder, name) if copy_images else Path(info["path"])
                _write_image(path, dataset, read, os.path.relpath(picture, path.parent), shapes_of)
                if os.path.relpath(picture, folder).startswith(".."):
                    summary.notes.append((path.name, _ELSEWHERE))
                if not copy_images and not is_file(info):
                    summary.notes.append((path.name, MISSING))
                summary.images += 1
                for instance in read.instances:
                    summary.count(class_names[instance.class_id])
        except DataError as error:
            summary.skipped.append((f"image {info['id']}", str(error)))
        if progress is not None:
            progress(done, len(image_ids))
    if not summary.images and summary.skipped:
        where, reason = summary.skipped[-1]
        raise DataError(f"{folder}: nothing was written because no image is usable; the last: {where}: {reason}")
    return summary


def _write_image(path: Path, dataset: Dataset, read: ReadImage, image_path: str,
                 shapes_of: Callable[[Instance, Any, int], Shapes]) -> None:  # fmt: skip
    """Write the file of one image. `shapes_of` makes shapes from an instance, its segmentation and a group number."""
    info = dataset.image_info[read.image_id]
    size, orientation = dataset.image_size(read.image_id), 1
    if is_file(info) and not dataset.is_rotated(read.image_id):
        # labelme rotates the image, so its annotations must be rotated too
        orientation = read_orientation(info["path"])
    shapes: Shapes = []
    for instance in read.instances:
        shapes += shapes_of(instance, _rotated(instance.segmentation, size, orientation), _next_group(shapes))
    write_file(path, image_path, turned_size(size, orientation), shapes)


def write_labelme_result(folder: Path | str, picture: Path | str, name: str,
                         result: Mapping[str, Any], class_names: Sequence[str], size: tuple[int, int], *,
                         shape_type: str = "polygon", tolerance: int | float = TOLERANCE) -> Path:  # fmt: skip
    """Write the detections in an image as a labelme file, with a copy of the image. The descriptions contain the scores.

    Args:
        folder: created if necessary.
        picture: file of the image.
        name: stem of the file <name>.json, and of the image's copy.
        result: from `MaskRCNN.detect`: "class_ids" [N], "scores" [N], "rois" [N, 4] and "masks" bool [H, W, N] or a list of N
            RLE dicts. Without masks, boxes are written as rectangles.
        class_names: the background first.
        size: (height, width) of the image passed to the network, rotated by its EXIF orientation.
        shape_type, tolerance: see `write_labelme`.

    Returns:
        Path of the JSON.
    """
    check_shape_type(shape_type)
    shapes: Shapes = []
    masks = result.get("masks")
    for i, (class_id, score) in enumerate(zip(result["class_ids"], result["scores"], strict=True)):
        label, score_text = str(class_names[int(class_id)]), f"score {float(score):.4f}"
        if masks is None:
            y1, x1, y2, x2 = (float(v) for v in result["rois"][i])
            shapes.append(_shape(label, [[x1, y1], [x2, y2]], "rectangle", description=score_text))
        else:
            mask = masks[:, :, i] if isinstance(masks, np.ndarray) else masks[i]
            shapes += to_shapes(label, mask, _next_group(shapes), shape_type=shape_type, tolerance=tolerance,
                                description=score_text)
    copy = Path(folder, name + Path(picture).suffix)
    copy_file(picture, copy)
    path = Path(folder, name + ".json")
    write_file(path, copy.name, size, shapes)
    return path


def check_shape_type(shape_type: str) -> None:
    """Raise a ValueError unless the shape type is known."""
    if shape_type not in SHAPE_TYPES:
        raise ValueError(f"shape_type is {shape_type!r}: expected {' or '.join(SHAPE_TYPES)}")


def write_file(path: Path | str, image_path: Path | str, size: tuple[int, int],
               shapes: Shapes) -> None:  # fmt: skip
    """Write a labelme file.

    Args:
        image_path: file of the image, relative to the JSON.
        size: (height, width) of the image as viewers show it.
        shapes: from `to_shapes`.
    """
    save_json(path, {"version": VERSION, "flags": {}, "shapes": shapes, "imagePath": str(image_path).replace(os.sep, "/"),
                     "imageData": None, "imageHeight": int(size[0]), "imageWidth": int(size[1])}, indent=2)  # fmt: skip


def to_shapes(label: str, segmentation: Segmentation | Shaped[np.ndarray, "H W"], group: int, *,
              shape_type: str = "polygon", tolerance: int | float = TOLERANCE, description: str = "",
              iscrowd: bool = False) -> Shapes:  # fmt: skip
    """Convert an instance to labelme's shapes; an empty mask has none.

    Args:
        segmentation: polygons, an RLE, or a mask.
        group: group number for an instance with several shapes.
        shape_type, tolerance: see `write_labelme`.
        description: shown with the shape in labelme.
    """
    about: dict[str, Any] = {"description": description, "flags": {CROWD_FLAG: True} if iscrowd else {}}
    if isinstance(segmentation, list):
        rings = _all_solid(segmentation)
    else:
        mask = decode_rle(segmentation) if isinstance(segmentation, dict) else np.asarray(segmentation).astype(bool)
        if shape_type == "mask":
            return [_mask_shape(label, mask, **about)] if mask.any() else []
        rings = [ring for part in trace_mask(mask, tolerance) for ring in part.rings]
    group_id = group if len(rings) > 1 else None
    return [_shape(label, np.reshape(ring, (-1, 2)).tolist(), "polygon", group_id, **about) for ring in rings]


def _all_solid(rings: list[Any]) -> list[Any]:
    """Give nested rings the same orientation, so that readers do not interpret the inner one as a hole."""
    if len(rings) == 1 or not any(find_holes(rings)):
        return rings
    return [ring if signed_area(ring) > 0 else np.reshape(ring, (-1, 2))[::-1].ravel().tolist() for ring in rings]


def _shape(label: str, points: list[Any], shape_type: str, group: int | None = None, description: str = "",
           flags: dict[str, bool] | None = None, mask: str | None = None) -> dict[str, Any]:  # fmt: skip
    return {"label": label, "points": points, "group_id": group, "description": description, "shape_type": shape_type,
            "flags": flags or {}, "mask": mask}  # fmt: skip


def _mask_shape(label: str, mask: Bool[np.ndarray, "H W"], **about: Any) -> dict[str, Any]:
    """Make labelme's shape "mask": a PNG of the mask's box, and two points, the first and last pixels in it."""
    from PIL import Image

    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    png = io.BytesIO()
    Image.fromarray(box).save(png, "PNG")
    points = [[float(cols[0]), float(rows[0])], [float(cols[-1]), float(rows[-1])]]
    return _shape(label, points, "mask", mask=base64.b64encode(png.getvalue()).decode("ascii"), **about)


def _next_group(shapes: Shapes) -> int:
    """Return the lowest group number not used by a shape in the file."""
    return max((shape["group_id"] for shape in shapes if shape["group_id"] is not None), default=0) + 1


def _rotated(segmentation: Any, size: tuple[int, int], orientation: int) -> Any:
    """Rotate a segmentation from the stored image to the upright one."""
    if orientation == 1:
        return segmentation
    if isinstance(segmentation, list):
        return [turn_points(ring, size, orientation).ravel().tolist() for ring in segmentation]
    return turn_upright(decode_rle(segmentation), orientation)
