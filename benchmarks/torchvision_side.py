"""torchvision's maskrcnn_resnet50_fpn trained and evaluated on our data sets, and the translation between the two forms.

Theirs are boxes (x1, y1, x2, y2), and masks [N, H, W] in targets, [N, 1, H, W] of probabilities in what is found; ours are
boxes (y1, x1, y2, x2) and masks [H, W, N]. In both a box ends outside of its last pixel, and class 0 is the background.
"""
import os

import numpy as np
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from mrcnn.evaluation import coco
from mrcnn.geometry.boxes import extract_bboxes

# Of torchvision's own script of training, references/detection/train.py.
WEIGHT_DECAY = 1e-4


def to_image(image):
    """Return uint8 [H, W, 3] as uint8 [3, H, W]; see `as_input`."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def as_input(image, device):
    """Return uint8 [3, H, W] as the float [3, H, W] from 0 to 1 on a device that torchvision takes."""
    return image.to(device).float() / 255


def to_target(masks, class_ids):
    """Return bool [H, W, N] and [N] of ours as the target of an image: boxes [N, 4], labels [N], masks [N, H, W]."""
    boxes = extract_bboxes(masks)[:, [1, 0, 3, 2]]
    return {"boxes": torch.as_tensor(boxes, dtype=torch.float32), "labels": torch.as_tensor(class_ids, dtype=torch.int64),
            "masks": torch.as_tensor(np.ascontiguousarray(masks.transpose(2, 0, 1)), dtype=torch.uint8)}  # fmt: skip


def to_result(found):
    """Return what torchvision finds in an image as `MaskRCNN.detect` would say it, but for boxes in parts of pixels."""
    return {"rois": found["boxes"].float().cpu().numpy()[:, [1, 0, 3, 2]], "class_ids": found["labels"].cpu().numpy(),
            "scores": found["scores"].float().cpu().numpy(),
            "masks": (found["masks"][:, 0] >= 0.5).permute(1, 2, 0).cpu().numpy()}  # fmt: skip


class Theirs:
    """torchvision's model from random weights, with its training loop.

    Args:
        train_set: prepared Dataset of square images; kept in memory as tensors.
        size: int. Their side in pixels.
        image_ids: callable, step -> the images of its batch.
        momentum: float. Of SGD.
        clip_norm: float. Largest norm of the whole gradient.
    """

    def __init__(self, train_set, size, image_ids, momentum, clip_norm):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.image_ids, self.momentum, self.clip_norm = image_ids, momentum, clip_norm
        self.images = [to_image(train_set.load_image(i)) for i in train_set.image_ids]
        self.targets = [to_target(*train_set.load_mask(i)) for i in train_set.image_ids]
        torch.set_num_threads(os.cpu_count() or 1)
        torch.manual_seed(0)
        # average precision is of detections of every score
        self.model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=train_set.num_classes,
                                           min_size=size, max_size=size, box_score_thresh=0.0).to(self.device)  # fmt: skip
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}

    def restart(self):
        """Go back to the random weights."""
        self.model.load_state_dict(self.start)
        self.step = 0
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0, momentum=self.momentum, weight_decay=WEIGHT_DECAY)

    def _autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def train(self, steps, rate):
        """Train some steps. Returns: float, their mean loss; the card is done with them."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for _ in range(steps):
            ids = self.image_ids(self.step)
            images = [as_input(self.images[i], self.device) for i in ids]
            targets = [{name: value.to(self.device) for name, value in self.targets[i].items()} for i in ids]
            self.optimizer.zero_grad()
            with self._autocast():
                loss = sum(self.model(images, targets).values())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
            total = total + loss.detach()
            self.step += 1
        return float(total) / steps

    def detect(self, images):
        """Detect in a list of uint8 [H, W, 3]. Returns: list of dicts as of `MaskRCNN.detect`."""
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            return [to_result(found) for found in self.model([as_input(to_image(image), self.device) for image in images])]

    def evaluate(self, held_out):
        """Return the CocoResult of a data set."""
        return coco.evaluate(self.detect, held_out, batch_size=8)
