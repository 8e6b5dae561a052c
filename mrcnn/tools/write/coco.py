"""Any data set as a JSON file of COCO's instance format.

Source: https://cocodataset.org/#format-data.
"""

import json

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.tools.write.images import MISSING, ImageNames, is_file
from mrcnn.tools.write.reading import read_instances
from mrcnn.tools.write.summary import Summary


def write_coco(dataset, path, *, images=None, copy_images=None, image_ids=None, workers=1, progress=None):
    """Write a data set as COCO's JSON. An earlier file of that name is replaced once the new one is whole.

    Ids of images, annotations and categories count from 1, in the order of the data set; category k is class k.
    Polygons stay as they are, masks and RLE become RLE. An instance keeps the area and box that it came with; for
    others see `mrcnn.tools.write.instances.measure`.

    Args:
        dataset: Dataset, prepared.
        path: path of the JSON. Its folder is made if it is missing.
        images: path of the folder that file names are relative to; None takes the data set's own (see
            `images_folder`).
        copy_images: path of a folder to copy the images to, or None. File names are then relative to it, sub-folders
            are kept, images that are no files are written as PNG, and those that the data set turns by their EXIF
            orientation are written the way up that their annotations refer to.
        image_ids: positions of the images to write; None for all.
        workers: int. Processes that read the annotations; None for one a processor core where there are many images.
        progress: callable (images done, images in all), or None.

    Returns:
        Summary. An image or instance that is not usable is left out and listed in it.

    Raises:
        DataError: no image at all could be written.
    """
    image_ids = range(len(dataset.image_info)) if image_ids is None else [int(i) for i in image_ids]
    names = ImageNames(dataset, images, copy_images, image_ids, upright=True)
    class_names = [str(info["name"]) for info in dataset.class_info]
    summary, entries = Summary.of(dataset), []
    # annotations go to the file as they come; the images' entries, a line each, are kept until the end
    with atomic_open(path, "w") as file:
        file.write('{"annotations": [')
        for done, read in enumerate(read_instances(dataset, image_ids, workers), start=1):
            summary.left_out += read.left_out
            summary.told += read.told
            entry = None
            if read.instances is not None:
                entry = _image_entry(dataset, read.image_id, names, len(entries) + 1, summary.left_out)
            if entry is not None:
                entries.append(_line(entry))
                if "exif_applied" in entry:
                    summary.told.append((entry["file_name"], _TURNED))
                if copy_images is None and not is_file(dataset.image_info[read.image_id]):
                    summary.told.append((entry["file_name"], MISSING))
                for instance in read.instances:
                    file.write(("," if summary.instances else "") + "\n")
                    summary.count(class_names[instance.class_id])
                    file.write(_line(_annotation(instance, len(entries), summary.instances)))
            if progress is not None:
                progress(done, len(image_ids))
        if not entries and summary.left_out:
            where, reason = summary.left_out[-1]
            raise DataError(f"{path} is not written, for no image is left: {where}: {reason}")
        file.write('\n],\n"images": [\n' + ",\n".join(entries) + '\n],\n"categories": [\n')
        categories = [{"id": k, "name": name, "supercategory": name} for k, name in enumerate(class_names) if k]
        file.write(",\n".join(map(_line, categories)) + '\n],\n"info": {"description": "written by mrcnn"}}\n')
    summary.images = len(entries)
    return summary


_TURNED = "its annotations refer to it as its EXIF orientation turns it, and many programs do not turn: copy the images"


def _line(value):
    return json.dumps(value, allow_nan=False)


def _image_entry(dataset, image_id, names, number, left_out):
    """Make the entry of an image; None, and the reason in `left_out`, when its file is not to be had."""
    info = dataset.image_info[image_id]
    try:
        height, width = dataset.image_size(image_id)
        entry = {"id": number, "file_name": names.name(image_id), "height": height, "width": width}
    except DataError as error:
        left_out.append((f"image {info['id']}", str(error)))
        return None
    if info.get("exif_applied") and names.copy_to is None:
        # not of COCO, whose readers may or may not turn an image: ours does where this stands
        entry["exif_applied"] = True
    return entry


def _annotation(instance, image_number, number):
    return {
        "id": number,
        "image_id": image_number,
        "category_id": instance.class_id,
        "iscrowd": instance.iscrowd,
        "area": instance.area,
        "bbox": instance.bbox,
        "segmentation": instance.segmentation,
    }
