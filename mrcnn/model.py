"""Classic facade: the names that projects import from `mrcnn.model`.

Classes and functions whose signature is unchanged are re-exported from the packages. The others are adapters that unpack
`config` into explicit arguments. New code can import from the packages directly. `from mrcnn.model import *` also gives the
modules that the classic module had imported, such as `np`, `keras`, `K` and `KL`.

Shape letters: B images, N instances or boxes, H W C image, h w mini-mask or mask, A anchors, R ROIs, T sampled ROIs, G
ground-truth rows (padded), K classes with background, D detections, M side of the mask head.
"""

import datetime
import logging
import math
import os
import random
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float32, Float64, Int32, UInt8
from keras import backend as K
from keras import layers as KL
from keras import models as KM
from keras import ops

from mrcnn import utils
from mrcnn.base import pixels
from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.meta import compose_image_meta, parse_image_meta
from mrcnn.geometry.meta import split_image_meta as parse_image_meta_graph
from mrcnn.loading.augment import RandomFlip
from mrcnn.loading.generator import classic_batch, dense_rpn_match
from mrcnn.loading.sample import make_sample
from mrcnn.loading.targets import random_rois
from mrcnn.loading.targets import rpn as rpn_targets
from mrcnn.network.backbones.resnet import conv_block, identity_block, resnet_graph
from mrcnn.network.heads.box import BoxHead
from mrcnn.network.heads.mask import MaskHead
from mrcnn.network.heads.rpn import build_rpn_model, rpn_graph
from mrcnn.network.layers.detection import DetectionLayer
from mrcnn.network.layers.detection_target import DetectionTargetLayer
from mrcnn.network.layers.norms import BatchNorm, Norm
from mrcnn.network.layers.proposal import ProposalLayer
from mrcnn.network.layers.pyramid_roi_align import PyramidROIAlign
from mrcnn.network.losses import mrcnn_bbox_loss, mrcnn_class_loss, mrcnn_mask_loss, rpn_bbox_loss, rpn_class_loss, smooth_l1
from mrcnn.network.ops import boxes as box_ops
from mrcnn.network.ops.boxes import denorm_boxes as denorm_boxes_graph
from mrcnn.network.ops.boxes import norm_boxes as norm_boxes_graph
from mrcnn.network.ops.gather import first_true, gather_rows
from mrcnn.training import settings
from mrcnn.training.classic_keras import ClassicBatches
from mrcnn.training.inspection import log
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.training.settings import compute_backbone_shapes

__all__ = [
    "BatchNorm", "DataGenerator", "DetectionLayer", "DetectionTargetLayer", "MaskRCNN", "ProposalLayer",
    "PyramidROIAlign", "apply_box_deltas_graph", "batch_pack_graph", "build_detection_targets", "build_fpn_mask_graph",
    "build_rpn_model", "build_rpn_targets", "clip_boxes_graph", "compose_image_meta", "compute_backbone_shapes",
    "conv_block", "data_generator", "denorm_boxes_graph", "detection_targets_graph", "fpn_classifier_graph",
    "generate_random_rois", "identity_block", "load_image_gt", "log", "log2_graph", "mold_image",
    "mrcnn_bbox_loss_graph", "mrcnn_class_loss_graph", "mrcnn_mask_loss_graph", "norm_boxes_graph", "overlaps_graph",
    "parse_image_meta", "parse_image_meta_graph", "refine_detections_graph", "resnet_graph", "rpn_bbox_loss_graph",
    "rpn_class_loss_graph", "rpn_graph", "smooth_l1_loss", "trim_zeros_graph", "unmold_image",
    # modules that the classic module had imported; `KE.Layer` is a layer's base class
    "K", "KE", "KL", "KM", "OrderedDict", "datetime", "keras", "logging", "math", "np", "os", "random", "re", "utils"]

KE = KL


# --- Boxes on tensors ------------------------------------------------------------------------------------------------
def apply_box_deltas_graph(boxes: Any, deltas: Any) -> Any:
    """Shift and scale boxes [N, 4] by deltas [N, 4]; see `mrcnn.network.ops.boxes.apply_box_deltas`."""
    return box_ops.apply_box_deltas(boxes, deltas)


def clip_boxes_graph(boxes: Any, window: Any) -> Any:
    """Clip boxes [N, 4] to a window [4]; see `mrcnn.network.ops.boxes.clip_boxes`."""
    return box_ops.clip_boxes(boxes, window)


def overlaps_graph(boxes1: Any, boxes2: Any) -> Any:
    """Return the IoU [N1, N2] of two sets of boxes; see `mrcnn.network.ops.boxes.compute_overlaps`."""
    return box_ops.compute_overlaps(boxes1, boxes2)


