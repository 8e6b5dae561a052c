"""The stages of detection one by one, with the numbers that `detect` itself computes.

Shapes: H W C the image as given, A anchors, L pyramid levels, N anchors before suppression, P proposals, K classes with
background, D detections, M side of a mask. Boxes are (y1, x1, y2, x2) in pixels of the image as given.
"""

import difflib
from collections import Counter
from dataclasses import dataclass

import keras
import numpy as np

from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.inference.mold import mold_inputs
from mrcnn.inference.unmold import boxes_on_original, unmold_detections, visible_rows
from mrcnn.training import graph_access, settings

# What becomes of a proposal.
KEPT, BACKGROUND, LOW_SCORE = "kept", "background", "low score"
SUPPRESSED, BEYOND, NO_AREA = "suppressed", "beyond the limit", "no area"
OUTCOMES = (KEPT, SUPPRESSED, LOW_SCORE, BACKGROUND, BEYOND, NO_AREA)


@dataclass(frozen=True, eq=False)
class InferenceStages:
    """What happens to one image, from anchors to masks.

    Attributes:
        image: [H, W, C], as given.
        anchors: float64 [A, 4]. They may reach out of the image, as may all boxes before they are clipped.
        level_counts: list of L ints. Anchors of each pyramid level, in the order in which they stand.
        rpn_scores: float32 [A]. Probability of an object in each anchor.
        top_anchors: float64 [N, 4]. The best anchors, by descending score.
        top_scores: float32 [N].
        refined_anchors: float64 [N, 4]. Moved by the RPN's deltas.
        clipped_anchors: float64 [N, 4]. Clipped to the network's input, the padding around the image included.
        kept: int [P]. Which of the N non-maximum suppression kept.
        proposals: float64 [P, 4].
        class_probs: float32 [P, K].
        box_deltas: float32 [P, K, 4]. Of each class, divided by BBOX_STD_DEV.
        class_ids: int32 [P]. The best class; 0 is background.
        scores: float32 [P]. Its probability.
        refined_proposals: float64 [P, 4]. Moved by the deltas of the best class.
        clipped_proposals: float64 [P, 4]. Clipped to the image.
        outcomes: list of P of OUTCOMES. "kept": it is a detection; "background": its best class is; "low score": below
            DETECTION_MIN_CONFIDENCE; "suppressed": it overlaps a stronger box of its class; "beyond the limit": there are
            DETECTION_MAX_INSTANCES stronger ones; "no area": nothing of it is left in the image.
        suppressed_by: int [P]. Position of the stronger proposal; -1 where it was not suppressed.
        detected_from: int [D]. The proposal that each detection comes from.
        detections: dict, what `MaskRCNN.detect` gives for the image.
        mask_probs: float32 [D, M, M]. Each detection's mask before it is pasted, of its own class.
    """

    image: np.ndarray
    anchors: np.ndarray
    level_counts: list
    rpn_scores: np.ndarray
    top_anchors: np.ndarray
    top_scores: np.ndarray
    refined_anchors: np.ndarray
    clipped_anchors: np.ndarray
    kept: np.ndarray
    proposals: np.ndarray
    class_probs: np.ndarray
    box_deltas: np.ndarray
    class_ids: np.ndarray
    scores: np.ndarray
    refined_proposals: np.ndarray
    clipped_proposals: np.ndarray
    outcomes: list
    suppressed_by: np.ndarray
    detected_from: np.ndarray
    detections: dict
    mask_probs: np.ndarray

    def outcome_counts(self):
        """How many proposals came to each end: {outcome: int}, in the order of OUTCOMES, those that occur."""
        counts = Counter(self.outcomes)
        return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def inference_stages(model, image):
    """Detect on one image, and keep every stage.

    The network runs once, with the weights and the settings of `detect`; the stages inside the layers "ROI" and
    "mrcnn_detection" are those layers' own, computed again from their inputs.

    Args:
        model: MaskRCNN, in either mode.
        image: [H, W] or [H, W, channels], as `MaskRCNN.detect` takes it.

    Returns:
        InferenceStages.

    Raises:
        ValueError: not an image.
    """
    config, predictor = model.config, model.full_predictor
    molded, metas, windows = mold_inputs([image], settings.mold_settings(config))
    frame = image.shape, molded[0].shape, windows[0]
    outputs = predictor.run(molded[0][None], metas)
    found, probs, deltas, masks, rois, rpn_class, rpn_bbox = (output[0] for output in outputs)
    anchors = predictor.anchors(molded[0].shape)
    proposing = _layer_stages(predictor.model, "ROI", [rpn_class, rpn_bbox, anchors])
    detecting = _layer_stages(predictor.model, "mrcnn_detection", [rois, probs, deltas, np.float32(metas[0])])
    count = int(rois.any(axis=1).sum())  # the rest is padding
    rows, _ = visible_rows(found, *frame)
    boxes, class_ids, scores, full_masks = unmold_detections(found, masks, *frame)
    outcomes, suppressed_by = _outcomes(detecting, count, rows, config)
    return InferenceStages(
        image=image, anchors=boxes_on_original(anchors, *frame),
        level_counts=settings.level_counts(config, molded[0].shape), rpn_scores=rpn_class[:, 1],
        top_anchors=boxes_on_original(proposing["pre_nms_anchors"], *frame), top_scores=proposing["scores"],
        refined_anchors=boxes_on_original(proposing["refined_anchors"], *frame),
        clipped_anchors=boxes_on_original(proposing["refined_anchors_clipped"], *frame),
        kept=proposing["non_max_suppression"][proposing["kept"]], proposals=boxes_on_original(rois[:count], *frame),
        class_probs=probs[:count], box_deltas=deltas[:count], class_ids=detecting["class_ids"][:count],
        scores=detecting["scores"][:count], refined_proposals=boxes_on_original(detecting["refined"][:count], *frame),
        clipped_proposals=boxes_on_original(detecting["clipped"][:count], *frame), outcomes=outcomes,
        suppressed_by=suppressed_by, detected_from=detecting["kept"][rows],
        detections={"rois": boxes, "class_ids": class_ids, "scores": scores, "masks": full_masks},
        mask_probs=masks[rows, :, :, class_ids])


