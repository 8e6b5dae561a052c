"""Loading weights of torchvision, detectron2 and mmdetection: recognising the publisher, and mapping its tensors to our layers.

A state dict names its tensors after the modules of its network. A publisher's rules map each module to one of our layers; the
last part of the name is the tensor ("weight", "running_mean", ...). The values are transposed to our layout:

- convolutions [out, in, h, w] and transposed ones [in, out, h, w] -> [h, w, in, out] and [h, w, out, in];
- fully connected layers [out, in] -> [in, out]; the first one of the box head, [units, C * P * P] -> [P, P, C, units];
- boxes, in groups of (dx, dy, dw, dh), -> (dy, dx, dh, dw), in the RPN as in the box head;
- classes: detectron2 and mmdetection have the background last, and none in the boxes and masks; ours is first, with zeros.

Shape letters: K classes with background, P side of the ROI features, C channels.

Source: the names of the modules in torchvision's `models/detection`, detectron2's `modeling` and mmdetection's `models`.
"""

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mrcnn import recipes
from mrcnn.base.text import shorten_names
from mrcnn.weights.classic_h5 import CLASS_COUNT, LoadReport, check_finite, choose, class_rows, fitted, layer_of, slots_of
from mrcnn.weights.tensors import WeightsError
from mrcnn.weights.transfer import CLASS_LAYERS, ClassNames

log = logging.getLogger(__name__)

# Tensors that are not loaded: counters, and constants that the configuration sets here.
IGNORED = re.compile(r"(.*\.)?num_batches_tracked|pixel_(mean|std)|(.*\.)?anchor_generator\..*|data_preprocessor\..*")
# The numbers in a publisher's names and in ours. "layer1" of PyTorch's ResNet is stage 2; blocks have letters here.
_NUMBERS: dict[str, Callable[[str], str]] = {
    "layer": lambda text: str(int(text) + 1),
    "block": lambda text: chr(ord("a") + int(text)),
    "part": lambda text: "abc"[int(text) - 1],
    "map": lambda text: str(int(text) + 2),
    "from0": lambda text: str(int(text) + 1),
    "n": str,
}
_BLOCK = r"(?P<layer>[1-4])\.(?P<block>\d\d?)"
_LEAVES = {"weight": "kernel", "bias": "bias"}
_NORM_LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_NORM = re.compile(r"bn.*|.*_bn\d*")
# Attributes of Config with which the same weights compute something else.
SAME_FUNCTION = ("RESNET_STRIDE_IN_3X3", "RESNET_PADDING", "CHANNEL_ORDER", "MEAN_PIXEL", "STD_PIXEL", "BOX_COORDINATES",
                 "ROI_ALIGN_HALF_PIXEL", "RPN_BBOX_STD_DEV", "BBOX_STD_DEV")  # fmt: skip
# blocks of stage 4, from which the depth of a ResNet is known
_DEPTHS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}


@dataclass(frozen=True)
class Publisher:
    """A framework whose weights are read.

    Attributes:
        name: its name in messages.
        mark: a module that all of its networks have, and no network of another publisher.
        rules: pairs of a pattern for modules and our layer, in which the groups of the pattern are replaced.
        recipes: pairs of a module and the recipe of networks that have it; the first that fits, or the last.
        background_last: whether the background is the last class, without boxes and masks.
        is_exact: whether the recipe is exactly that of the network. mmdetection's networks of the same layers differ in
            attributes that names do not tell (SAME_FUNCTION), such as those with backbones of PyTorch and of Caffe.
    """

    name: str
    mark: str
    rules: tuple[tuple[str, str], ...]
    recipes: tuple[tuple[str, str], ...]
    background_last: bool
    is_exact: bool = True

    def layer_of(self, module: str) -> str | None:
        """Return our layer for a module; None if there is none."""
        for pattern, layer in self.rules:
            match = re.fullmatch(pattern, module)
            if match:
                return layer.format(**{key: _NUMBERS[key](text) for key, text in match.groupdict().items()})
        return None

    def recipe_of(self, modules: Collection[str]) -> str:
        """Return the recipe of a network with these modules."""
        return next((recipe for module, recipe in self.recipes if module in modules), self.recipes[-1][1])


