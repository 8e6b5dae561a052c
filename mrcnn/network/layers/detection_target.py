"""Sampling of the ROIs that the heads train on, and their targets.

Shape letters: B images, R proposals, G ground-truth rows (padded), T sampled ROIs, P the first of them, which may be positive,
Q the first of those, which go through the mask head, M side of a mask.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from mrcnn.network.ops.boxes import box_refinement, compute_overlaps
from mrcnn.network.ops.gather import gather_rows, mask_rows
from mrcnn.network.ops.roi_align import sample_crops

POSITIVE_IOU = 0.5
# A proposal with at least this IoU with a crowd is not a negative: it may contain an unannotated object.
CROWD_IOU = 0.001


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionTargetLayer(keras.layers.Layer):
    """Sample positive and negative proposals and build their class, box and mask targets.

    Args:
        config: object with TRAIN_ROIS_PER_IMAGE, ROI_POSITIVE_RATIO, BBOX_STD_DEV, MASK_SHAPE and USE_MINI_MASK, which
            override the arguments below (the classic signature).
        rois_per_image: T.
        positive_ratio: maximum fraction of positives; P = int(T * positive_ratio).
        bbox_std_dev: standard deviations by which the deltas are divided.
        positive_iou: minimum IoU of a positive proposal with an object; those below are negative.
        fill_negatives: whether negatives fill all rows that positives leave. Otherwise there are at most as many as keep
            `positive_ratio`, as in the classic code.
        continuous: whether boxes are in continuous coordinates; see `geometry.boxes`.
        mask_shape: (height, width) of a mask target.
        use_mini_mask: whether gt_masks are cropped to their boxes.
        seed: for sampling positives and negatives.

    `call([proposals, gt_class_ids, gt_boxes, gt_masks])`:
        proposals: float [B, R, 4]. Normalised; all-zero rows are padding.
        gt_class_ids: int [B, G]. 0 is padding, negative is a crowd.
        gt_boxes: float [B, G, 4]. Normalised.
        gt_masks: [B, G, h, w], bool or 0/1. Mini-masks or full-size masks.
        Returns, with positives first, then negatives, then all-zero rows:
            rois float32 [B, T, 4]; target_class_ids int32 [B, T] (0 for negatives);
            target_deltas float32 [B, T, 4]; target_masks float32 [B, T, M, M] of 0 and 1.
            Positives occupy at most the first P rows, so the mask head needs only those.

    Source: Mask R-CNN (He et al. 2017), section 3.1 (IoU 0.5, 1:3).
    Differs: the classic code sampled no negatives unless a proposal was positive; here an image without objects trains on T
        negatives.
    """

    def __init__(
        self, config: Any = None, *, rois_per_image: int = 200, positive_ratio: float = 0.33,
        bbox_std_dev: Sequence[float] = (0.1, 0.1, 0.2, 0.2), mask_shape: Sequence[int] = (28, 28),
        use_mini_mask: bool = True, seed: int = 0, positive_iou: float = POSITIVE_IOU, fill_negatives: bool = False,
        continuous: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if config is not None:
            rois_per_image, positive_ratio = config.TRAIN_ROIS_PER_IMAGE, config.ROI_POSITIVE_RATIO
            bbox_std_dev, mask_shape, use_mini_mask = config.BBOX_STD_DEV, config.MASK_SHAPE, config.USE_MINI_MASK
        self.rois_per_image = int(rois_per_image)
        self.positive_ratio = float(positive_ratio)
        self.bbox_std_dev = tuple(float(v) for v in bbox_std_dev)
        height, width = mask_shape
        self.mask_shape = int(height), int(width)
        self.use_mini_mask = bool(use_mini_mask)
        self.seed = int(seed)
        self.positive_iou = float(positive_iou)
        self.fill_negatives, self.continuous = bool(fill_negatives), bool(continuous)
        self.random = keras.random.SeedGenerator(self.seed)

    @property
    def max_positives(self) -> int:
        """P, the maximum number of positives; at least 1, so that shapes stay valid."""
        return max(int(self.rois_per_image * self.positive_ratio), 1)

    def call(self, inputs):
        proposals, gt_class_ids, gt_boxes, gt_masks = (ops.stop_gradient(ops.convert_to_tensor(t)) for t in inputs)
        proposals, gt_boxes = ops.cast(proposals, "float32"), ops.cast(gt_boxes, "float32")
        gt_class_ids = ops.cast(gt_class_ids, "int32")
        overlaps = compute_overlaps(proposals, gt_boxes)  # [B, R, G]
        objects = ops.where((gt_class_ids > 0)[:, None, :], overlaps, 0.0)

        sampled, is_positive, valid = self._sample(proposals, gt_class_ids, overlaps, objects)
        rois = mask_rows(gather_rows(proposals, sampled), valid)
        # The object with which each sampled ROI overlaps most; masked below unless the ROI is positive.
        matched = gather_rows(ops.cast(ops.argmax(objects, axis=2), "int32"), sampled)  # [B, T]
        matched_boxes = gather_rows(gt_boxes, matched)
        class_ids = ops.where(is_positive, gather_rows(gt_class_ids, matched), 0)
        return [rois, class_ids, self._deltas(rois, matched_boxes, is_positive),
                self._masks(rois, matched, matched_boxes, gt_masks, is_positive)]

    def _sample(
        self, proposals: KerasTensor, gt_class_ids: KerasTensor, overlaps: KerasTensor, objects: KerasTensor
    ) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Sample T proposals: their indices int32 [B, T], is_positive bool [B, T], valid bool [B, T]."""
        total, max_positives = self.rois_per_image, self.max_positives
        best = ops.max(objects, axis=2)  # [B, R]
        on_crowd = ops.any(ops.logical_and((gt_class_ids < 0)[:, None, :], overlaps >= CROWD_IOU), axis=2)
        valid = ops.any(proposals != 0.0, axis=2)
        positive = ops.logical_and(valid, best >= self.positive_iou)
        negative = ops.logical_and(valid, ops.logical_and(best < self.positive_iou, ops.logical_not(on_crowd)))

        random_keys = keras.random.uniform(ops.shape(best), seed=self.random, dtype="float32")  # [B, R]
        positive_ix, positive_valid = _random_choice(positive, random_keys, max_positives)
        negative_ix, negative_valid = _random_choice(negative, random_keys, total)
        if not self.fill_negatives:
            num_positive = ops.sum(ops.cast(positive_valid, "int32"), axis=1, keepdims=True)
            num_negative = ops.cast(ops.cast(num_positive, "float32") * np.float32(1.0 / self.positive_ratio),
                                    "int32") - num_positive
            has_objects = ops.any(gt_class_ids > 0, axis=1, keepdims=True)
            num_negative = ops.where(has_objects, num_negative, total)
            negative_valid = ops.logical_and(negative_valid, ops.arange(total, dtype="int32")[None] < num_negative)

        candidates = ops.concatenate([positive_ix, negative_ix], axis=1)  # [B, P + T]
        kind = ops.concatenate([2 * ops.cast(positive_valid, "int32"), ops.cast(negative_valid, "int32")], axis=1)
        # A stable sort into positives, negatives, the rest: distinct keys, because top_k is not stable on every backend.
        slots = max_positives + total
        keys = ops.cast(kind * slots + (slots - 1 - ops.arange(slots, dtype="int32"))[None], "float32")
        packed = ops.cast(ops.top_k(keys, total)[1], "int32")
        kind = gather_rows(kind, packed)
        return gather_rows(candidates, packed), kind == 2, kind > 0

    def _deltas(self, rois: KerasTensor, matched_boxes: KerasTensor, is_positive: KerasTensor) -> KerasTensor:
        unit = np.array([0, 0, 1, 1], np.float32)  # any box of positive area, for rows without a target
        keep = is_positive[..., None]
        deltas = box_refinement(ops.where(keep, rois, unit), ops.where(keep, matched_boxes, unit))
        return ops.where(keep, deltas / ops.convert_to_tensor(self.bbox_std_dev, "float32"), 0.0)

    def _masks(
        self, rois: KerasTensor, matched: KerasTensor, matched_boxes: KerasTensor, gt_masks: KerasTensor,
        is_positive: KerasTensor,
    ) -> KerasTensor:
        max_positives = min(self.max_positives, self.rois_per_image)
        rois, matched, matched_boxes = rois[:, :max_positives], matched[:, :max_positives], matched_boxes[:, :max_positives]
        keep = is_positive[:, :max_positives]
        if self.use_mini_mask:
            rois = _within(rois, matched_boxes, keep)
        batch, slots, height, width = (ops.shape(gt_masks)[i] for i in range(4))
        table = ops.reshape(gt_masks, (-1, 1))
        cells = height * width
        starts = (ops.arange(batch, dtype="int32")[:, None] * slots + matched) * cells
        flat_size = ops.zeros_like(ops.reshape(matched, (-1,)))
        crops = sample_crops(table, ops.reshape(starts, (-1,)), flat_size + height, flat_size + width,
                             ops.reshape(rois, (-1, 4)), self.mask_shape, self.continuous)
        masks = ops.round(ops.reshape(crops, (batch, max_positives, *self.mask_shape)))
        masks = ops.where(keep[..., None, None], masks, 0.0)
        return ops.pad(masks, ((0, 0), (0, self.rois_per_image - max_positives), (0, 0), (0, 0)))

    def compute_output_spec(self, inputs):
        batch, rows = inputs[0].shape[0], self.rois_per_image
        return [keras.KerasTensor((batch, rows, 4), "float32"), keras.KerasTensor((batch, rows), "int32"),
                keras.KerasTensor((batch, rows, 4), "float32"),
                keras.KerasTensor((batch, rows, *self.mask_shape), "float32")]

    def compute_output_shape(self, input_shape):
        batch, rows = input_shape[0][0], self.rois_per_image
        return [(batch, rows, 4), (batch, rows), (batch, rows, 4), (batch, rows, *self.mask_shape)]

    def compute_mask(self, inputs, mask=None):
        """Keep Keras from propagating a mask to the four outputs."""
        return [None, None, None, None]

    def get_config(self):
        return {**super().get_config(), "rois_per_image": self.rois_per_image, "positive_ratio": self.positive_ratio,
                "bbox_std_dev": list(self.bbox_std_dev), "mask_shape": list(self.mask_shape),
                "use_mini_mask": self.use_mini_mask, "seed": self.seed, "positive_iou": self.positive_iou,
                "fill_negatives": self.fill_negatives, "continuous": self.continuous}  # fmt: skip


