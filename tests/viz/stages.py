"""Hand-made stages of a sample and of detection, as input for the figures."""
import types

import numpy as np

from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.anchors import generate_pyramid_anchors
from mrcnn.loading.generator import DetectionTargetSettings
from mrcnn.loading.inspection import InspectionSettings
from mrcnn.loading.loader import TargetSettings
from mrcnn.loading.sample import SampleSettings

NAMES = ["BG", "cat", "dog"]
SHAPES, STD = np.array([[16, 16], [8, 8]]), np.array([0.1, 0.1, 0.2, 0.2])


class Boxes(Dataset):
    """Two images of 64 x 64 pixels: the first has a cat and a dog, the second has no objects."""

    def __init__(self):
        super().__init__()
        for class_id, name in enumerate(NAMES[1:], start=1):
            self.add_class("boxes", class_id, name)
        for image_id in range(2):
            self.add_image("boxes", image_id, None)
        self.prepare()

    def load_image(self, image_id):
        return np.full((64, 64, 3), 90, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((64, 64, 2), bool)
        masks[10:30, 10:40, 0] = masks[35:60, 30:60, 1] = True
        return (masks, np.array([1, 2], np.int32)) if image_id == 0 else (masks[:, :, :0], np.zeros(0, np.int32))


def settings():
    """Return InspectionSettings with two levels and ten ROIs."""
    anchors = generate_pyramid_anchors((16, 32), (0.5, 1, 2), SHAPES, (4, 8), 1)
    return InspectionSettings(
        sample=SampleSettings("square", 64, 64, 0.0, (28, 28), 3),
        targets=TargetSettings(anchors=anchors, num_train_anchors=32, rpn_bbox_std_dev=STD, max_gt_instances=5),
        detection=DetectionTargetSettings(10, 0.33, 3, STD, (14, 14), True),
        level_shapes=SHAPES, scales=(16, 32), strides=(4, 8), level_counts=[768, 192])  # fmt: skip


def inference_stages(count=4):
    """Return fake InferenceStages with the first `count` of four proposals: kept, kept, suppressed, background."""
    rng = np.random.default_rng(0)
    boxes = np.array([[10, 10, 30, 40], [35, 30, 60, 60], [36, 30, 60, 60], [0, 0, 20, 20]])[:count]
    kept = min(count, 2)
    masks = np.zeros((64, 64, kept), bool)
    for ix, (y1, x1, y2, x2) in enumerate(boxes[:kept]):
        masks[y1:y2, x1:x2, ix] = True
    class_ids, scores = np.array([1, 2, 2, 0])[:count], np.array([0.9, 0.8, 0.7, 0.99])[:count]
    return types.SimpleNamespace(
        image=np.full((64, 64, 3), 90, np.uint8), level_counts=[768, 192], rpn_scores=rng.random(960), top_anchors=boxes - 5.5,
        top_scores=scores, refined_anchors=boxes + 0.5, clipped_anchors=boxes, proposals=boxes[:2],
        class_probs=np.eye(3)[class_ids] if count else np.zeros((0, 3)), clipped_proposals=boxes, class_ids=class_ids,
        scores=scores, outcomes=["kept", "kept", "suppressed", "background"][:count],
        detections={"rois": boxes[:kept], "class_ids": class_ids[:kept], "scores": scores[:kept], "masks": masks},
        mask_probs=rng.random((kept, 28, 28)))  # fmt: skip