def _resnet(prefix: str) -> tuple[tuple[str, str], ...]:
    """Return the rules of PyTorch's ResNet."""
    return (
        (rf"{prefix}conv1", "conv1"),
        (rf"{prefix}bn1", "bn_conv1"),
        (rf"{prefix}layer{_BLOCK}\.conv(?P<part>[123])", "res{layer}{block}_branch2{part}"),
        (rf"{prefix}layer{_BLOCK}\.bn(?P<part>[123])", "bn{layer}{block}_branch2{part}"),
        (rf"{prefix}layer{_BLOCK}\.downsample\.0", "res{layer}{block}_branch1"),
        (rf"{prefix}layer{_BLOCK}\.downsample\.1", "bn{layer}{block}_branch1"),
    )


TORCHVISION = Publisher(
    "torchvision", "rpn.head.cls_logits", (
        *_resnet(r"backbone\.body\."),
        (r"backbone\.fpn\.inner_blocks\.(?P<map>[0-3])(\.0)?", "fpn_c{map}p{map}"),
        (r"backbone\.fpn\.inner_blocks\.(?P<map>[0-3])\.1", "fpn_c{map}p{map}_bn"),
        (r"backbone\.fpn\.layer_blocks\.(?P<map>[0-3])(\.0)?", "fpn_p{map}"),
        (r"backbone\.fpn\.layer_blocks\.(?P<map>[0-3])\.1", "fpn_p{map}_bn"),
        (r"rpn\.head\.conv(\.0\.0)?", "rpn_conv_shared"),
        (r"rpn\.head\.conv\.1\.0", "rpn_conv_shared2"),
        (r"rpn\.head\.cls_logits", "rpn_class_raw"),
        (r"rpn\.head\.bbox_pred", "rpn_bbox_pred"),
        (r"roi_heads\.box_head\.fc6", "mrcnn_class_conv1"),
        (r"roi_heads\.box_head\.fc7", "mrcnn_class_conv2"),
        (r"roi_heads\.box_head\.(?P<from0>[0-3])\.0", "mrcnn_box_conv{from0}"),
        (r"roi_heads\.box_head\.(?P<from0>[0-3])\.1", "mrcnn_box_bn{from0}"),
        (r"roi_heads\.box_head\.5", "mrcnn_class_conv1"),
        (r"roi_heads\.box_predictor\.cls_score", "mrcnn_class_logits"),
        (r"roi_heads\.box_predictor\.bbox_pred", "mrcnn_bbox_fc"),
        (r"roi_heads\.mask_head\.(?P<from0>[0-3])\.0", "mrcnn_mask_conv{from0}"),
        (r"roi_heads\.mask_head\.(?P<from0>[0-3])\.1", "mrcnn_mask_bn{from0}"),
        (r"roi_heads\.mask_head\.mask_fcn(?P<n>[1-4])", "mrcnn_mask_conv{n}"),
        (r"roi_heads\.mask_predictor\.conv5_mask", "mrcnn_mask_deconv"),
        (r"roi_heads\.mask_predictor\.mask_fcn_logits", "mrcnn_mask"),
    ), (("rpn.head.conv.1.0", "torchvision_v2"), ("", "torchvision")), background_last=False)  # fmt: skip

