"""From the RPN's scores and deltas to proposals.

Shape letters: B images, A anchors, N top-scoring anchors before non-maximum suppression, R proposals.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import KerasTensor, ops

from mrcnn.geometry.anchors import generate_pyramid_anchors
from mrcnn.geometry.boxes import norm_boxes
from mrcnn.network.ops.boxes import apply_box_deltas, clip_boxes
from mrcnn.network.ops.gather import gather_rows, mask_rows
from mrcnn.network.ops.nms import non_max_suppression


@keras.saving.register_keras_serializable(package="mrcnn")
class AnchorsLayer(keras.layers.Layer):
    """The anchors of a fixed image size, as a constant in the graph.

    Args:
        image_size: (height, width) of the network input in pixels.
        scales: side in pixels of each level's square anchors; see `geometry.anchors.generate_pyramid_anchors`.
        ratios: width / height.
        level_shapes: (height, width) of each pyramid level.
        strides: pixels per cell of each level.
        anchor_stride: cells from one anchor to the next.

    `call(images)`: [B, ...] -> normalised anchors float32 [B, A, 4]. Only the batch size of the images is used.
    """

    def __init__(
        self, image_size: Sequence[int], scales: Sequence[float], ratios: Sequence[float],
        level_shapes: npt.ArrayLike, strides: Sequence[int], anchor_stride: int, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_size = [int(side) for side in image_size]
        self.scales, self.ratios = np.asarray(scales).tolist(), np.asarray(ratios).tolist()
        self.level_shapes, self.strides = np.asarray(level_shapes).tolist(), np.asarray(strides).tolist()
        self.anchor_stride = int(anchor_stride)
        pixels = generate_pyramid_anchors(self.scales, self.ratios, self.level_shapes, self.strides, self.anchor_stride)
        self.anchors = norm_boxes(pixels, self.image_size).astype(np.float32)

    def call(self, images):
        anchors = ops.convert_to_tensor(self.anchors)[None]
        return ops.broadcast_to(anchors, (ops.shape(images)[0], *self.anchors.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.anchors.shape)

    def get_config(self):
        return {**super().get_config(), "image_size": self.image_size, "scales": self.scales, "ratios": self.ratios,
                "level_shapes": self.level_shapes, "strides": self.strides, "anchor_stride": self.anchor_stride}  # fmt: skip


@keras.saving.register_keras_serializable(package="mrcnn")
class ProposalLayer(keras.layers.Layer):
    """Refine the top-scoring anchors by the RPN's deltas, and apply non-maximum suppression.

    Args:
        proposal_count: R.
        nms_threshold: IoU above which the lower-scoring proposal is dropped.
        config: object with PRE_NMS_LIMIT and RPN_BBOX_STD_DEV, which override the arguments below (the classic signature).
        pre_nms_limit: N.
        bbox_std_dev: standard deviations by which the deltas are multiplied.

    `call([rpn_probs, rpn_bbox, anchors])`:
        rpn_probs: float [B, A, 2]. (background, foreground) probabilities.
        rpn_bbox: float [B, A, 4]. Deltas divided by `bbox_std_dev`.
        anchors: float [B, A, 4]. Normalised.
        Returns float32 [B, R, 4]. Normalised boxes in descending order of score, padded with all-zero rows.
    """

    def __init__(
        self, proposal_count: int, nms_threshold: float, config: Any = None, *, pre_nms_limit: int = 6000,
        bbox_std_dev: Sequence[float] = (0.1, 0.1, 0.2, 0.2), **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if config is not None:
            pre_nms_limit, bbox_std_dev = config.PRE_NMS_LIMIT, config.RPN_BBOX_STD_DEV
        self.proposal_count = int(proposal_count)
        self.nms_threshold = float(nms_threshold)
        self.pre_nms_limit = int(pre_nms_limit)
        self.bbox_std_dev = tuple(float(v) for v in bbox_std_dev)

    def call(self, inputs):
        return self.stages(inputs)["proposals"]

    def stages(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """Return each intermediate result by name, for inspection.

        Args:
            inputs: see `call`.

        Returns:
            scores float32 [B, N], descending; pre_nms_anchors, refined_anchors, refined_anchors_clipped, each
            float32 [B, N, 4]; non_max_suppression int32 [B, R], indices of the kept anchors among the N, with `kept`
            bool [B, R], False in unused slots; proposals float32 [B, R, 4].
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

    def _best(self, scores: KerasTensor, num_anchors: int | None) -> tuple[KerasTensor, KerasTensor]:
        """Return the scores [B, N] and indices [B, N] of the top-scoring anchors, in descending order of score."""
        count = self.pre_nms_limit
        if num_anchors is not None:
            return ops.top_k(scores, min(count, num_anchors))
        # The image size is dynamic: pad with scores below any probability, so that N is static.
        scores, top = ops.top_k(ops.pad(scores, ((0, 0), (0, count)), constant_values=-1.0), count)
        return scores, ops.where(scores >= 0.0, top, 0)

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.proposal_count, 4)

    def get_config(self):
        return {**super().get_config(), "proposal_count": self.proposal_count, "nms_threshold": self.nms_threshold,
                "pre_nms_limit": self.pre_nms_limit, "bbox_std_dev": list(self.bbox_std_dev)}
