"""Any data set, or what a network found, as labelme's JSON files, to be looked at and corrected there.

Annotations in labelme refer to the picture as viewers show it, turned by its EXIF orientation.

Source: https://github.com/wkentaro/labelme. Shape letters: H W image, N instances.
"""

import base64
import io
import os
from pathlib import Path

import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.labelme.shapes import CROWD_FLAG
from mrcnn.geometry.outlines import find_holes, signed_area, trace_mask
from mrcnn.geometry.rle import decode_rle
from mrcnn.io.orientation import read_orientation, turn_points, turn_upright, turned_size
from mrcnn.tools.write.images import MISSING, ImageNames, copy_file, is_file
from mrcnn.tools.write.reading import read_instances
from mrcnn.tools.write.summary import Summary

# labelme looks at the first number of it
VERSION = "5.5.0"
SHAPE_TYPES = ("polygon", "mask")
# pixels that an outline traced from a mask may be off, for the sake of few points to drag
TOLERANCE = 1.0


def write_labelme(dataset, folder, *, images=None, copy_images=False, shape_type="polygon", tolerance=TOLERANCE,
                  image_ids=None, workers=1, progress=None):  # fmt: skip
    """Write a data set as labelme's files, one an image.

    Polygons stay as they are. Masks and RLE become polygons that give at least 99 % of the mask back, or masks. An
    instance of several parts, or with holes, is a group of shapes; crowds get the flag "crowd".

    Args:
        dataset: Dataset, prepared.
        folder: path. Gets <image>.json in the sub-folders that the images have.
        images: path of the folder that sub-folders are counted from; None takes the data set's own.
        copy_images: bool. Whether the images are copied there too, so that the folder stands by itself; otherwise the
            files point to where the images are.
        shape_type: str. What masks and RLE become: "polygon", or "mask", which is exact, and known from labelme 5.2 on.
        tolerance: float, pixels. How far traced polygons may be off; 0 follows every step of the mask.
        image_ids: positions of the images to write; None for all.
        workers: int. Processes that read the annotations; None for one a processor core where there are many images.
        progress: callable (images done, images in all), or None.

    Returns:
        Summary. An image or instance that is not usable is left out and listed in it.

    Raises:
        DataError: no image at all could be written.
        ValueError: shape_type is unknown.
    """
    check_shape_type(shape_type)
    image_ids = range(len(dataset.image_info)) if image_ids is None else [int(i) for i in image_ids]
    names = ImageNames(dataset, images, folder if copy_images else None, image_ids)
    class_names = [str(info["name"]) for info in dataset.class_info]
    summary, json_names = Summary.of(dataset), ImageNames(dataset, names.folder)

    def to_form(instance, segmentation, group):
        return to_shapes(class_names[instance.class_id], segmentation, group, shape_type=shape_type, tolerance=tolerance,
                         iscrowd=bool(instance.iscrowd))

    for done, read in enumerate(read_instances(dataset, image_ids, workers), start=1):
        summary.left_out += read.left_out
        summary.told += read.told
        info = dataset.image_info[read.image_id]
        try:
            if read.instances is not None:
                name = names.name(read.image_id)
                path = Path(folder, json_names.own_name(Path(name).with_suffix(".json")))
                picture = Path(folder, name) if copy_images else Path(info["path"])
                _write_image(path, dataset, read, os.path.relpath(picture, path.parent), to_form)
                if os.path.relpath(picture, folder).startswith(".."):
                    summary.told.append((path.name, _ELSEWHERE))
                if not copy_images and not is_file(info):
                    summary.told.append((path.name, MISSING))
                summary.images += 1
                for instance in read.instances:
                    summary.count(class_names[instance.class_id])
        except DataError as error:
            summary.left_out.append((f"image {info['id']}", str(error)))
        if progress is not None:
            progress(done, len(image_ids))
    if not summary.images and summary.left_out:
        where, reason = summary.left_out[-1]
        raise DataError(f"{folder}: nothing is written, for no image is left: {where}: {reason}")
    return summary


_ELSEWHERE = "its image lies outside of the folder: copy the images (copy_images), or read it with --allow-outside"


def _write_image(path, dataset, read, image_path, to_form):
    """Write the file of one image. Args: read: ReadImage; to_form: function (Instance, segmentation, group) -> shapes."""
    info, shapes = dataset.image_info[read.image_id], []
    size, orientation = dataset.image_size(read.image_id), 1
    if is_file(info) and not info.get("exif_applied"):
        # labelme turns the image, and so its annotations have to be turned
        orientation = read_orientation(info["path"])
    for instance in read.instances:
        shapes += to_form(instance, _turned(instance.segmentation, size, orientation), _next_group(shapes))
    write_file(path, image_path, turned_size(size, orientation), shapes)


