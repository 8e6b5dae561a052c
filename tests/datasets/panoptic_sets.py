"""Panoptic data sets for tests: images, PNGs of segments, and their JSON."""
import json

import cv2
import numpy as np
from PIL import Image

# two things and two kinds of stuff, not sorted, because semantic ids follow the order of the ids
CATEGORIES = [
    {"id": 200, "name": "rug", "isthing": 0},
    {"id": 3, "name": "car", "isthing": 1},
    {"id": 92, "name": "banner", "isthing": 0},
    {"id": 1, "name": "person", "isthing": 1},
]
SEMANTIC_IDS = {1: 1, 3: 2, 92: 3, 200: 4}


def segment(number, category_id, area, iscrowd=0, **others):
    """Return an entry of segments_info."""
    return {"id": number, "category_id": category_id, "area": area, "iscrowd": iscrowd, **others}


def write_png(path, ids):
    """Write segment ids, int [H, W], as the colours R + 256 G + 65536 B."""
    ids = np.asarray(ids)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)).save(path)


def write_jpeg(path, size, seed=0, **options):
    """Write a JPEG of noise; `size` is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(cv2.blur(noise, (5, 5))).save(path, "JPEG", **options)


def write_split(root, images, split="train", categories=CATEGORIES):
    """Write a split in COCO's layout.

    Args:
        images: list of (file name, int ids [H, W], list of entries of segments_info). Image ids count from 1.

    Returns:
        Path of the JSON, and its content.
    """
    content = {"images": [], "annotations": [], "categories": categories}
    for number, (name, ids, segments) in enumerate(images, start=1):
        ids = np.asarray(ids)
        png = name.rsplit(".", 1)[0] + ".png"
        write_jpeg(root / f"{split}2017" / name, ids.shape, number)
        write_png(root / "annotations" / f"panoptic_{split}2017" / png, ids)
        content["images"].append({"id": number, "file_name": name, "height": ids.shape[0], "width": ids.shape[1]})
        content["annotations"].append({"image_id": number, "file_name": png, "segments_info": segments})
    path = root / "annotations" / f"panoptic_{split}2017.json"
    path.write_text(json.dumps(content))
    return path, content


def random_image(rng, size, max_segments=6):
    """Return random segments, as int ids [H, W] and a list of entries of segments_info: things, crowds and stuff."""
    ids = np.zeros(size, np.int64)
    for _ in range(int(rng.integers(0, max_segments + 1))):
        y, x = (int(rng.integers(0, side)) for side in size)
        ids[y : y + int(rng.integers(1, size[0] + 1)), x : x + int(rng.integers(1, size[1] + 1))] = rng.integers(1, 2**24)
    segments = []
    for number, area in zip(*np.unique(ids[ids > 0], return_counts=True), strict=True):
        category = int(rng.choice([1, 3, 92, 200]))
        segments.append(segment(int(number), category, int(area), int(category in (1, 3) and rng.random() < 0.3)))
    return ids, segments
