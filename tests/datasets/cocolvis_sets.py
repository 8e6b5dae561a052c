"""COCO+LVIS data sets, written directly with Python's pickle."""
import pickle

import cv2
import numpy as np

SIZE = (20, 30)
# object 0 with its part 1; object 2 on another layer; another part 3 of object 0; stuff 4
RECTANGLES = [(2, 3, 12, 21), (4, 5, 8, 9), (14, 20, 19, 29), (3, 12, 10, 20), (0, 0, 2, 30)]
MAPPING = [(0, 1), (1, 7), (1, 255), (2, 3), (0, 2)]
HIERARCHY = {
    0: {"children": [1, 3], "parent": None, "node_level": 0},
    1: {"children": [], "parent": 0, "node_level": 1},
    2: None,
    3: {"children": [], "parent": 0, "node_level": 1},
}


def rectangle(index, size=SIZE):
    """Draw one of RECTANGLES: bool [H, W]."""
    y1, x1, y2, x2 = RECTANGLES[index]
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def png(layer):
    """Encode uint8 [H, W] as a PNG, in an array of bytes."""
    return cv2.imencode(".png", layer)[1]


def layers(size=SIZE, mapping=MAPPING):
    """Draw the layers of RECTANGLES: list of uint8 [H, W]."""
    label_maps = [np.zeros(size, np.uint8) for _ in range(1 + max(layer for layer, _ in mapping))]
    for index, (layer, number) in enumerate(mapping):
        label_maps[layer][rectangle(index, size)] = number
    return label_maps


def masks_file(size=SIZE, mapping=MAPPING):
    """Return the content of the masks file of RECTANGLES."""
    return [png(layer) for layer in layers(size, mapping)], list(mapping)


def entry():
    """Return a new entry of the hierarchy file for such an image."""
    nodes = {k: None if node is None else {**node, "children": [*node["children"]]} for k, node in HIERARCHY.items()}
    return {"num_instance_masks": 4, "hierarchy": nodes}


def write_set(folder, hannotation, masks=None, protocol=4, size=SIZE):
    """Write a subset.

    Args:
        folder: Path of the subset, such as set/train.
        hannotation: dict image id -> entry, or anything else.
        masks: dict image id -> content of its masks file; other images get that of RECTANGLES.
        protocol: int. Protocol of the pickles.
        size: (height, width) of the images.

    Returns:
        The folder.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "hannotation.pickle").write_bytes(pickle.dumps(hannotation, protocol))
    for position, image_id in enumerate(hannotation if isinstance(hannotation, dict) else ()):
        content = (masks or {}).get(image_id, masks_file(size))
        (folder / "masks" / f"{image_id}.pickle").write_bytes(pickle.dumps(content, protocol))
        assert cv2.imwrite(str(folder / "images" / f"{image_id}.jpg"), np.full((*size, 3), 50 * position + 20, np.uint8))
    return folder
