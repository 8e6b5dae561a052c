"""A small torchvision Mask R-CNN trained and evaluated on our data sets, and the conversion between the two formats.

torchvision uses boxes (x1, y1, x2, y2), masks [N, H, W] in targets, and mask probabilities [N, 1, H, W] in detections; we use
boxes (y1, x1, y2, x2) and masks [H, W, N]. In both, (x2, y2) lies outside the box, and class 0 is the background.
"""
import os
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
        image_ids: function that returns the image ids of the batch of a step.
    """

    def __init__(self, train_set: Dataset, config: Config, image_ids: Callable[[int], Iterable[int]]) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.image_ids, self.clip_norm = image_ids, config.GRADIENT_CLIP_NORM
        self.images = [to_image(train_set.load_image(i)) for i in train_set.image_ids]
        self.targets = [to_target(*train_set.load_mask(i)) for i in train_set.image_ids]
        torch.set_num_threads(os.cpu_count() or 1)
        torch.manual_seed(0)
        self.model = small_network(config).to(self.device)
        self.initial_weights = {name: value.clone() for name, value in self.model.state_dict().items()}

    def restart(self) -> None:
        """Restore the initial random weights."""
        self.model.load_state_dict(self.initial_weights)
        self.step = 0
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def train(self, steps: int, rate: float) -> float:
        """Train for some steps, wait for the device, and return their mean loss."""
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

    def detect(self, images: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Detect in images, uint8 [H, W, 3], and return results like those of `MaskRCNN.detect`."""
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            inputs = [as_input(to_image(image), self.device) for image in images]
            return [to_result(detections) for detections in self.model(inputs)]

    def evaluate(self, held_out: Dataset) -> coco.CocoResult:
        """Evaluate the network on a data set."""
        return coco.evaluate(self.detect, held_out, batch_size=8)
