"""From the box head's output to detections.

Shapes: B images, R rois, K classes, D detections.
"""

import keras
from keras import ops

from mrcnn.network.ops.boxes import apply_box_deltas, clip_boxes, norm_boxes
from mrcnn.network.ops.gather import gather_rows, mask_rows
from mrcnn.network.ops.meta import image_size, parse_image_meta
from mrcnn.network.ops.nms import non_max_suppression


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionLayer(keras.layers.Layer):
    """Give each ROI its best class, refine its box, and keep the best boxes of each class.

    Args:
        config: optional object with DETECTION_MAX_INSTANCES, DETECTION_MIN_CONFIDENCE, DETECTION_NMS_THRESHOLD and
            BBOX_STD_DEV, read here and not kept (the classic signature).
        max_instances: int. D.
        min_confidence: float. Least score of a detection; 0 or None: no bound.
        nms_threshold: float. IoU above which the weaker of two boxes of a class is dropped.
        bbox_std_dev: four floats. Factors of the deltas.

    `call([rois, probs, deltas, image_meta])`:
        rois: float [B, R, 4]. Normalised; all-zero rows are padding and give no detection.
        probs: float [B, R, K]. Class probabilities.
        deltas: float [B, R, K, 4]. Deltas of each class.
        image_meta: [B, 12 + K]. Read for the window that the image fills.
        Returns float32 [B, D, 6]. (y1, x1, y2, x2, class id, score), normalised, by descending score, zero rows last.
    """

    def __init__(self, config=None, *, max_instances=100, min_confidence=0.7, nms_threshold=0.3,
                 bbox_std_dev=(0.1, 0.1, 0.2, 0.2), **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if config is not None:
            max_instances, min_confidence = config.DETECTION_MAX_INSTANCES, config.DETECTION_MIN_CONFIDENCE
            nms_threshold, bbox_std_dev = config.DETECTION_NMS_THRESHOLD, config.BBOX_STD_DEV
        self.max_instances = int(max_instances)
        self.min_confidence = float(min_confidence or 0.0)
        self.nms_threshold = float(nms_threshold)
        self.bbox_std_dev = tuple(float(v) for v in bbox_std_dev)

    def call(self, inputs):
        return self.stages(inputs)["detections"]

    def stages(self, inputs):
        """Return every step by name, for those who want to look inside.

        Args:
            inputs: as of `call`.

        Returns:
            dict: class_ids int32 [B, R] and scores float32 [B, R], the best class of each ROI; refined and clipped,
            float32 [B, R, 4], its box by the deltas of that class, and within the window; candidates bool [B, R], which
            are no padding, no background, and not below the least score; kept int32 [B, D], the ROIs that are kept, by
            descending score, with `is_kept` bool [B, D] telling which are there; detections float32 [B, D, 6].
        """
        rois, probs, deltas, image_meta = (ops.cast(t, "float32") for t in inputs)
        class_ids = ops.cast(ops.argmax(probs, axis=-1), "int32")  # [B, R]
        scores = ops.max(probs, axis=-1)
        refined = self._refine(rois, deltas, class_ids)
        window = norm_boxes(parse_image_meta(image_meta)["window"], image_size(image_meta))  # [B, 4]
        clipped = clip_boxes(refined, window[:, None])

        valid = ops.logical_and(class_ids > 0, ops.any(rois != 0.0, axis=-1))
        valid = ops.logical_and(valid, scores >= self.min_confidence)
        _, order = ops.top_k(ops.where(valid, scores, -1.0), rois.shape[1])
        indices, is_kept = non_max_suppression(
            gather_rows(clipped, order), gather_rows(valid, order), iou_threshold=self.nms_threshold,
            max_output=self.max_instances, class_ids=gather_rows(class_ids, order))
        kept = gather_rows(order, indices)  # [B, D]
        rows = ops.concatenate([clipped, ops.cast(class_ids, "float32")[..., None], scores[..., None]], axis=-1)
        return {"class_ids": class_ids, "scores": scores, "refined": refined, "clipped": clipped, "candidates": valid,
                "kept": kept, "is_kept": is_kept, "detections": mask_rows(gather_rows(rows, kept), is_kept)}

    def _refine(self, rois, deltas, class_ids):
        """Apply the deltas of each ROI's class: float32 [B, R, 4]."""
        rois_count, num_classes = deltas.shape[1], deltas.shape[2]
        flat = ops.reshape(deltas, (-1, rois_count * num_classes, 4))
        own = gather_rows(flat, class_ids + ops.arange(rois_count, dtype="int32") * num_classes)
        return apply_box_deltas(rois, own * ops.convert_to_tensor(self.bbox_std_dev, "float32"))

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.max_instances, 6)

    def get_config(self):
        return {**super().get_config(), "max_instances": self.max_instances, "min_confidence": self.min_confidence,
                "nms_threshold": self.nms_threshold, "bbox_std_dev": list(self.bbox_std_dev)}
