"""Small versions of the data that the README's commands use, with the paths that the README gives."""
import json

import cv2
import numpy as np

from tests.datasets.formats import labelme_files
from tests.datasets.panoptic_sets import segment, write_split

SIZE = (64, 80)
# objects of each image: (category id, y1, x1, y2, x2)
OBJECTS = [(17, 4, 6, 40, 38), (18, 20, 44, 60, 76)]
CATEGORIES = [{"id": 17, "name": "cat", "isthing": 1}, {"id": 18, "name": "dog", "isthing": 1}]


def _polygon(y1, x1, y2, x2):
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def make_coco(root):
    """Write COCO's layout with instances and panoptic annotations, train and val of three images each."""
    for split, first in (("train", 1), ("val", 4)):
        names = {number: f"{number:012}.jpg" for number in range(first, first + 3)}
        ids = np.zeros(SIZE, int)
        for number, (_, y1, x1, y2, x2) in enumerate(OBJECTS, start=1):
            ids[y1:y2, x1:x2] = number
        segments = [segment(n, category, (y2 - y1) * (x2 - x1)) for n, (category, y1, x1, y2, x2) in enumerate(OBJECTS, 1)]
        write_split(root, [(name, ids, segments) for name in names.values()], split, CATEGORIES)
        instances(root / "annotations" / f"instances_{split}2017.json", names, OBJECTS)


def instances(path, names, objects, **fields):
    """Write COCO's instances: `names` is {image id: file name}, `objects` as OBJECTS, `fields` are added to each image."""
    split = "train2017" if 1 in names else "val2017"
    images = [{"id": i, "file_name": name, "coco_url": f"http://images.cocodataset.org/{split}/{name}", "height": SIZE[0],
               "width": SIZE[1], **fields} for i, name in names.items()]  # fmt: skip
    annotations = [
        {"image_id": i, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (y2 - y1) * (x2 - x1),
         "iscrowd": 0, "segmentation": [_polygon(y1, x1, y2, x2)]}
        for i in names for category, y1, x1, y2, x2 in objects]  # fmt: skip
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    categories = [{"frequency": "f", **category} for category in CATEGORIES]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def make_pair(folder, root):
    """Write the two files that COCO+LVIS is built from to `folder`, after `make_coco(root)`."""
    names = {number: f"{number:012}.jpg" for number in (1, 2, 3)}
    instances(folder / "instances_train2017.json", names, OBJECTS)
    lvis = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    instances(folder / "lvis_v1_train.json", names, [(18, 22, 46, 50, 70)], **lvis)
    assert all((root / "train2017" / name).is_file() for name in names.values())


def _write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC))


def make_photographs(folder, count=10):
    """Write a labelme folder of images with a ball and a brick each."""
    for number in range(count):
        shapes = [labelme_files.shape("ball", labelme_files.ring(6, 4, 30 + number, 40)),
                  labelme_files.shape("brick", labelme_files.ring(44, 20, 76, 50 + number))]  # fmt: skip
        labelme_files.write(folder, shapes, f"{number}", SIZE, image=False)
        _write_image(folder / f"{number}.png", number)


def make_images(folder):
    """Write photo.jpg and an image in holiday/."""
    _write_image(folder / "photo.jpg", 100)
    _write_image(folder / "holiday" / "beach.jpg", 101)


def make_toys(folder):
    """Write the two files that the Python example reads, after `make_photographs`."""
    things = [{"class_id": 1, "y": [4, 40, 40, 4], "x": [6, 6, 30, 30]}, {"class_id": 2, "y": [20, 50, 50], "x": [44, 44, 76]}]
    for name, numbers in (("my_toys_train.json", (0, 1)), ("my_toys_val.json", (2,))):
        entries = [{"file": f"photographs/{number}.png", "objects": things} for number in numbers]
        (folder / name).write_text(json.dumps(entries))
