"""A small torchvision Mask R-CNN trained and evaluated on our data sets, and the conversion between the two formats.

torchvision uses boxes (x1, y1, x2, y2), masks [N, H, W] in targets, and mask probabilities [N, 1, H, W] in detections; we use
boxes (y1, x1, y2, x2) and masks [H, W, N]. In both, (x2, y2) lies outside the box, and class 0 is the background.
"""
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.models import resnet18
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation import coco
from mrcnn.geometry.boxes import extract_bboxes


def to_image(image: np.ndarray) -> torch.Tensor:
    """Convert an image from uint8 [H, W, 3] to uint8 [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def as_input(image: torch.Tensor, device: str) -> torch.Tensor:
    """Convert an image from uint8 [3, H, W] to torchvision's input: float [3, H, W] in 0..1, on a device."""
    return image.to(device).float() / 255


def to_target(masks: np.ndarray, class_ids: np.ndarray) -> dict[str, torch.Tensor]:
    """Convert our masks [H, W, N] and class ids [N] to torchvision's boxes [N, 4], labels [N] and masks [N, H, W]."""
    boxes = extract_bboxes(masks)[:, [1, 0, 3, 2]]
    return {"boxes": torch.as_tensor(boxes, dtype=torch.float32), "labels": torch.as_tensor(class_ids, dtype=torch.int64),
            "masks": torch.as_tensor(np.ascontiguousarray(masks.transpose(2, 0, 1)), dtype=torch.uint8)}  # fmt: skip


def to_result(detections: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Convert torchvision's detections in an image to a result of `MaskRCNN.detect`, except that boxes are not rounded."""
    return {"rois": detections["boxes"].float().cpu().numpy()[:, [1, 0, 3, 2]],
            "class_ids": detections["labels"].cpu().numpy(), "scores": detections["scores"].float().cpu().numpy(),
            "masks": (detections["masks"][:, 0] >= 0.5).permute(1, 2, 0).cpu().numpy()}  # fmt: skip


def small_network(config: Config) -> MaskRCNN:
    """Return torchvision's MaskRCNN with a ResNet-18, and the anchors and widths of our Config."""
    trunk = resnet18(weights=None)
    pyramid, hidden, mask = config.TOP_DOWN_PYRAMID_SIZE, config.FPN_CLASSIF_FC_LAYERS_SIZE, config.MASK_HEAD_CHANNELS
    backbone = BackboneWithFPN(trunk, {f"layer{n}": str(n - 1) for n in (1, 2, 3, 4)}, [64, 128, 256, 512], pyramid)
    ratios = tuple(config.RPN_ANCHOR_RATIOS)
    anchors = AnchorGenerator(tuple((scale,) for scale in config.RPN_ANCHOR_SCALES), (ratios,) * len(config.RPN_ANCHOR_SCALES))
    # a score threshold of 0, because average precision takes detections of every score
    return MaskRCNN(
        backbone, min_size=config.IMAGE_MIN_DIM, max_size=config.IMAGE_MAX_DIM, rpn_anchor_generator=anchors,
        rpn_head=RPNHead(pyramid, len(ratios)), rpn_pre_nms_top_n_train=config.PRE_NMS_LIMIT,
        rpn_pre_nms_top_n_test=config.PRE_NMS_LIMIT, rpn_post_nms_top_n_train=config.POST_NMS_ROIS_TRAINING,
        rpn_post_nms_top_n_test=config.POST_NMS_ROIS_INFERENCE, box_head=TwoMLPHead(pyramid * 7 * 7, hidden),
        box_predictor=FastRCNNPredictor(hidden, config.NUM_CLASSES), box_batch_size_per_image=config.TRAIN_ROIS_PER_IMAGE,
        box_score_thresh=0.0, box_detections_per_img=config.DETECTION_MAX_INSTANCES,
        mask_head=MaskRCNNHeads(pyramid, (mask,) * 4, 1), mask_predictor=MaskRCNNPredictor(mask, mask, config.NUM_CLASSES))


class Theirs:
    """torchvision's network with random weights, and a training loop.

    Args:
        train_set: prepared, of square images; kept in memory as tensors.
        config: our Config, for the settings that both sides share.
        image_ids: function (step, seed) -> the image ids of the batch.
        rate_at: function (step, peak) -> the learning rate.
        steps: number of steps of a run.
    """

    def __init__(self, train_set: Dataset, config: Config, image_ids: Callable[[int, int], Iterable[int]],
                 rate_at: Callable[[int, float], float], steps: int) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.config, self.image_ids, self.rate_at, self.steps = config, image_ids, rate_at, steps
        self.images = [to_image(train_set.load_image(i)) for i in train_set.image_ids]
        self.targets = [to_target(*train_set.load_mask(i)) for i in train_set.image_ids]
        torch.set_num_threads(os.cpu_count() or 1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def train(self, peak: float, seed: int) -> dict[str, float]:
        """Train from random weights; return "loss", the mean of the run, and "images/s" of its second half."""
        torch.manual_seed(seed)
        self.model = small_network(self.config).to(self.device).train()
        optimizer = torch.optim.Adam(self.model.parameters())
        total, start = 0.0, math.nan
        for step in range(self.steps):
            if step == self.steps // 2:
                start = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = self.rate_at(step, peak)
            loss = self._step(optimizer, self.image_ids(step, seed))
            total += float(loss)
            if not math.isfinite(total):
                break
        counted = self.config.BATCH_SIZE * (self.steps - self.steps // 2)
        return {"loss": total / self.steps, "images/s": counted / (time.perf_counter() - start)}

    def _step(self, optimizer: torch.optim.Optimizer, ids: Iterable[int]) -> torch.Tensor:
        images = [as_input(self.images[i], self.device) for i in ids]
        targets = [{name: value.to(self.device) for name, value in self.targets[i].items()} for i in ids]
        optimizer.zero_grad()
        with self._autocast():
            loss = sum(self.model(images, targets).values())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.GRADIENT_CLIP_NORM)
        optimizer.step()
        return loss.detach()

    def detect(self, images: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Detect in images, uint8 [H, W, 3], and return results like those of `MaskRCNN.detect`."""
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            inputs = [as_input(to_image(image), self.device) for image in images]
            return [to_result(detections) for detections in self.model(inputs)]

    def evaluate(self, held_out: Dataset) -> coco.CocoResult:
        """Evaluate the network on a data set."""
        return coco.evaluate(self.detect, held_out, batch_size=8)
