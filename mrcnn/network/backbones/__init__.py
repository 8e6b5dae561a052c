"""Backbones by name. To add one, write a function with the signature of `Backbone` in a new module, list it
here, and add its name to `BACKBONE_NAMES` in `mrcnn/config.py`, which loads no Keras.

`Config.BACKBONE` is a name from `BACKBONES` or such a function.
"""

from collections.abc import Callable
from functools import partial

from keras import KerasTensor

from mrcnn.network.backbones.compact import compact_graph
from mrcnn.network.backbones.resnet import resnet_graph

# (input_image, stage5=True, train_bn=...) -> [C1, C2, C3, C4, C5]
Backbone = Callable[..., list[KerasTensor | None]]

BACKBONES: dict[str, Backbone] = {
    "resnet50": partial(resnet_graph, architecture="resnet50"),
    "resnet101": partial(resnet_graph, architecture="resnet101"),
    "compact": compact_graph,
}


def get_backbone(backbone: str | Backbone) -> Backbone:
    """Look up a backbone by name; a function is returned unchanged.

    Raises:
        ValueError: unknown name.
    """
    if callable(backbone):
        return backbone
    if backbone not in BACKBONES:
        raise ValueError(f"BACKBONE is {backbone!r}: choose one of {', '.join(sorted(BACKBONES))}, or give a function "
                         "(input_image, stage5, train_bn) -> [C1, C2, C3, C4, C5].")
    return BACKBONES[backbone]