def _layer_stages(model, name, inputs):
    """Compute the stages of a layer for one image: {stage: array without the batch}."""
    stages = model.get_layer(name).stages([keras.ops.convert_to_tensor(value[None]) for value in inputs])
    return {stage: keras.ops.convert_to_numpy(value)[0] for stage, value in stages.items()}


def _outcomes(stages, count, visible, config):
    """Tell what became of each proposal.

    Args:
        stages: dict of `DetectionLayer.stages`, of one image.
        count: int. P.
        visible: int [n]. The detections that have an area in the image.
        config: Config.

    Returns:
        (outcomes, suppressed_by): list of P of OUTCOMES; int [P], -1 where not suppressed.
    """
    kept = stages["kept"][stages["is_kept"]]
    class_ids, scores, boxes = (stages[name] for name in ("class_ids", "scores", "clipped"))
    outcomes, suppressed_by = [], np.full(count, -1)
    place = {int(proposal): row for row, proposal in enumerate(kept)}
    for ix in range(count):
        if ix in place:
            outcomes.append(KEPT if place[ix] in visible else NO_AREA)
        elif not stages["candidates"][ix]:
            outcomes.append(LOW_SCORE if class_ids[ix] else BACKGROUND)
        else:
            rivals = kept[(class_ids[kept] == class_ids[ix]) & (scores[kept] >= scores[ix])]
            overlaps = compute_overlaps(boxes[ix : ix + 1], boxes[rivals])[0]
            suppressed = overlaps.max(initial=0) > config.DETECTION_NMS_THRESHOLD
            outcomes.append(SUPPRESSED if suppressed else BEYOND)
            suppressed_by[ix] = rivals[overlaps.argmax()] if suppressed else -1
    return outcomes, suppressed_by


def layer_activations(model, image, names):
    """Compute what layers give for one image.

    Args:
        model: MaskRCNN, in either mode.
        image: [H, W] or [H, W, channels], as `MaskRCNN.detect` takes it.
        names: list of layer names, such as ["res4f_out", "fpn_p2", "rpn_conv_shared"].

    Returns:
        {name: array [h, w, channels], or of the layer's own shape}, in the order of `names`. A layer inside "rpn_model" is
        run on every pyramid level, and gives name/fpn_p2 to name/fpn_p6.

    Raises:
        ValueError: a layer of that name is not there; with near ones.
    """
    network = model.full_predictor.model
    outputs = [(name, graph_access.ancestor(network, None, name)) for name in names]
    lost = next((name for name, output in outputs if output is None), None)
    if lost is not None:
        near = difflib.get_close_matches(lost, [layer.name for layer in network.layers], n=3, cutoff=0)
        raise ValueError(f"there is no layer {lost!r}: did you mean {', '.join(near)}?")
    molded, metas, _ = mold_inputs([image], settings.mold_settings(model.config))
    inputs = [molded[0][None], np.float32(metas), model.full_predictor.anchors(molded[0].shape)[None]]
    return {name: value[0] for name, value in graph_access.run_graph(network, inputs, outputs).items()}
