"""Inspection of the network: the stages of detection, the outputs of layers, and the classic `run_graph`.

All values are those that `detect` computes.

Shape letters: H W C original image, A anchors, L pyramid levels, N anchors before suppression, P proposals, K classes with
background, D detections, M side of a mask. Boxes are (y1, x1, y2, x2) in pixels of the original image.
"""

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64, Int, Int32, Shaped

from mrcnn.config import Config
from mrcnn.geometry.boxes import compute_overlaps
from mrcnn.inference.mold import mold_inputs
from mrcnn.inference.unmold import boxes_on_original, unmold_detections, visible_rows
from mrcnn.loading.inspection import describe_array
from mrcnn.training import settings

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

# The possible outcomes of a proposal.
KEPT, BACKGROUND, LOW_SCORE = "kept", "background", "low score"
SUPPRESSED, BEYOND, NO_AREA = "suppressed", "beyond the limit", "no area"
OUTCOMES = (KEPT, SUPPRESSED, LOW_SCORE, BACKGROUND, BEYOND, NO_AREA)

# Classic names of nodes in the proposal layer -> keys of `ProposalLayer.stages`.
STAGE_OF_NODE = {
    "pre_nms_anchors": "pre_nms_anchors",
    "refined_anchors": "refined_anchors",
    "refined_anchors_clipped": "refined_anchors_clipped",
    "rpn_non_max_suppression": "non_max_suppression",
}
NODE_NAME = re.compile(r"ROI/(?P<node>\w+)(/NonMaxSuppressionV[23])?:0")
# The feature maps on which the nested model "rpn_model" is run, in order.
PYRAMID = ("fpn_p2", "fpn_p3", "fpn_p4", "fpn_p5", "fpn_p6")