def _random_choice(allowed: KerasTensor, random_keys: KerasTensor, count: int) -> tuple[KerasTensor, KerasTensor]:
    """Sample up to `count` true entries per row: their indices int32 [B, count], and which of these are valid."""
    keys = ops.where(allowed, random_keys, -1.0)
    if keys.shape[1] is None or keys.shape[1] < count:
        keys = ops.pad(keys, ((0, 0), (0, count)), constant_values=-1.0)
    top, positions = ops.top_k(keys, count)
    valid = top >= 0.0
    return ops.where(valid, ops.cast(positions, "int32"), 0), valid


def _within(boxes: KerasTensor, frames: KerasTensor, keep: KerasTensor) -> KerasTensor:
    """Return boxes in coordinates that run from 0 to 1 across `frames`; unchanged where `keep` is False."""
    keep = keep[..., None]
    frames = ops.where(keep, frames, np.array([0, 0, 1, 1], np.float32))
    origin = ops.concatenate([frames[..., :2], frames[..., :2]], axis=-1)
    size = frames[..., 2:] - frames[..., :2]
    return (boxes - origin) / ops.concatenate([size, size], axis=-1)


@keras.saving.register_keras_serializable(package="mrcnn")
class PositiveRois(keras.layers.Layer):
    """Keep the first Q rows of each image, where Q is the largest number of positives in any image, and at least 1.

    On a CPU, running the mask head on all P rows takes a third of a training step, and early in training or in images with
    few objects most of them are negative and contribute no gradient. Q is known only at run time, so this works only with
    TensorFlow without XLA; JAX and XLA compile for static shapes.

    `call([rois, class_ids])`:
        rois: float [B, P, 4]. Positives come first.
        class_ids: int32 [B, P]. Above 0 for positives.
        Returns rois [B, Q, 4], class_ids [B, Q].
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # boxes stay float32 when the features have lower precision
        self.supports_jit = False

    def call(self, inputs):
        rois, class_ids = inputs
        positives = ops.sum(ops.cast(class_ids > 0, "int32"), axis=1)  # [B]
        kept = ops.maximum(ops.max(positives), 1)
        return rois[:, :kept], class_ids[:, :kept]

    def compute_output_spec(self, inputs):
        rois, class_ids = inputs
        batch = rois.shape[0]
        return keras.KerasTensor((batch, None, 4), rois.dtype), keras.KerasTensor((batch, None), class_ids.dtype)
