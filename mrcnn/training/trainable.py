"""Which layers a stage of training touches.

`layers` of `MaskRCNN.train` is one of the names below or a regular expression over whole layer names.
"""

import re

HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"
STAGES = {
    "heads": HEADS,
    "3+": rf"(res3.*)|(bn3.*)|(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|{HEADS}",
    "4+": rf"(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|{HEADS}",
    "5+": rf"(res5.*)|(bn5.*)|{HEADS}",
    "all": ".*",
}


def layer_regex(layers):
    """Return the regular expression for the name of a stage; any other text is one already.

    Raises:
        ValueError: text that is no regular expression.
    """
    regex = STAGES.get(layers, layers)
    try:
        re.compile(regex)
    except re.error as error:
        raise ValueError(f"layers is {layers!r}: choose one of {', '.join(STAGES)}, or give a regular expression over "
                         f"layer names ({error}).") from error
    return regex


def leaf_layers(model):
    """Return the layers that hold weights, those of nested models in their place."""
    leaves = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            leaves.extend(leaf_layers(layer))
        elif layer.weights:
            leaves.append(layer)
    return leaves


def set_trainable(model, regex):
    """Make the layers whose whole name matches trainable, and freeze all others, BatchNorm included.

    Args:
        model: keras.Model.
        regex: str.

    Returns:
        list of the layers that now train.

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