_D2_BLOCK = r"backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<block>\d\d?)"
DETECTRON2 = Publisher(
    "detectron2", "proposal_generator.rpn_head.objectness_logits", (
        (r"backbone\.bottom_up\.stem\.conv1", "conv1"),
        (r"backbone\.bottom_up\.stem\.conv1\.norm", "bn_conv1"),
        (_D2_BLOCK + r"\.conv(?P<part>[123])", "res{n}{block}_branch2{part}"),
        (_D2_BLOCK + r"\.conv(?P<part>[123])\.norm", "bn{n}{block}_branch2{part}"),
        (_D2_BLOCK + r"\.shortcut", "res{n}{block}_branch1"),
        (_D2_BLOCK + r"\.shortcut\.norm", "bn{n}{block}_branch1"),
        (r"backbone\.fpn_lateral(?P<n>[2-5])", "fpn_c{n}p{n}"),
        (r"backbone\.fpn_lateral(?P<n>[2-5])\.norm", "fpn_c{n}p{n}_bn"),
        (r"backbone\.fpn_output(?P<n>[2-5])", "fpn_p{n}"),
        (r"backbone\.fpn_output(?P<n>[2-5])\.norm", "fpn_p{n}_bn"),
        (r"proposal_generator\.rpn_head\.conv(\.conv0)?", "rpn_conv_shared"),
        (r"proposal_generator\.rpn_head\.conv\.conv1", "rpn_conv_shared2"),
        (r"proposal_generator\.rpn_head\.objectness_logits", "rpn_class_raw"),
        (r"proposal_generator\.rpn_head\.anchor_deltas", "rpn_bbox_pred"),
        (r"roi_heads\.box_head\.conv(?P<n>[1-4])", "mrcnn_box_conv{n}"),
        (r"roi_heads\.box_head\.conv(?P<n>[1-4])\.norm", "mrcnn_box_bn{n}"),
        (r"roi_heads\.box_head\.fc(?P<n>[12])", "mrcnn_class_conv{n}"),
        (r"roi_heads\.box_predictor\.cls_score", "mrcnn_class_logits"),
        (r"roi_heads\.box_predictor\.bbox_pred", "mrcnn_bbox_fc"),
        (r"roi_heads\.mask_head\.mask_fcn(?P<n>[1-4])", "mrcnn_mask_conv{n}"),
        (r"roi_heads\.mask_head\.mask_fcn(?P<n>[1-4])\.norm", "mrcnn_mask_bn{n}"),
        (r"roi_heads\.mask_head\.deconv", "mrcnn_mask_deconv"),
        (r"roi_heads\.mask_head\.predictor", "mrcnn_mask"),
    ), (("proposal_generator.rpn_head.conv.conv1", "detectron2_lsj"), ("", "detectron2")), background_last=True)  # fmt: skip

_MM_BOX = r"roi_head\.bbox_head(\.0)?\."
MMDETECTION = Publisher(
    "mmdetection", "rpn_head.rpn_cls", (
        *_resnet(r"backbone\."),
        (r"neck\.lateral_convs\.(?P<map>[0-3])\.conv", "fpn_c{map}p{map}"),
        (r"neck\.lateral_convs\.(?P<map>[0-3])\.bn", "fpn_c{map}p{map}_bn"),
        (r"neck\.fpn_convs\.(?P<map>[0-3])\.conv", "fpn_p{map}"),
        (r"neck\.fpn_convs\.(?P<map>[0-3])\.bn", "fpn_p{map}_bn"),
        (r"rpn_head\.rpn_conv", "rpn_conv_shared"),
        (r"rpn_head\.rpn_cls", "rpn_class_raw"),
        (r"rpn_head\.rpn_reg", "rpn_bbox_pred"),
        (_MM_BOX + r"shared_convs\.(?P<from0>[0-3])\.conv", "mrcnn_box_conv{from0}"),
        (_MM_BOX + r"shared_convs\.(?P<from0>[0-3])\.bn", "mrcnn_box_bn{from0}"),
        (_MM_BOX + r"shared_fcs\.(?P<from0>[01])", "mrcnn_class_conv{from0}"),
        (_MM_BOX + r"fc_cls", "mrcnn_class_logits"),
        (_MM_BOX + r"fc_reg", "mrcnn_bbox_fc"),
        (r"roi_head\.mask_head(\.0)?\.convs\.(?P<from0>[0-3])\.conv", "mrcnn_mask_conv{from0}"),
        (r"roi_head\.mask_head(\.0)?\.convs\.(?P<from0>[0-3])\.bn", "mrcnn_mask_bn{from0}"),
        (r"roi_head\.mask_head(\.0)?\.upsample", "mrcnn_mask_deconv"),
        (r"roi_head\.mask_head(\.0)?\.conv_logits", "mrcnn_mask"),
    ), (("", "detectron2"),), background_last=True, is_exact=False)  # fmt: skip

PUBLISHERS = (TORCHVISION, DETECTRON2, MMDETECTION)