def write_labelme_result(folder, picture, name, result, class_names, size, *, shape_type="polygon", tolerance=TOLERANCE):
    """Write what a network found on a picture as a labelme file, with a copy of the picture beside it.

    The score of each instance stands in its description.

    Args:
        folder: path. Made if it is missing.
        picture: path of the picture's file.
        name: str. The file is <name>.json, the copy <name> with the picture's ending.
        result: dict as of `MaskRCNN.detect`: "class_ids" [N], "scores" [N], "rois" [N, 4] and "masks" bool [H, W, N] or
            a list of N RLE dicts; without masks the boxes are written, as rectangles.
        class_names: list of str, the background first.
        size: (height, width) of the picture as it was given to the network: turned by its EXIF orientation.
        shape_type, tolerance: see `write_labelme`.

    Returns:
        Path of the JSON.
    """
    check_shape_type(shape_type)
    shapes, masks = [], result.get("masks")
    for i, (class_id, score) in enumerate(zip(result["class_ids"], result["scores"], strict=True)):
        label, told = str(class_names[int(class_id)]), f"score {float(score):.4f}"
        if masks is None:
            y1, x1, y2, x2 = (float(v) for v in result["rois"][i])
            shapes.append(_shape(label, [[x1, y1], [x2, y2]], "rectangle", description=told))
        else:
            mask = masks[:, :, i] if isinstance(masks, np.ndarray) else masks[i]
            shapes += to_shapes(label, mask, _next_group(shapes), shape_type=shape_type, tolerance=tolerance,
                                description=told)
    copy = Path(folder, name + Path(picture).suffix)
    copy_file(picture, copy)
    path = Path(folder, name + ".json")
    write_file(path, copy.name, size, shapes)
    return path


def check_shape_type(shape_type):
    """Raise a ValueError for an unknown one. Args: shape_type: str."""
    if shape_type not in SHAPE_TYPES:
        raise ValueError(f"shape_type is {shape_type!r}: expected {' or '.join(SHAPE_TYPES)}")


def write_file(path, image_path, size, shapes):
    """Write a labelme file whole.

    Args:
        path: path of the JSON.
        image_path: str. The image's file, relative to the JSON.
        size: (height, width) of the image as viewers show it.
        shapes: list of dicts, as of `to_shapes`.
    """
    content = {"version": VERSION, "flags": {}, "shapes": shapes, "imagePath": str(image_path).replace(os.sep, "/"),
               "imageData": None, "imageHeight": int(size[0]), "imageWidth": int(size[1])}  # fmt: skip
    save_json(path, content, indent=2)


def to_shapes(label, segmentation, group, *, shape_type="polygon", tolerance=TOLERANCE, description="", iscrowd=False):
    """Turn an instance into labelme's shapes.

    Args:
        label: str.
        segmentation: list of polygons [x1, y1, ...], an RLE dict, or a bool [H, W].
        group: int. Number of the group that the shapes are given where they are several.
        shape_type, tolerance: see `write_labelme`.
        description: str. Shown in labelme beside the shape.
        iscrowd: bool.

    Returns:
        list of dicts; empty for an empty mask.
    """
    about = {"description": description, "flags": {CROWD_FLAG: True} if iscrowd else {}}
    if isinstance(segmentation, list):
        rings = _all_solid(segmentation)
    else:
        mask = decode_rle(segmentation) if isinstance(segmentation, dict) else np.asarray(segmentation).astype(bool)
        if shape_type == "mask":
            return [_mask_shape(label, mask, **about)] if mask.any() else []
        rings = [ring for part in trace_mask(mask, tolerance) for ring in part.rings]
    group = group if len(rings) > 1 else None
    return [_shape(label, np.reshape(ring, (-1, 2)).tolist(), "polygon", group, **about) for ring in rings]


def _all_solid(rings):
    """Let rings of one instance run the same way where one in another would be read as a hole: they are none."""
    if len(rings) == 1 or not any(find_holes(rings)):
        return rings
    return [ring if signed_area(ring) > 0 else np.reshape(ring, (-1, 2))[::-1].ravel().tolist() for ring in rings]


def _shape(label, points, shape_type, group=None, description="", flags=None, mask=None):
    return {"label": label, "points": points, "group_id": group, "description": description, "shape_type": shape_type,
            "flags": flags or {}, "mask": mask}  # fmt: skip


def _mask_shape(label, mask, **about):
    """A mask of labelme's: the PNG of its box, whose last row and column the second point names."""
    from PIL import Image

    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    png = io.BytesIO()
    Image.fromarray(box).save(png, "PNG")
    points = [[float(cols[0]), float(rows[0])], [float(cols[-1]), float(rows[-1])]]
    return _shape(label, points, "mask", mask=base64.b64encode(png.getvalue()).decode("ascii"), **about)


def _next_group(shapes):
    """The first number that no shape of the file has as its group."""
    return max((shape["group_id"] for shape in shapes if shape["group_id"] is not None), default=0) + 1


def _turned(segmentation, size, orientation):
    """Move a segmentation from the stored image to the upright one."""
    if orientation == 1:
        return segmentation
    if isinstance(segmentation, list):
        return [turn_points(ring, size, orientation).ravel().tolist() for ring in segmentation]
    return turn_upright(decode_rle(segmentation), orientation)