def log2_graph(x: Any) -> Any:
    """Return the base-2 logarithm."""
    return ops.log(x) / np.log(np.float32(2.0))


def trim_zeros_graph(boxes: Any, name: str = "trim_zeros") -> tuple[Any, Any]:
    """Drop rows that are all zero. Eager only, because the size of the result varies.

    Returns:
        boxes [N, 4], and bool [rows] that is True for the rows that were kept.
    """
    keep = ops.any(ops.convert_to_tensor(boxes) != 0, axis=1)
    rows = np.flatnonzero(ops.convert_to_numpy(keep)).astype(np.int32)
    return ops.take(boxes, rows, axis=0), keep


def batch_pack_graph(x: Any, counts: Any, num_rows: int) -> Any:
    """Concatenate the first counts[i] rows of each image: [B, N, ...] -> [sum of counts, ...]. Eager only."""
    counts = ops.convert_to_numpy(counts)
    return ops.concatenate([x[i, :int(counts[i])] for i in range(num_rows)], axis=0)


# --- Parts of the network --------------------------------------------------------------------------------------------
def fpn_classifier_graph(rois: Any, feature_maps: Sequence[Any], image_meta: Any, pool_size: int, num_classes: int,
                         train_bn: bool | None = True, fc_layers_size: int = 1024) -> tuple[Any, Any, Any]:  # fmt: skip
    """Add ROI align and the box head.

    Args:
        rois: [B, R, 4]. Normalised.
        feature_maps: [P2, P3, P4, P5].
        image_meta: [B, 12 + K].
        pool_size: see `mrcnn.network.heads.box.BoxHead`.
        num_classes: see `BoxHead`.
        train_bn: see Config.TRAIN_BN.
        fc_layers_size: units of the two fully connected layers.

    Returns:
        logits [B, R, K], probabilities [B, R, K], deltas [B, R, K, 4].
    """
    features = PyramidROIAlign([pool_size, pool_size], name="roi_align_classifier")([rois, image_meta, *feature_maps])
    return BoxHead(pool_size, num_classes, fc_layers_size, Norm(train_bn=train_bn))(features)


def build_fpn_mask_graph(rois: Any, feature_maps: Sequence[Any], image_meta: Any, pool_size: int, num_classes: int,
                         train_bn: bool | None = True) -> Any:  # fmt: skip
    """Add ROI align and the mask head, and return masks [B, R, M, M, K]; arguments as for `fpn_classifier_graph`."""
    features = PyramidROIAlign([pool_size, pool_size], name="roi_align_mask")([rois, image_meta, *feature_maps])
    return MaskHead(num_classes, Norm(train_bn=train_bn))(features)


def detection_targets_graph(proposals: Any, gt_class_ids: Any, gt_boxes: Any, gt_masks: Any, config: Config) -> list[Any]:
    """Sample the detection targets of one image.

    Args:
        proposals: [R, 4]. Normalised.
        gt_class_ids: [G].
        gt_boxes: [G, 4]. Normalised.
        gt_masks: [h, w, G].

    Returns:
        rois [T, 4], class ids [T], deltas [T, 4], masks [T, M, M]; see `DetectionTargetLayer`.
    """
    gt_masks = ops.transpose(ops.convert_to_tensor(gt_masks), (2, 0, 1))
    batch = [ops.expand_dims(ops.convert_to_tensor(t), 0) for t in (proposals, gt_class_ids, gt_boxes, gt_masks)]
    return [output[0] for output in DetectionTargetLayer(config, seed=config.SEED)(batch)]


def refine_detections_graph(rois: Any, probs: Any, deltas: Any, window: Any, config: Config) -> Any:
    """Refine and filter the detections of one image, with NMS by class.

    Args:
        rois: [R, 4]. Normalised.
        probs: [R, K].
        deltas: [R, K, 4].
        window: [4]. Normalised.

    Returns:
        float32 [D, 6]. (y1, x1, y2, x2, class id, score).
    """
    shape = tuple(int(v) for v in config.IMAGE_SHAPE)
    window = np.asarray(ops.convert_to_numpy(window), np.float64)
    scale = np.array([shape[0], shape[1], shape[0], shape[1]], np.float64) - 1
    window_pixels = window * scale + [0, 0, 1, 1]
    meta = compose_image_meta(0, shape, shape, window_pixels, 1.0, np.ones(config.NUM_CLASSES))
    batch = [ops.expand_dims(ops.convert_to_tensor(t), 0) for t in (rois, probs, deltas, np.float32(meta))]
    return DetectionLayer(config)(batch)[0]