# --- Stages of detection ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class InferenceStages:
    """The stages of detection for one image, from anchors to masks.

    Attributes:
        image: the original image.
        anchors: they may extend beyond the image, like all boxes before they are clipped.
        level_counts: number of anchors of each pyramid level, in the order of `anchors`.
        rpn_scores: probability of an object in each anchor.
        top_anchors: the highest-scoring anchors, in descending order of score.
        top_scores: their scores.
        refined_anchors: `top_anchors` after the deltas of the RPN are applied.
        clipped_anchors: `refined_anchors` clipped to the network's input, which includes the padding around the image.
        kept: indices in `clipped_anchors` of those that non-maximum suppression keeps.
        proposals: the kept `clipped_anchors`.
        class_probs: class probabilities of each proposal.
        box_deltas: deltas for each class, divided by BBOX_STD_DEV.
        class_ids: the most probable class of each proposal; 0 is background.
        scores: the probability of that class.
        refined_proposals: proposals after the deltas of that class are applied.
        clipped_proposals: `refined_proposals` clipped to the image.
        outcomes: one of OUTCOMES for each proposal. "kept": it is a detection; "background": that is its most probable
            class; "low score": below DETECTION_MIN_CONFIDENCE; "suppressed": it overlaps a higher-scoring box of its class;
            "beyond the limit": DETECTION_MAX_INSTANCES others score higher; "no area": it lies outside the image.
        suppressed_by: index of the higher-scoring proposal that suppressed it, or -1.
        detected_from: index of the proposal that each detection comes from.
        detections: the result of `MaskRCNN.detect` for the image.
        mask_probs: the mask probabilities of each detection for its class, before the mask is pasted.
    """

    image: Shaped[np.ndarray, "H W *C"]
    anchors: Float64[np.ndarray, "A 4"]
    level_counts: list[int]
    rpn_scores: Float32[np.ndarray, " A"]
    top_anchors: Float64[np.ndarray, "N 4"]
    top_scores: Float32[np.ndarray, " N"]
    refined_anchors: Float64[np.ndarray, "N 4"]
    clipped_anchors: Float64[np.ndarray, "N 4"]
    kept: Int[np.ndarray, " P"]
    proposals: Float64[np.ndarray, "P 4"]
    class_probs: Float32[np.ndarray, "P K"]
    box_deltas: Float32[np.ndarray, "P K 4"]
    class_ids: Int32[np.ndarray, " P"]
    scores: Float32[np.ndarray, " P"]
    refined_proposals: Float64[np.ndarray, "P 4"]
    clipped_proposals: Float64[np.ndarray, "P 4"]
    outcomes: list[str]
    suppressed_by: Int[np.ndarray, " P"]
    detected_from: Int[np.ndarray, " D"]
    detections: dict[str, Any]
    mask_probs: Float32[np.ndarray, "D M M"]

    def outcome_counts(self) -> dict[str, int]:
        """Return how many proposals had each outcome, in the order of OUTCOMES."""
        counts = Counter(self.outcomes)
        return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def inference_stages(model: "MaskRCNN", image: npt.ArrayLike) -> InferenceStages:
    """Detect objects in one image, and keep the result of every stage.

    The network runs once, with the weights and the settings of `detect`. The layers "ROI" and "mrcnn_detection" then compute
    their internal stages again from their inputs.

    Args:
        model: in either mode.
        image: as `MaskRCNN.detect` takes it.

    Raises:
        ValueError: it is not an image.
    """
    image = np.asarray(image)
    config, predictor = model.config, model.full_predictor
    molded, metas, windows = mold_inputs([image], settings.mold_settings(config))
    frame = image.shape, molded[0].shape, windows[0], settings.is_continuous(config)
    outputs = predictor.run(molded[0][None], metas)
    detections, probs, deltas, masks, rois, rpn_class, rpn_bbox = (output[0] for output in outputs)
    anchors = predictor.anchors(molded[0].shape)
    meta = metas[0].astype(np.float32)
    level_shapes, _ = settings.anchor_levels(config, molded[0].shape)
    # Of the feature maps, the layer uses only the sizes.
    levels = [meta, *(np.zeros((*shape, 1), np.float32) for shape in level_shapes)] if config.PROPOSALS_PER_LEVEL else []
    proposing = _layer_stages(predictor.model, "ROI", [rpn_class, rpn_bbox, anchors, *levels])
    detecting = _layer_stages(predictor.model, "mrcnn_detection", [rois, probs, deltas, meta])
    # A proposal has a row for each of its classes in `detecting` if it can give detections of several.
    of_roi = detecting.get("rois", np.arange(len(rois)))
    of_roi = of_roi[rois[of_roi].any(axis=1)]  # the other rows are padding
    count = len(of_roi)
    rows, _ = visible_rows(detections, *frame)
    boxes, class_ids, scores, full_masks = unmold_detections(detections, masks, *frame, paste=config.MASK_PASTE)
    outcomes, suppressed_by = _outcomes(detecting, count, rows, config)
    return InferenceStages(
        image=image, anchors=boxes_on_original(anchors, *frame),
        level_counts=settings.level_counts(config, molded[0].shape), rpn_scores=rpn_class[:, 1],
        top_anchors=boxes_on_original(proposing["pre_nms_anchors"], *frame), top_scores=proposing["scores"],
        refined_anchors=boxes_on_original(proposing["refined_anchors"], *frame),
        clipped_anchors=boxes_on_original(proposing["refined_anchors_clipped"], *frame),
        kept=proposing["non_max_suppression"][proposing["kept"]], proposals=boxes_on_original(rois[of_roi], *frame),
        class_probs=probs[of_roi], box_deltas=deltas[of_roi], class_ids=detecting["class_ids"][:count],
        scores=detecting["scores"][:count], refined_proposals=boxes_on_original(detecting["refined"][:count], *frame),
        clipped_proposals=boxes_on_original(detecting["clipped"][:count], *frame), outcomes=outcomes,
        suppressed_by=suppressed_by, detected_from=detecting["kept"][rows],
        detections={"rois": boxes, "class_ids": class_ids, "scores": scores, "masks": full_masks},
        mask_probs=masks[rows, :, :, class_ids])