@dataclass(frozen=True)
class _Named:
    """A tensor of a state dict: its name there, its name here ("conv1/kernel"; None if no layer corresponds), its values."""

    theirs: str
    ours: str | None
    values: np.ndarray


def load_state_dict(model: Any, tensors: Mapping[str, np.ndarray], exclude: Sequence[str] = (),
                    classes: ClassNames | None = None, where: object = "the state dict") -> LoadReport:
    """Set the weights of a model from a state dict of torchvision, detectron2 or mmdetection, or change nothing and raise an
    error that says what differs.

    Args:
        model: a MaskRCNN.
        tensors: values by the publisher's names.
        exclude: names of layers that are not changed.
        classes: see `classic_h5.load`. COCO's, of 80 things, are "coco" for each publisher.
        where: source of the tensors, for messages.

    Returns:
        The tensors that were loaded, and those that were not.

    Raises:
        WeightsError: the names are of no known publisher; the tensors are of another network, whose recipe the message names
            (tensors of the model are missing, some of the dict have no place in it, or shapes differ); or values are NaN or
            infinite.
    """
    publisher = _publisher_of(tensors, where)
    named, slots = _translate(publisher, tensors), slots_of(model.keras_model)
    by_name = {tensor.ours: tensor for tensor in named if tensor.ours is not None}
    pairs = {index: _in_our_layout(publisher, slot.name, by_name[slot.name].values, slot.variable.shape)
             for index, slot in enumerate(slots) if slot.name in by_name}  # fmt: skip
    counts = [pairs[index].shape for index, slot in enumerate(slots) if slot.name == CLASS_COUNT and index in pairs]
    places = {slot.name for slot in slots}
    report = LoadReport(unused=[tensor.theirs for tensor in named if tensor.ours not in places],
                        classes=class_rows(classes, slots, counts[0] if counts else (), where))  # fmt: skip
    chosen = choose(slots, pairs, set(exclude), report, model.config.IMAGE_CHANNEL_COUNT)
    _check_fit(publisher, tensors, report, model.config, where)
    slots, values = [slot for slot, _ in chosen], [fitted(report, *pair) for pair in chosen]
    check_finite(slots, values, where)
    for slot, value in zip(slots, values, strict=True):
        slot.variable.assign(value)
    report.sources = {name: by_name[name].theirs for name in report.matched}
    log.info("%s: %s", where, report.summary())
    report.announce(model.keras_model, where)
    return report


class Network(NamedTuple):
    """The network to which a state dict belongs.

    Attributes:
        recipe: its recipe.
        backbone: its BACKBONE; None if its depth is unknown.
        num_classes: K; None without a box head.
        is_exact: see `Publisher`.
    """

    recipe: str
    backbone: str | None
    num_classes: int | None
    is_exact: bool


def network_of(tensors: Mapping[str, np.ndarray], where: object = "the state dict") -> Network:
    """Recognise the network of a state dict by the names of its tensors.

    Raises:
        WeightsError: the names are of no known publisher.
    """
    publisher = _publisher_of(tensors, where)
    layers = {name: publisher.layer_of(_module(name)) or "" for name in tensors}
    blocks = {layer[4] for layer in layers.values() if layer.startswith("res4")}
    counts = [len(tensors[name]) for name, layer in layers.items() if layer == layer_of(CLASS_COUNT) and tensors[name].ndim]
    return Network(publisher.recipe_of({_module(name) for name in tensors}), _DEPTHS.get(len(blocks)),
                   counts[0] if counts else None, publisher.is_exact)  # fmt: skip


def _publisher_of(names: Collection[str], where: object) -> Publisher:
    modules = {_module(name) for name in names}
    for publisher in PUBLISHERS:
        if publisher.mark in modules:
            return publisher
    known = ", ".join(publisher.name for publisher in PUBLISHERS)
    raise WeightsError(f"{where}: its names are those of no Mask R-CNN with a feature pyramid by {known}: it has "
                       f"{shorten_names(names, 'tensor', 3)}")


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _translate(publisher: Publisher, tensors: Mapping[str, np.ndarray]) -> list[_Named]:
    named = []
    for name, values in tensors.items():
        if IGNORED.fullmatch(name):
            continue
        module, _, leaf = name.rpartition(".")
        layer = publisher.layer_of(module)
        leaves = _NORM_LEAVES if layer and _NORM.fullmatch(layer) else _LEAVES
        named.append(_Named(name, f"{layer}/{leaves[leaf]}" if layer and leaf in leaves else None, np.asarray(values)))
    return named