# --- Losses ----------------------------------------------------------------------------------------------------------
def smooth_l1_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the smooth L1 distance of each element; see `mrcnn.network.losses.smooth_l1`."""
    return smooth_l1(y_true, y_pred)


def rpn_class_loss_graph(rpn_match: Any, rpn_class_logits: Any) -> Any:
    """Return the class loss of the RPN for all anchors.

    Args:
        rpn_match: int [B, A, 1]. 1 positive, -1 negative, 0 neutral.
        rpn_class_logits: float [B, A, 2].
    """
    return rpn_class_loss(ops.squeeze(ops.convert_to_tensor(rpn_match), -1), rpn_class_logits)


def rpn_bbox_loss_graph(config: Config, target_bbox: Any, rpn_match: Any, rpn_bbox: Any) -> Any:
    """Return the box loss of the RPN for all anchors.

    Args:
        config: not used; part of the classic signature.
        target_bbox: float [B, S, 4]. Row i belongs to the i-th positive anchor; zero rows follow.
        rpn_match: int [B, A, 1]. 1 for positive anchors.
        rpn_bbox: float [B, A, 4]. Predicted deltas.
    """
    positions, valid = first_true(ops.squeeze(ops.convert_to_tensor(rpn_match), -1) == 1, target_bbox.shape[1])
    return rpn_bbox_loss(target_bbox, ops.cast(valid, "int32"), gather_rows(ops.convert_to_tensor(rpn_bbox), positions))


def mrcnn_class_loss_graph(target_class_ids: Any, pred_class_logits: Any, active_class_ids: Any) -> Any:
    """Return the class loss of the heads; see `mrcnn.network.losses.mrcnn_class_loss`."""
    return mrcnn_class_loss(target_class_ids, pred_class_logits, active_class_ids)


def mrcnn_bbox_loss_graph(target_bbox: Any, target_class_ids: Any, pred_bbox: Any) -> Any:
    """Return the box loss of the heads; see `mrcnn.network.losses.mrcnn_bbox_loss`."""
    return mrcnn_bbox_loss(target_bbox, target_class_ids, pred_bbox)


def mrcnn_mask_loss_graph(target_masks: Any, target_class_ids: Any, pred_masks: Any) -> Any:
    """Return the mask loss of the heads.

    Args:
        target_masks: float [B, R, M, M] of 0 and 1.
        target_class_ids: int [B, R]. Above 0 for positives.
        pred_masks: float [B, R, M, M, K]. Probabilities for every class.
    """
    class_ids = ops.maximum(ops.cast(target_class_ids, "int32"), 0)[:, :, None, None, None]
    return mrcnn_mask_loss(target_masks, target_class_ids, ops.take_along_axis(pred_masks, class_ids, axis=4)[..., 0])


# --- Images and training data ----------------------------------------------------------------------------------------
def mold_image(images: npt.ArrayLike, config: Config) -> Float32[np.ndarray, "*B C"]:
    """Subtract config.MEAN_PIXEL from one or several images [..., C]."""
    return pixels.mold_image(np.asarray(images), config.MEAN_PIXEL)


def unmold_image(normalized_images: npt.ArrayLike, config: Config) -> UInt8[np.ndarray, "*B C"]:
    """Add config.MEAN_PIXEL to one or several images [..., C], then round and clip."""
    return pixels.unmold_image(np.asarray(normalized_images), config.MEAN_PIXEL)


def load_image_gt(
    dataset: Dataset,
    config: Config,
    image_id: int,
    augment: bool = False,
    augmentation: Any = None,
    use_mini_mask: bool | None = None,
) -> tuple[np.ndarray, np.ndarray, Int32[np.ndarray, " N"], Int32[np.ndarray, "N 4"], Bool[np.ndarray, "h w N"]]:
    """Load an image and its ground truth, resized and padded to the network's input.

    Args:
        dataset: prepared.
        augment: whether to flip half of the images left to right (deprecated in the classic code).
        augmentation: imgaug augmenter, optional.
        use_mini_mask: None uses config.USE_MINI_MASK.

    Returns:
        image [H, W, C], image_meta [12 + K], class_ids, boxes, and full-size masks, or mini-masks of MINI_MASK_SHAPE.
    """
    image, meta, class_ids, boxes, masks = make_sample(
        dataset, image_id, settings.sample_settings(config, use_mini_mask), _augmenter(augment, augmentation))
    return image, meta, class_ids, boxes, np.moveaxis(masks, 0, -1)


def build_rpn_targets(
    image_shape: object, anchors: npt.ArrayLike, gt_class_ids: npt.ArrayLike, gt_boxes: npt.ArrayLike, config: Config
) -> tuple[Int32[np.ndarray, " A"], Float64[np.ndarray, "T 4"]]:
    """Match anchors to ground truth; see `mrcnn.loading.targets.rpn`. `image_shape` is not used.

    Returns:
        rpn_match: 1 positive, -1 negative, 0 neutral.
        rpn_bbox: deltas of the positive anchors in ascending order of the anchors, then zero rows.
    """
    positions, labels, deltas = rpn_targets.build_rpn_targets(
        np.asarray(anchors), np.asarray(gt_class_ids), np.asarray(gt_boxes),
        num_train_anchors=config.RPN_TRAIN_ANCHORS_PER_IMAGE, bbox_std_dev=config.RPN_BBOX_STD_DEV)
    return dense_rpn_match(positions, labels, len(np.asarray(anchors))), deltas.astype(np.float64)


def build_detection_targets(rpn_rois: npt.ArrayLike, gt_class_ids: npt.ArrayLike, gt_boxes: npt.ArrayLike,
                            gt_masks: npt.ArrayLike, config: Config) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Sample ROIs and build their targets in NumPy; see `mrcnn.loading.targets.random_rois.build_detection_targets`."""
    return random_rois.build_detection_targets(
        np.asarray(rpn_rois), np.asarray(gt_class_ids), np.asarray(gt_boxes),
        np.moveaxis(np.asarray(gt_masks, bool), -1, 0), **vars(settings.detection_target_settings(config)))


