"""Selection of the layers that a stage of training trains.

`layers` of `MaskRCNN.train` is one of the names in STAGES or a regular expression over whole layer names. Stage n of a backbone
consists of the layers between its feature maps C(n-1) and C(n), whatever their names. In ResNet, stages 3 to 5 are the layers
res3..., bn3... and so on that the classic expression for "3+" lists.
"""

import re

import keras

HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"
STAGES = ("heads", "3+", "4+", "5+", "all")  # "3+": the heads, and the backbone from stage 3 on


def layer_regex(layers: str, model: keras.Model) -> str:
    """Return the regular expression over layer names for a stage. Any other text must itself be a regular expression.

    Args:
        layers: a name in STAGES, or an expression.
        model: a variant of the network, whose backbone has the stages.

    Raises:
        ValueError: the text is not a regular expression, or the backbone has no layers in these stages.
    """
    if layers not in STAGES:
        try:
            re.compile(layers)
        except re.error as error:
            raise ValueError(f"layers is {layers!r}: choose one of {', '.join(STAGES)}, or give a regular expression over "
                             f"layer names ({error}).") from error
        return layers
    if layers in ("all", "heads"):
        return ".*" if layers == "all" else HEADS
    names = [name for stage, names in backbone_stages(model).items() if stage >= int(layers[0]) for name in names]
    if not names:
        raise ValueError(f'layers is "{layers}", but stages {layers[0]} to 5 of this backbone have no layers with weights, so '
                         'that only the heads would train: give "heads", "all" or a regular expression over layer names.')
    return "|".join([*map(re.escape, names), HEADS])


def backbone_stages(model: keras.Model) -> dict[int, list[str]]:
    """Return the names of the layers with weights in stages 2 to 5 of the backbone; stage 2 includes the stem.

    Raises:
        ValueError: the model has no feature pyramid, whose inputs are C2 to C5.
    """
    try:
        laterals = {stage: model.get_layer(f"fpn_c{stage}p{stage}") for stage in range(2, 6)}
    except ValueError as error:
        raise ValueError(f"model {model.name!r} has no feature pyramid with the layers fpn_c2p2 to fpn_c5p5, so the stages of "
                         'its backbone are not known: give "heads", "all" or a regular expression over layer names.') from error
    stages: dict[int, list[str]] = {}
    seen: set[str] = set()
    for stage, lateral in laterals.items():
        names = [layer.name for layer in leaf_layers(keras.Model(model.inputs[0], lateral.input))]
        stages[stage] = [name for name in names if name not in seen]
        seen.update(names)
    return stages


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
