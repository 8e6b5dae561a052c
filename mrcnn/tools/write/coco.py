"""Writing any data set as a JSON file in COCO's instance format.

Source: https://cocodataset.org/#format-data.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.dataset import Dataset
from mrcnn.tools.write.images import MISSING, ImageNames, is_file
from mrcnn.tools.write.instances import Instance, read_instances
from mrcnn.tools.write.summary import Summary

_UNCLEAR = "its EXIF orientation is not applied: look whether its masks fit (mrcnn view), and remove the tag"
_ROTATED = "annotations refer to the image rotated by its EXIF orientation, which many programs ignore: copy the images"


def write_coco(dataset: Dataset, path: Path | str, *, images: Path | str | None = None,
               copy_images: Path | str | None = None, image_ids: Sequence[int] | None = None,
               workers: int | None = 1, progress: Show | None = None) -> Summary:  # fmt: skip
    """Write a data set as COCO JSON. An existing file is replaced only when the new one is complete.

    Images, annotations and categories are numbered from 1 in the order of the data set; category k is class k. Polygons are
    written unchanged, masks and RLEs as RLE. Instances keep the area and box of their annotations; missing ones are computed
    by `mrcnn.tools.write.instances.measure`.

    Args:
        dataset: prepared.
        path: the JSON. Its folder is created if necessary.
        images: folder to which file names are relative; None determines it (see `images_folder`).
        copy_images: folder to which images are copied, with their subfolders, or None. File names are then relative to it.
            Images without a file are written as PNG, and images that the data set rotates by their EXIF orientation are
            written rotated.
        image_ids: indices of the images to write; None for all.
        workers: number of processes that read annotations; None uses one per core when there are many images.
        progress: called after each image.

    Returns:
        Summary, which lists unusable images and instances.

    Raises:
        DataError: no image could be written.
    """
    image_ids = range(len(dataset.image_info)) if image_ids is None else [int(i) for i in image_ids]
    names = ImageNames(dataset, images, copy_images, image_ids, upright=True)
    class_names = [str(info["name"]) for info in dataset.class_info]
    summary = Summary.of(dataset)
    # annotations are written immediately; the images' entries, one line each, are kept until the end
    entries: list[str] = []
    with atomic_open(path, "w") as file:
        file.write('{"annotations": [')
        for done, read in enumerate(read_instances(dataset, image_ids, workers), start=1):
            summary.skipped += read.skipped
            summary.notes += read.notes
            entry = None
            if read.instances is not None:
                entry = _image_entry(dataset, read.image_id, names, len(entries) + 1, summary.skipped)
            if entry is not None:
                entries.append(_line(entry))
                if "exif_applied" in entry:
                    summary.notes.append((entry["file_name"], _ROTATED))
                elif dataset.unclear_orientation(read.image_id) != 1:
                    summary.notes.append((entry["file_name"], _UNCLEAR))
                if copy_images is None and not is_file(dataset.image_info[read.image_id]):
                    summary.notes.append((entry["file_name"], MISSING))
                for instance in read.instances:
                    file.write(("," if summary.instances else "") + "\n")
                    summary.count(class_names[instance.class_id])
                    file.write(_line(_annotation(instance, len(entries), summary.instances)))
            if progress is not None:
                progress(done, len(image_ids))
        if not entries and summary.skipped:
            where, reason = summary.skipped[-1]
            raise DataError(f"{path} was not written because no image is usable; the last: {where}: {reason}")
        file.write('\n],\n"images": [\n' + ",\n".join(entries) + '\n],\n"categories": [\n')
        categories = [{"id": k, "name": name, "supercategory": name} for k, name in enumerate(class_names) if k]
        file.write(",\n".join(map(_line, categories)) + '\n],\n"info": {"description": "written by mrcnn"}}\n')
    summary.images = len(entries)
    return summary


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _image_entry(dataset: Dataset, image_id: int, names: ImageNames, number: int, skipped: list[tuple[Any, str]],
                 ) -> dict[str, Any] | None:  # fmt: skip
    """Make the entry of an image; None, with the reason in `skipped`, if its file is not usable."""
    info = dataset.image_info[image_id]
    try:
        height, width = dataset.image_size(image_id)
        entry = {"id": number, "file_name": names.name(image_id), "height": height, "width": width}
    except DataError as error:
        skipped.append((f"image {info['id']}", str(error)))
        return None
    if dataset.is_rotated(image_id) and names.copy_to is None:
        # an extension of COCO's format: our reader rotates the images that have it, others may not
        entry["exif_applied"] = True
    return entry


def _annotation(instance: Instance, image_number: int, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_number,
        "category_id": instance.class_id,
        "iscrowd": instance.iscrowd,
        "area": instance.area,
        "bbox": instance.bbox,
        "segmentation": instance.segmentation,
    }
