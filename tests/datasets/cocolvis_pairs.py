"""A COCO file and an LVIS file of the same images, with rectangles as objects and the hand-computed result of merging them."""
import json

import cv2
import numpy as np

SIZE = (20, 30)
# of image 1; a rectangle is (y1, x1, y2, x2)
LVIS = [
    (2, 3, 12, 21),  # 180 pixels
    (4, 5, 8, 9),  # 16 pixels, all inside the first
    (10, 15, 16, 25),  # 60 pixels, 12 of them inside the first: 0.2
]
COCO = [
    (2, 3, 12, 20),  # 170 of the 180 pixels of LVIS's first: IoU 0.944, covered
    (5, 6, 7, 8),  # 4 pixels, inside LVIS's second: IoU 0.25
    (14, 0, 20, 10),  # 60 pixels, disjoint from all others
    (5, 12, 11, 24),  # 72 pixels, 54 of them inside LVIS's first (0.75, IoU 0.27), 9 inside LVIS's third
]
# the objects of the merged data set: those of LVIS, then those of COCO except the first
OBJECTS = [*LVIS, *COCO[1:]]
TREE = {
    0: {"children": [1], "parent": None, "node_level": 0},
    1: {"children": [3], "parent": 0, "node_level": 1},
    2: None,
    3: {"children": [], "parent": 1, "node_level": 2},
    4: None,
    5: None,
}
# 0 begins a layer; 1 and 2 overlap 0, but not each other; 3 overlaps 0 and 1; 4 does not overlap 0; 5 overlaps 0 and 2, not 3
MAPPING = [(0, 1), (1, 1), (1, 2), (2, 1), (0, 2), (2, 2)]
CROWD = (0, 0, 20, 30)


def polygon(y1, x1, y2, x2):
    """Return the outline of a rectangle as a COCO polygon."""
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def mask(y1, x1, y2, x2, size=SIZE):
    """Draw a rectangle: bool [H, W]."""
    rectangle_mask = np.zeros(size, bool)
    rectangle_mask[y1:y2, x1:x2] = True
    return rectangle_mask


def write_pair(folder, ids=(1, 4), missing=()):
    """Write instances.json, lvis.json and images/ with 000000000001.jpg and so on.

    Args:
        folder: Path.
        ids: image ids that both files have. Each has the rectangles above.
        missing: ids of the images without a file.

    Returns:
        (coco_json, lvis_json, images_dir): Paths.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    files = []
    for name, rectangles, only_id in (("instances.json", COCO, 2), ("lvis.json", LVIS, 3)):
        entries, annotations = [], []
        for image_id in (*ids, only_id):  # image 2 is only in COCO, image 3 only in LVIS
            entries.append({"id": image_id, "height": SIZE[0], "width": SIZE[1], "file_name": f"{image_id:012}.jpg",
                            "neg_category_ids": [], "not_exhaustive_category_ids": []})  # fmt: skip
            for rectangle in rectangles:
                annotations.append({"image_id": image_id, "category_id": 1, "segmentation": [polygon(*rectangle)]})
        if name == "instances.json":
            counts = [0, SIZE[0] * SIZE[1]]
            annotations.append({"image_id": ids[0], "category_id": 1, "iscrowd": 1,
                                "segmentation": {"size": list(SIZE), "counts": counts}})  # fmt: skip
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        categories = [{"id": 1, "name": "thing", "frequency": "f"}]
        files.append(folder / name)
        files[-1].write_text(json.dumps({"images": entries, "annotations": annotations, "categories": categories}))
    for image_id in (*ids, 2, 3):
        if image_id not in missing:
            assert cv2.imwrite(str(images / f"{image_id:012}.jpg"), np.full((*SIZE, 3), image_id * 10 % 256, np.uint8))
    return (*files, images)
