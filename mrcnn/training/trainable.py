"""Selection of the layers that a stage of training trains.

`layers` of `MaskRCNN.train` is one of the names in STAGES or a regular expression over whole layer names.
"""

import re

import keras

HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"


def _from_stage(first: int) -> str:
    """Return the regular expression for the heads and the backbone from stage `first` on.

    The batch normalisation of res3a_branch2a is bn3a_branch2a in ResNet and bn_res3a_branch2a in the compact backbone.
    """
    return "|".join(rf"(res{stage}.*)|(bn{stage}.*)|(bn_res{stage}.*)" for stage in range(first, 6)) + f"|{HEADS}"


STAGES = {"heads": HEADS, "3+": _from_stage(3), "4+": _from_stage(4), "5+": _from_stage(5), "all": ".*"}
BACKBONE_STAGES = ("3+", "4+", "5+")


def layer_regex(layers: str) -> str:
    """Return the regular expression for a stage. Any other text must itself be a regular expression.

    Raises:
        ValueError: the text is not a regular expression.
    """
    regex = STAGES.get(layers, layers)
    try:
        re.compile(regex)
    except re.error as error:
        raise ValueError(f"layers is {layers!r}: choose one of {', '.join(STAGES)}, or give a regular expression over "
                         f"layer names ({error}).") from error
    return regex


def check_stage(model: keras.Model, layers: str) -> None:
    """Refuse a stage of the backbone, such as "3+", if no layer of the backbone has a name of that stage.

    Any other stage or expression is accepted.

    Raises:
        ValueError: only the heads would train. The message names the layers of the backbone.
    """
    if layers not in BACKBONE_STAGES:
        return
    backbone = [layer.name for layer in leaf_layers(model) if not re.fullmatch(HEADS, layer.name)]
    if not any(re.fullmatch(STAGES[layers], name) for name in backbone):
        names = ", ".join(backbone[:8]) + (", ..." if len(backbone) > 8 else "")
        raise ValueError(
            f'layers is "{layers}", which selects the stages of a backbone by the names of its layers (res{layers[0]}... and '
            f"bn{layers[0]}..., as in ResNet). No layer of this backbone has such a name, so only the heads would train. Its "
            f'layers are {names}: give "heads", "all" or a regular expression over layer names.')  # fmt: skip


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that hold weights, with nested models replaced by their layers."""
    leaves = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            leaves.extend(leaf_layers(layer))
        elif layer.weights:
            leaves.append(layer)
    return leaves


def set_trainable(model: keras.Model, regex: str) -> list[keras.layers.Layer]:
    """Make the layers whose whole name matches trainable, and freeze all others, batch norm included.

    Returns:
        The trainable layers.

    Raises:
        ValueError: no layer matches.
    """
    chosen = []
    model.trainable = True
    for layer in leaf_layers(model):
        layer.trainable = bool(re.fullmatch(regex, layer.name))
        if layer.trainable and layer.trainable_weights:
            chosen.append(layer)
    if not chosen:
        names = ", ".join(layer.name for layer in leaf_layers(model)[:8])
        raise ValueError(f"layers {regex!r} matches no layer with weights. Give {', '.join(STAGES)}, or a regular "
                         f"expression of layer names such as {names}, ...")
    return chosen