def _layer_stages(model: keras.Model, name: str, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Compute the stages of a layer for one image, without the batch axis."""
    stages = model.get_layer(name).stages([keras.ops.convert_to_tensor(value[None]) for value in inputs])
    return {stage: keras.ops.convert_to_numpy(value)[0] for stage, value in stages.items()}


def _outcomes(stages: Mapping[str, np.ndarray], count: int, visible: Int[np.ndarray, " D"],
              config: Config) -> tuple[list[str], Int[np.ndarray, " P"]]:
    """Determine the outcome of each proposal.

    Args:
        stages: `DetectionLayer.stages` of one image.
        count: P.
        visible: the detections that have an area in the image.

    Returns:
        One of OUTCOMES for each proposal; the proposal that suppressed it, or -1.
    """
    kept = stages["kept"][stages["is_kept"]]
    class_ids, scores, boxes = (stages[name] for name in ("class_ids", "scores", "clipped"))
    outcomes, suppressed_by = [], np.full(count, -1)
    detection_of = {int(proposal): row for row, proposal in enumerate(kept)}
    for ix in range(count):
        if ix in detection_of:
            outcomes.append(KEPT if detection_of[ix] in visible else NO_AREA)
        elif not stages["candidates"][ix]:
            outcomes.append(LOW_SCORE if class_ids[ix] else BACKGROUND)
        else:
            rivals = kept[(class_ids[kept] == class_ids[ix]) & (scores[kept] >= scores[ix])]
            overlaps = compute_overlaps(boxes[ix : ix + 1], boxes[rivals])[0]
            suppressed = overlaps.max(initial=0) > config.DETECTION_NMS_THRESHOLD
            outcomes.append(SUPPRESSED if suppressed else BEYOND)
            suppressed_by[ix] = rivals[overlaps.argmax()] if suppressed else -1
    return outcomes, suppressed_by


def layer_activations(model: "MaskRCNN", image: npt.ArrayLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Compute the outputs of layers for one image.

    Args:
        model: in either mode.
        image: as `MaskRCNN.detect` takes it.
        names: names of layers, such as ["res4f_out", "fpn_p2", "rpn_conv_shared"].

    Returns:
        The output of each layer, usually [h, w, channels], in the order of `names`. A layer inside "rpn_model" is run on every
        pyramid level; its outputs are named name/fpn_p2 to name/fpn_p6.

    Raises:
        ValueError: there is no layer with that name. The message lists similar names.
    """
    inputs, tensors = _graph(model.full_predictor.model)
    outputs = [pair for name in names for pair in _activations(model.full_predictor.model, tensors, name)]
    molded, metas, _ = mold_inputs([image], settings.mold_settings(model.config))
    anchors = model.full_predictor.anchors(molded[0].shape)[None]
    values = _computed(inputs, [tensor for _, tensor in outputs], [molded[0][None], metas.astype(np.float32), anchors])
    return {name: keras.ops.convert_to_numpy(value)[0] for (name, _), value in zip(outputs, values, strict=True)}


def _graph(model: keras.Model) -> tuple[list[Any], dict[str, Any]]:
    """Build the graph of a model again from the same layers.

    `layer.output` belongs to the model that was built with the layer first: in training mode, to the training model.

    Returns:
        The inputs, and the output of each layer by name.
    """
    tensors: dict[str, Any] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        tensors[layer.name] = layer(*args, **kwargs)
        return tensors[layer.name]

    graph = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return graph.inputs, tensors | {tensor.name: tensor for tensor in graph.inputs}


def _activations(model: keras.Model, tensors: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """Return (name, tensor) of a layer; for a layer inside a nested model, one for each pyramid level.

    Args:
        model: the model.
        tensors: the layer outputs that `_graph` returns.
        name: name of the layer.

    Raises:
        ValueError: there is no layer with that name.
    """
    for nested in _nested(model):
        for layer in nested.layers:
            if layer.name == name:
                part = keras.Model(nested.inputs, layer.output)
                return [(f"{name}/{level}", part(tensors[level])) for level in PYRAMID]
    if name in tensors and not hasattr(model.get_layer(name), "layers"):
        return [(name, tensors[name])]
    near = difflib.get_close_matches(name, [layer.name for layer in model.layers], n=3, cutoff=0)
    raise ValueError(f"there is no layer {name!r}: did you mean {', '.join(near)}?")


# --- The classic run_graph --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ProposalStage:
    """A stage inside the layer "ROI" that `run_graph` can compute."""

    stage: str


def log(text: str, array: npt.ArrayLike | None = None) -> None:
    """Print a line of text, with shape, range and dtype of an array if one is given."""
    print(text if array is None else describe_array(text, array))


def ancestor(model: keras.Model, tensor: Any, name: str) -> ProposalStage | Any | None:
    """Return a handle for `run_graph` to a named step of the network.

    A Keras 3 graph has layers, not TensorFlow nodes. The stages of the layer "ROI" are known by their classic names, and every
    layer, also inside nested models, as "layer" or "layer/anything:0".

    Args:
        model: the model.
        tensor: not used; the classic code searched the ancestors of this tensor. Names are unique in the model.
        name: name of the step.

    Returns:
        ProposalStage or KerasTensor; None if nothing has that name.
    """
    match = NODE_NAME.fullmatch(name)
    if match and match["node"] in STAGE_OF_NODE:
        return ProposalStage(STAGE_OF_NODE[match["node"]])
    layers = {layer.name: layer for nested in _nested(model) for layer in nested.layers}
    layers |= {layer.name: layer for layer in model.layers if not hasattr(layer, "layers")}
    layer = layers.get(name.split("/")[0])
    return layer.output if layer is not None and not name.startswith("ROI/") else None


def run_graph(model: keras.Model, inputs: Sequence[npt.ArrayLike], outputs: Sequence[tuple[str, Any]]) -> dict[str, np.ndarray]:
    """Compute tensors of an inference model.

    Args:
        model: the classic inference variant.
        inputs: [molded images, image_meta, anchors].
        outputs: (name, KerasTensor or ProposalStage). A tensor of the nested model "rpn_model" is computed for each feature
            map on which that model is run.

    Returns:
        The arrays by name, in the order of `outputs`; tensors inside "rpn_model" are named name/fpn_p2 and so on. The indices
        kept by non-maximum suppression are those of the first image, int32 [kept], as in the classic code.

    Raises:
        ValueError: an output is None. The message names it.
    """
    for name, output in outputs:
        if output is None:
            raise ValueError(f"output {name!r} is None: there is no layer or step with that name.")
    outputs = [pair for name, output in outputs for pair in _by_level(model, name, output)]
    tensors = [t for _, t in outputs if not isinstance(t, ProposalStage)]
    roi_inputs = list(model.get_layer("ROI").input) if len(tensors) < len(outputs) else []
    values = _computed(model.inputs, [*tensors, *roi_inputs], inputs)
    stages: dict[str, Any] = {}
    if roi_inputs:
        stages = keras.tree.map_structure(keras.ops.convert_to_numpy, model.get_layer("ROI").stages(values[len(tensors):]))
        stages["non_max_suppression"] = stages["non_max_suppression"][0][stages["kept"][0]]
    remaining = iter(values)
    return {name: stages[t.stage] if isinstance(t, ProposalStage) else keras.ops.convert_to_numpy(next(remaining))
            for name, t in outputs}


def _computed(inputs: list[Any], tensors: list[Any], arrays: Sequence[npt.ArrayLike]) -> list[Any]:
    """Compute tensors of the graph that starts at `inputs`."""
    part = keras.Model(inputs, tensors)
    part.compile(run_eagerly=True)  # compiling would take longer than a single run
    values = part.predict_on_batch(arrays)
    return values if len(tensors) > 1 else [values]  # Keras does not put a single output in a list


def _nested(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if hasattr(layer, "layers")]


def _by_level(model: keras.Model, name: str, output: Any) -> list[tuple[str, Any]]:
    """Return [(name, output)]; for a tensor inside a nested model, one output of the outer graph per pyramid level."""
    for nested in _nested(model):
        # The first layer is the input, whose "output" is the feature map itself.
        if any(output is tensor for layer in nested.layers for tensor in keras.tree.flatten(layer.output)):
            part = keras.Model(nested.inputs, output)
            return [(f"{name}/{level}", part(model.get_layer(level).output)) for level in PYRAMID]
    return [(name, output)]
