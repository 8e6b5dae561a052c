"""Backbones by name: BACKBONE in a Config is one of these, or a callable with their signature."""

from functools import partial

from mrcnn.network.backbones.compact import compact_graph
from mrcnn.network.backbones.resnet import resnet_graph

BACKBONES = {
    "resnet50": partial(resnet_graph, architecture="resnet50"),
    "resnet101": partial(resnet_graph, architecture="resnet101"),
    "compact": compact_graph,
}


def get_backbone(backbone):
    """Return the callable for a Config's BACKBONE.

    Args:
        backbone: str or callable.

    Returns:
        callable: (input_image, stage5=True, train_bn=...) -> [C1, C2, C3, C4, C5].

    Raises:
        ValueError: a name that is not registered.
    """
    if callable(backbone):
        return backbone
    if backbone not in BACKBONES:
        raise ValueError(f"BACKBONE is {backbone!r}: choose one of {', '.join(sorted(BACKBONES))}, or give a callable "
                         "(input_image, stage5, train_bn) -> [C1, C2, C3, C4, C5].")
    return BACKBONES[backbone]
