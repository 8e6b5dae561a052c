"""A data set in memory with known ground truth, and a perfect detector."""

import numpy as np

from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.rle import encode_mask


def rectangle(size, box):
    mask = np.zeros(size, bool)
    y1, x1, y2, x2 = box
    mask[y1:y2, x1:x2] = True
    return mask


def instance(size, class_id, box, iscrowd=0):
    y1, x1, y2, x2 = box
    return {
        "class_id": class_id,
        "segmentation": encode_mask(rectangle(size, box)),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": float((y2 - y1) * (x2 - x1)),
        "iscrowd": iscrowd,
    }


def result(size, *detections, form="dense"):
    """Return the result of a detector for detections (class id, box, score); the masks are the filled boxes."""
    masks = [rectangle(size, box) for _, box, _ in detections]
    return {
        "rois": np.array([box for _, box, _ in detections], np.int32).reshape(-1, 4),
        "class_ids": np.array([c for c, _, _ in detections], np.int32),
        "scores": np.array([s for _, _, s in detections], np.float32),
        "masks": np.stack(masks, -1) if masks and form == "dense" else
        np.zeros((*size, 0), bool) if form == "dense" else [encode_mask(m) for m in masks],
    }


class FakeDataset(Dataset):
    """A data set whose images have their id as pixels, so that a detector can tell them apart.

    Args:
        truth: list of instances for each image.
        errors, truth_errors: {image id: exception raised when its image, or its ground truth, is loaded}.
    """

    def __init__(self, truth, size=(120, 200), classes=("square", "circle", "triangle"), errors=None, truth_errors=None):
        super().__init__()
        self.truth, self.size, self.errors, self.truth_errors = truth, size, errors or {}, truth_errors or {}
        for i, name in enumerate(classes, start=1):
            self.add_class("fake", 10 * i, name)
        for i in range(len(truth)):
            self.add_image("fake", f"{100 + i}", f"{i}.png")
        self.prepare()

    def load_image(self, image_id):
        if image_id in self.errors:
            raise self.errors[image_id]
        return np.full((*self.size, 3), image_id, np.uint8)

    def ground_truth(self, image_id):
        if image_id in self.truth_errors:
            raise self.truth_errors[image_id]
        return self.truth[image_id]

    def perfect(self, images, form="rle"):
        """Detect exactly the objects that are not crowds, with a score of 1."""
        results = []
        for image in images:
            objects = [o for o in self.truth[int(image[0, 0, 0])] if not o["iscrowd"]]
            xywh = [o["bbox"] for o in objects]
            boxes = [(y, x, y + h, x + w) for x, y, w, h in xywh]
            triples = [(o["class_id"], box, 1.0) for o, box in zip(objects, boxes)]
            results.append(result(self.size, *triples, form=form))
        return results
