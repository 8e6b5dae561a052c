"""Running parts of a graph for those who want to look inside."""

import re
from dataclasses import dataclass

import keras

from mrcnn.loading.inspection import describe_array

# Names under which steps of the proposal layer are asked for -> keys of `ProposalLayer.stages`.
STAGE_OF_NODE = {
    "pre_nms_anchors": "pre_nms_anchors",
    "refined_anchors": "refined_anchors",
    "refined_anchors_clipped": "refined_anchors_clipped",
    "rpn_non_max_suppression": "non_max_suppression",
}
# The maps that the nested model "rpn_model" is run on, one after another.
PYRAMID = ("fpn_p2", "fpn_p3", "fpn_p4", "fpn_p5", "fpn_p6")
NODE_NAME = re.compile(r"ROI/(?P<node>\w+)(/NonMaxSuppressionV[23])?:0")


@dataclass(frozen=True)
class ProposalStage:
    """A step inside the layer "ROI" that `run_graph` can compute."""

    stage: str


def log(text, array=None):
    """Print a line; with an array its shape, range and dtype too.

    Args:
        text: str.
        array: np.ndarray, optional.
    """
    print(text if array is None else describe_array(text, array))


def ancestor(model, tensor, name):
    """Return what stands for a named step behind a tensor.

    A Keras 3 graph has layers, not TensorFlow nodes: known are the steps of the layer "ROI" under their classic names,
    and every layer, as "layer" or "layer/anything:0", those of nested models among them.

    Args:
        model: keras.Model.
        tensor: KerasTensor of the model. Kept for the classic signature; names are unique in the model.
        name: str.

    Returns:
        ProposalStage, KerasTensor, or None when nothing has that name.
    """
    match = NODE_NAME.fullmatch(name)
    if match and match["node"] in STAGE_OF_NODE:
        return ProposalStage(STAGE_OF_NODE[match["node"]])
    layers = {layer.name: layer for nested in _nested(model) for layer in nested.layers}
    layers |= {layer.name: layer for layer in model.layers if not hasattr(layer, "layers")}
    layer = layers.get(name.split("/")[0])
    return layer.output if layer is not None and not name.startswith("ROI/") else None


def run_graph(model, inputs, outputs):
    """Compute tensors of an inference model.

    Args:
        model: keras.Model of mode "inference".
        inputs: [molded images, image_meta, anchors].
        outputs: list of (name, KerasTensor or ProposalStage). A tensor of the nested model "rpn_model" stands for one of
            each map that this is run on.

    Returns:
        dict {name: np.ndarray}, in the order asked for; of tensors inside "rpn_model", {name/fpn_p2: ..., and so on}. The
        indices that non-maximum suppression kept are those of the first image, int32 [kept], as the classic node gave them.

    Raises:
        ValueError: an output that is None, by its name.
    """
    for name, output in outputs:
        if output is None:
            raise ValueError(f"output {name!r} is None: no layer or step of that name was found.")
    outputs = [pair for name, output in outputs for pair in _by_level(model, name, output)]
    tensors = [t for _, t in outputs if not isinstance(t, ProposalStage)]
    stages = {}
    roi_inputs = []
    if len(tensors) < len(outputs):
        roi_inputs = list(model.get_layer("ROI").input)
    wanted = [*tensors, *roi_inputs]
    part = keras.Model(model.inputs, wanted)
    part.compile(run_eagerly=True)  # it runs once: compiling it would take longer than that
    values = part.predict_on_batch(inputs)
    if len(wanted) == 1:
        values = [values]  # Keras gives a single output without its list
    if roi_inputs:
        stages = keras.tree.map_structure(keras.ops.convert_to_numpy,
                                          model.get_layer("ROI").stages(values[len(tensors):]))
        stages["non_max_suppression"] = stages["non_max_suppression"][0][stages["kept"][0]]
    values = iter(values)
    return {name: stages[t.stage] if isinstance(t, ProposalStage) else keras.ops.convert_to_numpy(next(values))
            for name, t in outputs}


def _nested(model):
    return [layer for layer in model.layers if hasattr(layer, "layers")]


def _by_level(model, name, output):
    """Return [(name, output)]; of a tensor inside a nested model one for each pyramid level, in the outer graph."""
    for nested in _nested(model):
        # The first layer is the input, whose "output" is the map itself.
        if any(output is tensor for layer in nested.layers for tensor in keras.tree.flatten(layer.output)):
            part = keras.Model(nested.inputs, output)
            return [(f"{name}/{level}", part(model.get_layer(level).output)) for level in PYRAMID]
    return [(name, output)]
