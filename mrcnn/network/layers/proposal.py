"""From the RPN's scores and deltas to regions of interest.

Shapes: B images, A anchors, N candidates before suppression, R proposals.
"""

import keras
import numpy as np
from keras import ops

from mrcnn.network.ops.boxes import apply_box_deltas, clip_boxes
from mrcnn.network.ops.gather import gather_rows, mask_rows
from mrcnn.network.ops.nms import non_max_suppression


@keras.saving.register_keras_serializable(package="mrcnn")
class ProposalLayer(keras.layers.Layer):
    """Take the best anchors, move them by the RPN's deltas, and drop those that overlap a better one.

    Args:
        proposal_count: int. R, proposals an image.
        nms_threshold: float. IoU above which the weaker of two proposals is dropped.
        config: optional object with PRE_NMS_LIMIT and RPN_BBOX_STD_DEV, read here and not kept (the classic signature).
        pre_nms_limit: int. N, anchors by score before suppression.
        bbox_std_dev: four floats. Factors of the deltas.

    `call([rpn_probs, rpn_bbox, anchors])`:
        rpn_probs: float [B, A, 2]. (background, foreground) probabilities.
        rpn_bbox: float [B, A, 4]. Deltas divided by `bbox_std_dev`.
        anchors: float [B, A, 4]. Normalised.
        Returns float32 [B, R, 4]. Normalised boxes by descending score; all-zero rows where there are fewer.
    """

    def __init__(self, proposal_count, nms_threshold, config=None, *, pre_nms_limit=6000,
                 bbox_std_dev=(0.1, 0.1, 0.2, 0.2), **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if config is not None:
            pre_nms_limit, bbox_std_dev = config.PRE_NMS_LIMIT, config.RPN_BBOX_STD_DEV
        self.proposal_count = int(proposal_count)
        self.nms_threshold = float(nms_threshold)
        self.pre_nms_limit = int(pre_nms_limit)
        self.bbox_std_dev = tuple(float(v) for v in bbox_std_dev)

    def call(self, inputs):
        return self.stages(inputs)["proposals"]

    def stages(self, inputs):
        """Return every step by name, for those who want to look inside.

        Args:
            inputs: as of `call`.

        Returns:
            dict: scores float32 [B, N], descending; pre_nms_anchors, refined_anchors, refined_anchors_clipped, each
            float32 [B, N, 4]; non_max_suppression int32 [B, R], the positions kept among the N, with `kept` bool [B, R]
            telling which are there; proposals float32 [B, R, 4].
        """
        rpn_probs, rpn_bbox, anchors = (ops.stop_gradient(ops.cast(t, "float32")) for t in inputs)
        scores, top = self._best(rpn_probs[:, :, 1], anchors.shape[1])
        valid = scores >= 0.0
        pre_nms_anchors = gather_rows(anchors, top)  # [B, N, 4]
        deltas = gather_rows(rpn_bbox, top) * ops.convert_to_tensor(self.bbox_std_dev, "float32")
        refined = apply_box_deltas(pre_nms_anchors, deltas)
        clipped = clip_boxes(refined, np.array([0, 0, 1, 1], np.float32))
        indices, kept = non_max_suppression(clipped, valid, iou_threshold=self.nms_threshold,
                                            max_output=self.proposal_count)
        return {
            "scores": scores, "pre_nms_anchors": pre_nms_anchors, "refined_anchors": refined,
            "refined_anchors_clipped": clipped, "non_max_suppression": indices, "kept": kept,
            "proposals": mask_rows(gather_rows(clipped, indices), kept)}

    def _best(self, scores, num_anchors):
        """Return scores [B, N] and positions [B, N] of the best anchors, best first."""
        count = self.pre_nms_limit
        if num_anchors is not None:
            return ops.top_k(scores, min(count, num_anchors))
        # The image size is free: top up with scores below every probability, so that N is fixed all the same.
        scores, top = ops.top_k(ops.pad(scores, ((0, 0), (0, count)), constant_values=-1.0), count)
        return scores, ops.where(scores >= 0.0, top, 0)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.proposal_count, 4)

    def get_config(self):
        return {**super().get_config(), "proposal_count": self.proposal_count, "nms_threshold": self.nms_threshold,
                "pre_nms_limit": self.pre_nms_limit, "bbox_std_dev": list(self.bbox_std_dev)}