def generate_random_rois(image_shape: Sequence[int], count: int, gt_class_ids: npt.ArrayLike,
                         gt_boxes: npt.ArrayLike) -> np.ndarray:  # fmt: skip
    """Generate ROIs that resemble proposals; see `mrcnn.loading.targets.random_rois.generate_random_rois`."""
    return random_rois.generate_random_rois(
        tuple(image_shape), count, np.asarray(gt_class_ids), np.asarray(gt_boxes).reshape(-1, 4))


def data_generator(
    dataset: Dataset,
    config: Config,
    shuffle: bool = True,
    augment: bool = False,
    augmentation: Any = None,
    random_rois: int = 0,
    batch_size: int = 1,
    detection_targets: bool = False,
    no_augmentation_sources: Sequence[str] | None = None,
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Generate an endless sequence of training batches.

    Args:
        dataset: prepared.
        shuffle: whether to draw a new order in each epoch.
        augment: whether to flip half of the images left to right (deprecated in the classic code).
        augmentation: imgaug augmenter, optional.
        random_rois: number of random ROIs per image, to train the heads without the RPN; 0 for none.
        detection_targets: whether to sample the random ROIs and build the targets of the heads for them.
        no_augmentation_sources: names of sources whose images are not augmented.

    Yields:
        (inputs, outputs); see `mrcnn.loading.generator.data_generator`.
    """
    return settings.make_generator(
        dataset, config, shuffle=shuffle, augmentation=_augmenter(augment, augmentation), random_rois=random_rois,
        batch_size=batch_size, detection_targets=detection_targets, no_augmentation_sources=no_augmentation_sources)


class DataGenerator(ClassicBatches):
    """The batches of `data_generator` by index, for one epoch with each image once.

    Batches have config.BATCH_SIZE images; the last one of an epoch may have fewer. Arguments as for `data_generator`.
    """

    def __init__(self, dataset: Dataset, config: Config, shuffle: bool = True, augmentation: Any = None, random_rois: int = 0,
                 detection_targets: bool = False, **kwargs: Any) -> None:  # fmt: skip
        super().__init__(**kwargs)
        if detection_targets and not random_rois:
            raise ValueError("detection_targets needs ROIs to build targets for: give random_rois too, such as 2000")
        self.loader = settings.make_loader(dataset, config, shuffle=shuffle, augmentation=augmentation)
        self.random_rois, self.mean_pixel = random_rois, config.MEAN_PIXEL
        self.detection = settings.detection_target_settings(config) if detection_targets else None
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, idx: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        first, size = idx * self.loader.batch_size, self.loader.batch_size
        positions = range(first, min(first + size, self.loader.num_samples))
        samples = [self.loader.sample(self.epoch, position) for position in positions]
        rng = np.random.default_rng([self.loader.seed, self.epoch, idx])
        return classic_batch(self.loader, samples, self.mean_pixel, self.random_rois, self.detection, rng)

    def on_epoch_end(self) -> None:
        """Change to the image order of the next epoch."""
        self.epoch += 1


def _augmenter(augment: bool, augmentation: Any) -> Any:
    """Return `augmentation`, or an augmenter that flips half of the images if the classic flag `augment` is set."""
    return RandomFlip(horizontal=0.5) if augment and augmentation is None else augmentation
