"""From the box head's outputs to detections and their masks.

Shape letters: B images, R rois, K classes, D detections, P side of the ROI features, C channels, M mask side.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from mrcnn.geometry.meta import split_image_meta
from mrcnn.network.layers.pyramid_roi_align import PyramidROIAlign
from mrcnn.network.ops.boxes import MAX_LOG_SCALE, apply_box_deltas, clip_boxes, image_size, norm_boxes
from mrcnn.network.ops.gather import gather_rows, mask_rows
from mrcnn.network.ops.nms import non_max_suppression, soft_non_max_suppression

# Number of detections per image that go through the mask head at a time. On a CPU, running the head on all D rows takes half
# of the detection time, and most photographs contain few instances.
CHUNK = 20
# Maximum number of (ROI, class) pairs in non-maximum suppression if an ROI may give several detections. With the
# publishers' minimum score of 0.05, photographs of COCO have a few hundred.
MAX_CANDIDATES = 2000


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionLayer(keras.layers.Layer):
    """Assign each ROI its highest-scoring class, refine its box, and apply non-maximum suppression per class.

    Args:
        config: object with DETECTION_MAX_INSTANCES, DETECTION_MIN_CONFIDENCE, DETECTION_NMS_THRESHOLD and BBOX_STD_DEV,
            which override the arguments below (the classic signature).
        max_instances: D.
        min_confidence: minimum score of a detection; 0 or None for no threshold.
        nms_threshold: IoU above which the lower-scoring of two boxes of the same class is dropped.
        bbox_std_dev: standard deviations by which the deltas are multiplied.
        max_log_scale: see `apply_box_deltas`.
        continuous: whether boxes are in continuous coordinates; see `geometry.boxes`.
        nms: "class", "all" or "soft"; see Config.DETECTION_NMS.

    `call([rois, probs, deltas, image_meta])` or `call([rois, probs, deltas, image_meta, min_confidence])`:
        rois: float [B, R, 4]. Normalised; all-zero rows are padding and produce no detection.
        probs: float [B, R, K]. Class probabilities.
        deltas: float [B, R, K, 4]. Deltas for each class.
        image_meta: [B, 12 + K]. Boxes are clipped to its window.
        min_confidence: float [B, 1]. Overrides the constructor's argument.
        Returns float32 [B, D, 6]. (y1, x1, y2, x2, class id, score), normalised, in descending order of score; unused rows
            are zero.
    """

    def __init__(
        self, config: Any = None, *, max_instances: int = 100, min_confidence: float | None = 0.7,
        nms_threshold: float = 0.3, bbox_std_dev: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        max_log_scale: float = MAX_LOG_SCALE, continuous: bool = False, nms: str = "class", **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if config is not None:
            max_instances, min_confidence = config.DETECTION_MAX_INSTANCES, config.DETECTION_MIN_CONFIDENCE
            nms_threshold, bbox_std_dev = config.DETECTION_NMS_THRESHOLD, config.BBOX_STD_DEV
        self.max_instances = int(max_instances)
        self.min_confidence = float(min_confidence or 0.0)
        self.nms_threshold = float(nms_threshold)
        self.bbox_std_dev = tuple(float(v) for v in bbox_std_dev)
        self.max_log_scale, self.continuous, self.nms = float(max_log_scale), bool(continuous), nms

    def call(self, inputs):
        return self.stages(inputs)["detections"]

    def stages(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """Return each intermediate result by name, for inspection.

        Args:
            inputs: see `call`.

        Returns:
            class_ids int32 [B, R] and scores float32 [B, R], the highest-scoring class of each ROI; refined and clipped
            float32 [B, R, 4], its box refined by the deltas of that class, then clipped to the window; candidates
            bool [B, R], the ROIs that are neither padding nor background and reach the minimum score; kept int32 [B, D],
            indices of the kept ROIs in descending order of score, with `is_kept` bool [B, D], False in unused slots;
            detections float32 [B, D, 6].
        """
        rois, probs, deltas, image_meta, *threshold = (ops.cast(t, "float32") for t in inputs)
        class_ids = ops.cast(ops.argmax(probs, axis=-1), "int32")  # [B, R]
        scores = ops.max(probs, axis=-1)
        refined = self._refine(rois, deltas, class_ids)
        clipped = self._clip(refined, image_meta)

        valid = ops.logical_and(class_ids > 0, ops.any(rois != 0.0, axis=-1))
        min_score = threshold[0] if threshold else self.min_confidence
        valid = ops.logical_and(valid, scores >= min_score)
        ordered, order = ops.top_k(ops.where(valid, scores, -1.0), rois.shape[1])
        indices, kept_scores, is_kept = self._suppress(
            gather_rows(clipped, order), ordered, gather_rows(class_ids, order), min_score)
        kept = gather_rows(order, indices)  # [B, D]
        return {"class_ids": class_ids, "scores": scores, "refined": refined, "clipped": clipped, "candidates": valid,
                "kept": kept, "is_kept": is_kept,
                "detections": _detections(clipped, class_ids, kept, kept_scores, is_kept)}  # fmt: skip

    def _suppress(self, boxes: KerasTensor, scores: KerasTensor, class_ids: KerasTensor, min_score: Any,
                  ) -> tuple[KerasTensor, KerasTensor, KerasTensor]:  # fmt: skip
        """Apply non-maximum suppression to boxes in descending order of score, which is negative for invalid ones.

        Returns:
            Indices int32 [B, D], scores float32 [B, D], and which slots are used, bool [B, D].
        """
        if self.nms == "soft":
            return soft_non_max_suppression(boxes, scores, class_ids, min_score=min_score, max_output=self.max_instances)
        indices, kept = non_max_suppression(boxes, scores >= 0.0, iou_threshold=self.nms_threshold,
                                            max_output=self.max_instances,
                                            class_ids=None if self.nms == "all" else class_ids)  # fmt: skip
        return indices, gather_rows(scores, indices), kept

    def _refine(self, rois: KerasTensor, deltas: KerasTensor, class_ids: KerasTensor) -> KerasTensor:
        """Refine each ROI by the deltas of its class: float32 [B, R, 4]."""
        rois_count, num_classes = deltas.shape[1], deltas.shape[2]
        flat = ops.reshape(deltas, (-1, rois_count * num_classes, 4))
        of_class = gather_rows(flat, class_ids + ops.arange(rois_count, dtype="int32") * num_classes)
        return self._move(rois, of_class)

    def _move(self, rois: KerasTensor, deltas: KerasTensor) -> KerasTensor:
        """Move boxes [B, N, 4] by their deltas [B, N, 4], which are divided by `bbox_std_dev`."""
        return apply_box_deltas(rois, deltas * ops.convert_to_tensor(self.bbox_std_dev, "float32"), self.max_log_scale)

    def _clip(self, boxes: KerasTensor, image_meta: KerasTensor) -> KerasTensor:
        """Clip boxes [B, N, 4] to the window of their image."""
        window = norm_boxes(split_image_meta(image_meta)["window"], image_size(image_meta), self.continuous)  # [B, 4]
        return clip_boxes(boxes, window[:, None])

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.max_instances, 6)

    def get_config(self):
        return {**super().get_config(), "max_instances": self.max_instances, "min_confidence": self.min_confidence,
                "nms_threshold": self.nms_threshold, "bbox_std_dev": list(self.bbox_std_dev),
                "max_log_scale": self.max_log_scale, "continuous": self.continuous, "nms": self.nms}  # fmt: skip


def _detections(
    boxes: KerasTensor, class_ids: KerasTensor, kept: KerasTensor, scores: KerasTensor, is_kept: KerasTensor
) -> KerasTensor:
    """Return detections [B, D, 6] from boxes [B, N, 4], class ids [B, N], and the kept indices and scores [B, D]."""
    rows = ops.concatenate([boxes, ops.cast(class_ids, "float32")[..., None]], axis=-1)
    return mask_rows(ops.concatenate([gather_rows(rows, kept), scores[..., None]], axis=-1), is_kept)


@keras.saving.register_keras_serializable(package="mrcnn")
class PerClassDetectionLayer(DetectionLayer):
    """Detections as in torchvision and detectron2: an ROI gives a detection for each class that reaches the minimum score, with
    its box refined by the deltas of that class.

    Shape letters: N the highest-scoring pairs of ROI and class, at most MAX_CANDIDATES.

    Args:
        others: see `DetectionLayer`.

    `call`: see `DetectionLayer`. Boxes without an area are dropped.

    Differs: non-maximum suppression sees at most MAX_CANDIDATES pairs, because their number must be static.
    """

    def stages(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """Return each intermediate result by name; see `DetectionLayer.stages`.

        The rows of class_ids, scores, refined, clipped and candidates are the N pairs, in descending order of score, and `rois`
        int32 [B, N] has the index of the ROI of each.
        """
        rois, probs, deltas, image_meta, *threshold = (ops.cast(t, "float32") for t in inputs)
        count, num_classes = deltas.shape[1], deltas.shape[2]
        is_roi = ops.any(rois != 0.0, axis=-1)
        of_objects = ops.where(is_roi[..., None], probs, -1.0)[:, :, 1:]  # [B, R, K - 1]
        size = min(count * (num_classes - 1), MAX_CANDIDATES)
        scores, pairs = ops.top_k(ops.reshape(of_objects, (-1, count * (num_classes - 1))), size)  # [B, N]
        pairs = ops.cast(pairs, "int32")
        roi_ix, class_ids = pairs // (num_classes - 1), pairs % (num_classes - 1) + 1
        of_class = gather_rows(ops.reshape(deltas, (-1, count * num_classes, 4)), roi_ix * num_classes + class_ids)
        refined = self._move(gather_rows(rois, roi_ix), of_class)
        clipped = self._clip(refined, image_meta)

        min_score = threshold[0] if threshold else self.min_confidence
        valid = ops.logical_and(scores >= min_score, scores >= 0.0)
        valid = ops.logical_and(valid, ops.all(clipped[..., 2:] > clipped[..., :2], axis=-1))
        kept, kept_scores, is_kept = self._suppress(clipped, ops.where(valid, scores, -1.0), class_ids, min_score)
        return {"rois": roi_ix, "class_ids": class_ids, "scores": scores, "refined": refined, "clipped": clipped,
                "candidates": valid, "kept": kept, "is_kept": is_kept,
                "detections": _detections(clipped, class_ids, kept, kept_scores, is_kept)}  # fmt: skip


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionMasks(keras.layers.Layer):
    """Run ROI align and the mask head only on rows that contain detections, CHUNK rows at a time.

    Args:
        align: PyramidROIAlign.
        head: keras.Model [[B, CHUNK, P, P, C], int32 [B, CHUNK]] -> [B, CHUNK, M, M]. It must be stateless, since it runs in
            a loop: its normalisation may not use batch statistics.

    `call([detections, image_meta, P2, P3, P4, P5])`:
        detections: float [B, D, 6]. Unused rows are zero and come last.
        image_meta: [B, 12 + K].
        P2..P5: float [B, h, w, C].
        Returns float32 [B, D, M, M]. Mask probabilities for the class of each detection; zero in chunks where no image of the
            batch has a detection.

    Differs: the classic graph runs the head on all D rows and computes the masks of all classes.
    """

    def __init__(self, align: PyramidROIAlign, head: keras.Model, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.align = align
        self.head = head

    def call(self, inputs):
        detections, image_meta, *pyramid = inputs
        rows, side = detections.shape[1], self.head.output_shape[-1]
        padding = -rows % CHUNK
        detections = ops.pad(detections, ((0, 0), (0, padding), (0, 0)))
        batch = ops.shape(detections)[0]
        used = ops.any(detections[:, :, 4] > 0, axis=0)  # [D + padding]
        count = ops.max(ops.where(used, ops.arange(1, rows + padding + 1, dtype="int32"), 0))

        def is_unfinished(start, _):
            return start < count

        def add_chunk(start, masks):
            chunk = ops.slice(detections, (0, start, 0), (batch, CHUNK, 6))
            features = self.align([chunk[:, :, :4], image_meta, *pyramid])
            chunk_masks = self.head([features, ops.cast(chunk[:, :, 4], "int32")])
            return start + CHUNK, ops.slice_update(masks, (0, start, 0, 0), chunk_masks)

        masks = ops.zeros((batch, rows + padding, side, side), "float32")
        _, masks = ops.while_loop(is_unfinished, add_chunk, (ops.convert_to_tensor(0, "int32"), masks))
        return masks[:, :rows]

    def compute_output_spec(self, inputs):
        side = self.head.output_shape[-1]
        return keras.KerasTensor((*inputs[0].shape[:2], side, side), dtype="float32")

    def get_config(self):
        parts = {"align": self.align, "head": self.head}
        return {**super().get_config(), **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("align", "head")}
        return cls(**{**config, **parts})
