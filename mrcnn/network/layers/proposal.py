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
from mrcnn.geometry.meta import split_image_meta
from mrcnn.network.ops import boxes
from mrcnn.network.ops.boxes import MAX_LOG_SCALE, apply_box_deltas, clip_boxes, image_size
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
        rounded: see `geometry.anchors.generate_anchors`.
        offset: see `geometry.anchors.generate_anchors`.
        continuous: whether to normalise in continuous coordinates; see `geometry.boxes`.

    `call(images)`: [B, ...] -> normalised anchors float32 [B, A, 4]. Only the batch size of the images is used.
    """

    def __init__(
        self, image_size: Sequence[int], scales: Sequence[float], ratios: Sequence[float],
        level_shapes: npt.ArrayLike, strides: Sequence[int], anchor_stride: int, rounded: bool = False, offset: float = 0.0,
        continuous: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_size = [int(side) for side in image_size]
        self.scales, self.ratios = np.asarray(scales).tolist(), np.asarray(ratios).tolist()
        self.level_shapes, self.strides = np.asarray(level_shapes).tolist(), np.asarray(strides).tolist()
        self.anchor_stride, self.rounded, self.offset = int(anchor_stride), bool(rounded), float(offset)
        self.continuous = bool(continuous)
        pixels = generate_pyramid_anchors(self.scales, self.ratios, self.level_shapes, self.strides, self.anchor_stride,
                                          self.rounded, self.offset)  # fmt: skip
        self.anchors = norm_boxes(pixels, self.image_size, self.continuous)

    def call(self, images):
        anchors = ops.convert_to_tensor(self.anchors)[None]
        return ops.broadcast_to(anchors, (ops.shape(images)[0], *self.anchors.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.anchors.shape)

    def get_config(self):
        return {**super().get_config(), "image_size": self.image_size, "scales": self.scales, "ratios": self.ratios,
                "level_shapes": self.level_shapes, "strides": self.strides, "anchor_stride": self.anchor_stride,
                "rounded": self.rounded, "offset": self.offset, "continuous": self.continuous}  # fmt: skip


@keras.saving.register_keras_serializable(package="mrcnn")
class ProposalLayer(keras.layers.Layer):
    """Refine the top-scoring anchors by the RPN's deltas, and apply non-maximum suppression.

    Args:
        proposal_count: R.
        nms_threshold: IoU above which the lower-scoring proposal is dropped.
        config: object with PRE_NMS_LIMIT and RPN_BBOX_STD_DEV, which override the arguments below (the classic signature).
        pre_nms_limit: N.
        bbox_std_dev: standard deviations by which the deltas are multiplied.
        max_log_scale: see `apply_box_deltas`.

    `call([rpn_probs, rpn_bbox, anchors])`:
        rpn_probs: float [B, A, 2]. (background, foreground) probabilities.
        rpn_bbox: float [B, A, 4]. Deltas divided by `bbox_std_dev`.
        anchors: float [B, A, 4]. Normalised.
        Returns float32 [B, R, 4]. Normalised boxes in descending order of score, padded with all-zero rows.
    """

    def __init__(
        self, proposal_count: int, nms_threshold: float, config: Any = None, *, pre_nms_limit: int = 6000,
        bbox_std_dev: Sequence[float] = (0.1, 0.1, 0.2, 0.2), max_log_scale: float = MAX_LOG_SCALE, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if config is not None:
            pre_nms_limit, bbox_std_dev = config.PRE_NMS_LIMIT, config.RPN_BBOX_STD_DEV
        self.proposal_count = int(proposal_count)
        self.nms_threshold = float(nms_threshold)
        self.pre_nms_limit = int(pre_nms_limit)
        self.bbox_std_dev = tuple(float(v) for v in bbox_std_dev)
        self.max_log_scale = float(max_log_scale)

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
        refined = self._refined(rpn_bbox, anchors, top)
        refined["refined_anchors_clipped"] = clipped = clip_boxes(
            refined["refined_anchors"], np.array([0, 0, 1, 1], np.float32))
        indices, kept = non_max_suppression(clipped, scores >= 0.0, iou_threshold=self.nms_threshold,
                                            max_output=self.proposal_count)
        return {"scores": scores, **refined, "non_max_suppression": indices, "kept": kept,
                "proposals": mask_rows(gather_rows(clipped, indices), kept)}

    def _refined(self, rpn_bbox: KerasTensor, anchors: KerasTensor, top: KerasTensor) -> dict[str, KerasTensor]:
        """Return the anchors at these indices, and the same moved by their deltas, by name."""
        pre_nms_anchors = gather_rows(anchors, top)  # [B, N, 4]
        deltas = gather_rows(rpn_bbox, top) * ops.convert_to_tensor(self.bbox_std_dev, "float32")
        return {"pre_nms_anchors": pre_nms_anchors,
                "refined_anchors": apply_box_deltas(pre_nms_anchors, deltas, self.max_log_scale)}

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
                "pre_nms_limit": self.pre_nms_limit, "bbox_std_dev": list(self.bbox_std_dev),
                "max_log_scale": self.max_log_scale}  # fmt: skip


@keras.saving.register_keras_serializable(package="mrcnn")
class LevelProposalLayer(ProposalLayer):
    """Proposals as in torchvision and detectron2: the top-scoring anchors of each level, and non-maximum suppression
    within each level. Boxes are in continuous coordinates, and clipped to the image, without its padding.

    Args:
        others: see `ProposalLayer`; `pre_nms_limit` applies to each level.

    `call([rpn_probs, rpn_bbox, anchors, image_meta, P2, P3, ...])`:
        image_meta: [B, 12 + K]. Boxes are clipped to its window.
        P2, P3, ...: [B, h, w, C]. Only their sizes are used, which divide the anchors into levels.
        Others, and the result: see `ProposalLayer`. Boxes without an area are dropped.

    Source: Feature Pyramid Networks (Lin et al. 2017) as in detectron2's find_top_rpn_proposals.
    """

    def stages(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """Return each intermediate result by name; see `ProposalLayer.stages`. N is the sum over the levels."""
        rpn_probs, rpn_bbox, anchors, image_meta = (ops.stop_gradient(ops.cast(t, "float32")) for t in inputs[:4])
        scores, top, levels = self._best_of_levels(rpn_probs[:, :, 1], [ops.shape(level)[1:3] for level in inputs[4:]])
        refined = self._refined(rpn_bbox, anchors, top)
        window = boxes.norm_boxes(split_image_meta(image_meta)["window"], image_size(image_meta), continuous=True)
        refined["refined_anchors_clipped"] = clipped = clip_boxes(refined["refined_anchors"], window[:, None])
        has_area = ops.all(clipped[..., 2:] > clipped[..., :2], axis=-1)
        indices, kept = non_max_suppression(
            clipped, ops.logical_and(scores >= 0.0, has_area), iou_threshold=self.nms_threshold,
            max_output=self.proposal_count, class_ids=levels)  # fmt: skip
        return {"scores": scores, **refined, "non_max_suppression": indices, "kept": kept,
                "proposals": mask_rows(gather_rows(clipped, indices), kept)}

    def _best_of_levels(
        self, scores: KerasTensor, sizes: Sequence[tuple[Any, Any]]
    ) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Return the scores, indices and levels of the top-scoring anchors of each level, in descending order of score.

        Args:
            scores: float32 [B, A].
            sizes: (height, width) of each level; tensors if they are dynamic.

        Returns:
            scores float32, indices int32 and levels int32, each [B, N].
        """
        cells = sum(height * width for height, width in sizes)
        per_cell = ops.shape(scores)[1] // cells
        best, indices, levels, start = [], [], [], 0
        for level, (height, width) in enumerate(sizes):
            count = height * width * per_cell
            level_scores, top = self._best(scores[:, start : start + count], count if isinstance(count, int) else None)
            best.append(level_scores)
            indices.append(ops.cast(top, "int32") + start)
            levels.append(ops.full_like(top, level, dtype="int32"))
            start = start + count
        merged = ops.concatenate(best, axis=1)
        merged, order = ops.top_k(merged, merged.shape[1])
        return merged, *(gather_rows(ops.concatenate(parts, axis=1), order) for parts in (indices, levels))