def _in_our_layout(publisher: Publisher, name: str, values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the values of a tensor in our layout. `shape` is that of our tensor; the result has another if theirs differs."""
    layer, _, leaf = name.partition("/")
    if not values.ndim:
        return values
    if layer in CLASS_LAYERS:
        values = _class_rows_first(publisher, layer, values)
    if layer in ("mrcnn_bbox_fc", "rpn_bbox_pred") and len(values) % 4 == 0:
        values = values.reshape(-1, 4, *values.shape[1:])[:, [1, 0, 3, 2]].reshape(values.shape)
    if leaf != "kernel":
        return values
    if values.ndim == 2 and len(shape) == 4:  # fully connected
        height, width, channels, _ = shape
        if values.shape[1] == channels * height * width:
            values = values.reshape(-1, channels, height, width)
    return values.transpose((2, 3, 1, 0) if values.ndim == 4 else None)


def _class_rows_first(publisher: Publisher, layer: str, values: np.ndarray) -> np.ndarray:
    """Return the rows of a class layer with the background first: [K or 4 K, ...]."""
    if not publisher.background_last:
        return values
    if layer == "mrcnn_class_logits":
        return np.roll(values, 1, axis=0)
    background = np.zeros((4 if layer == "mrcnn_bbox_fc" else 1, *values.shape[1:]), values.dtype)
    return np.concatenate([background, values])


def _check_fit(publisher: Publisher, tensors: Mapping[str, np.ndarray], report: LoadReport, config: Any,
               where: object) -> None:  # fmt: skip
    """Raise WeightsError if tensors are missing, unused or of another shape, or compute something else in this model."""
    parts = []
    if report.missing:
        parts.append(f"{len(report.missing)} tensors of the model are not in it ({_first(report.missing)})")
    if report.unused:
        parts.append(f"{len(report.unused)} of its tensors have no place in the model ({_first(report.unused)})")
    if report.mismatched:
        shapes = [f"{name}: {theirs} in the file, {ours} in the model" for name, theirs, ours in report.mismatched]
        parts.append(f"{len(report.mismatched)} have another shape ({_first(shapes)})")
    recipe, backbone, *_ = network_of(tensors)
    differing = _differing(recipe, config) if publisher.is_exact else []
    if differing:
        parts.append(f"the network of these weights has another configuration ({_first(differing)})")
    if not parts:
        return
    layers = list(dict.fromkeys(name.partition("/")[0] for name, _, _ in report.mismatched))
    if len(parts) == 1 and layers and set(layers) <= set(CLASS_LAYERS):
        advice = (f"keep the initial values of these layers with exclude={layers} (--exclude {' '.join(layers)}), or take over "
                  "the classes whose names match (classes_from, --classes-from)")
    else:
        advice = f"these weights are for the recipe {recipe} (mrcnn.recipes.get({recipe!r}), --recipe {recipe})"
        advice += f" with BACKBONE={backbone}" if backbone else ""
    raise WeightsError(f"{where} is of {publisher.name}, and does not fit the model: {'; '.join(parts)}. Nothing was loaded: "
                       f"{advice}")


def _differing(recipe: str, config: Any) -> list[str]:
    """Describe the attributes in SAME_FUNCTION that a configuration does not share with a recipe."""
    expected, differing = recipes.get(recipe), []
    for name in SAME_FUNCTION:
        theirs, ours = getattr(expected, name), getattr(config, name)
        if isinstance(theirs, str | bool):
            is_same = theirs == ours
        else:  # one number for all channels or one for each; those of another number of channels cannot be compared
            lengths = {np.size(theirs), np.size(ours)} - {1}
            is_same = len(lengths) > 1 or np.allclose(theirs, ours, rtol=1e-3)
        if not is_same:
            differing.append(f"{name}: {theirs} for the weights, {ours} in the model")
    return differing


def _first(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
