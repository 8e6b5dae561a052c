"""Backbones by name. To add one, write a function with the signature of `Backbone` in a new module, list it
here, and add its name to `BACKBONE_NAMES` in `mrcnn/config_rules.py`, which loads no Keras.

`Config.BACKBONE` is a name from `BACKBONES`, "keras_hub:" and the name of a preset, or such a function. The contract of a
backbone: its input is normalised; C2 to C5 are feature maps at strides 4, 8, 16 and 32; layers with weights have names of their
own, which weight files use; and stage n, for `layers="3+"`, consists of the layers between C(n-1) and C(n).
`mrcnn.weights.imagenet` lists the published weights, with the normalisation that they need.
"""

from collections.abc import Callable
from functools import partial

from keras import KerasTensor

from mrcnn.config_rules import KERAS_HUB
from mrcnn.network.backbones.applications import APPLICATIONS, application_graph
from mrcnn.network.backbones.compact import compact_graph
from mrcnn.network.backbones.efficientnet_lite import efficientnet_lite0_graph
from mrcnn.network.backbones.keras_hub import keras_hub_graph
from mrcnn.network.backbones.resnet import BLOCKS, CLASSIC, ResNetVariant, resnet_graph

# (input_image, stage5=True, train_bn=...) -> [C1, C2, C3, C4, C5]
Backbone = Callable[..., list[KerasTensor | None]]

BACKBONES: dict[str, Backbone] = {
    **{name: partial(resnet_graph, architecture=name) for name in BLOCKS},
    **{name: partial(application_graph, application=name) for name in APPLICATIONS},
    "efficientnet_lite0": efficientnet_lite0_graph,
    "compact": compact_graph,
}


def get_backbone(backbone: str | Backbone, resnet: ResNetVariant = CLASSIC) -> Backbone:
    """Look up a backbone by name; a function is returned unchanged.

    Args:
        backbone: name or function.
        resnet: the variant, if it is the name of a ResNet.

    Raises:
        ValueError: unknown name.
    """
    if callable(backbone):
        return backbone
    if backbone.startswith(KERAS_HUB):
        return partial(keras_hub_graph, preset=backbone.removeprefix(KERAS_HUB))
    if backbone not in BACKBONES:
        raise ValueError(f"BACKBONE is {backbone!r}: choose one of {', '.join(sorted(BACKBONES))} or {KERAS_HUB}PRESET, "
                         "or give a function (input_image, stage5, train_bn) -> [C1, C2, C3, C4, C5].")
    found = BACKBONES[backbone]
    return partial(found, variant=resnet) if resnet != CLASSIC and backbone in BLOCKS else found
