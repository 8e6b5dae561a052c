"""A data set in memory with the few methods that evaluation asks for."""

import numpy as np

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


def result(size, *found, form="dense"):
    """A detector's answer: each found is (class id, box, score), its mask the filled box."""
    masks = [rectangle(size, box) for _, box, _ in found]
    return {
        "rois": np.array([box for _, box, _ in found], np.int32).reshape(-1, 4),
        "class_ids": np.array([c for c, _, _ in found], np.int32),
        "scores": np.array([s for _, _, s in found], np.float32),
        "masks": np.stack(masks, -1) if masks and form == "dense" else
        np.zeros((*size, 0), bool) if form == "dense" else [encode_mask(m) for m in masks],
    }


class FakeDataset:
    """truth: one list of instances an image. An image's pixels are its id, so that a detector can tell them apart."""

    def __init__(self, truth, size=(120, 200), classes=("square", "circle", "triangle"), broken=()):
        self.truth, self.size, self.broken = truth, size, set(broken)
        self.image_ids = np.arange(len(truth))
        self.image_info = [{"source": "fake", "id": f"{100 + i}", "path": f"{i}.png"} for i in self.image_ids]
        self.class_info = [{"source": "", "id": 0, "name": "BG"}]
        self.class_info += [{"source": "fake", "id": 10 * i, "name": name} for i, name in enumerate(classes, start=1)]
        self.source_class_ids = {"fake": list(range(len(classes) + 1))}

    def load_image(self, image_id):
        if image_id in self.broken:
            raise OSError("cannot identify image file")
        return np.full((*self.size, 3), image_id, np.uint8)

    def ground_truth(self, image_id):
        return self.truth[image_id]

    def image_reference(self, image_id):
        return self.image_info[image_id]["path"]

    def perfect(self, images, form="rle"):
        """The detector that knows: every object that is no crowd, with score 1."""
        found = []
        for image in images:
            objects = [o for o in self.truth[int(image[0, 0, 0])] if not o["iscrowd"]]
            xywh = [o["bbox"] for o in objects]
            boxes = [(y, x, y + h, x + w) for x, y, w, h in xywh]
            triples = [(o["class_id"], box, 1.0) for o, box in zip(objects, boxes)]
            found.append(result(self.size, *triples, form=form))
        return found
