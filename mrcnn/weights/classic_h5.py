"""The weight files of a model: written in the classic layout, compatible with projects written for TensorFlow 1, and read in
the classic layout and in Keras' own.

`mrcnn.weights.tensors` describes both. A file holds only `layer.weights`: no state of random generators, optimizers or metrics.
"""

import logging
import math
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import keras
import numpy as np

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.text import shorten_names
from mrcnn.io.hdf5 import digest_fault, seal
from mrcnn.weights.tensors import (
    FilePath,
    Tensor,
    WeightsError,
    open_weights,
    read_tensors,
    to_hdf5,
    write_names,
)
from mrcnn.weights.transfer import CLASS_LAYERS, RGB, ClassNames, ClassRows, inflate, is_rgb_stem, match_classes

log = logging.getLogger(__name__)

# Suffix of files in Keras' own layout.
KERAS_SUFFIX = ".weights.h5"
# The tensor whose size is the number of classes.
CLASS_COUNT = "mrcnn_class_logits/bias"

Item = TypeVar("Item", "Slot", Tensor)
Source = TypeVar("Source", Tensor, np.ndarray)


@dataclass(repr=False)
class LoadReport:
    """The outcome of loading a file, tensor by tensor. Tensors are named "layer/tensor", such as "conv1/kernel".

    Attributes:
        matched: tensors of the model that were set.
        missing: tensors of the model that are not in the file; they keep their values.
        mismatched: (name, shape in the file, shape in the model) of tensors whose shapes differ; `load` raises an error for
            these, unless `skip_mismatch` is True.
        unused: tensors of the file, by their names in it, that match nothing in the model.
        excluded: tensors of the model that were not changed because their layer was excluded.
        inflated: kernels of first convolutions for RGB that were set in a model for images with other channels; see `stem`.
            They are among the matched tensors.
        classes: the rows of the class layers that were taken over, if the file was loaded by the names of its classes.
        sources: of weights of another framework, the name there of each tensor of the model that was set.
    """

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    classes: ClassRows | None = None
    sources: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the summary: notebooks show what the last line of a cell returns, and a model has hundreds of tensors."""
        return f"<{type(self).__name__}: {self.summary()}>"

    @property
    def missing_layers(self) -> list[str]:
        """Names of the layers with at least one missing tensor, in the order of the model."""
        return _layers_of(self.missing)

    def unloaded_layers(self, before: Container[str] | None = None) -> list[str]:
        """Return the layers whose weights are neither in this file nor in one loaded earlier, or only those of some classes.

        Args:
            before: the result of this method for the previously loaded file; None if this is the first.
        """
        unloaded = [*self.missing, *self.excluded, *(name for name, _, _ in self.mismatched)]
        if self.classes is not None and not self.classes.is_complete:
            unloaded += [name for name in self.matched if layer_of(name) in CLASS_LAYERS]
        return [layer for layer in _layers_of(unloaded) if before is None or layer in before]

    def announce(self, model: "ClassicFiles", where: object) -> None:
        """Record in a model which of its layers have no weights, and print what the user may not expect."""
        model.unloaded_layers = tuple(self.unloaded_layers(model.unloaded_layers))
        if self.missing:
            print(f"{where}: no weights for {shorten_names(self.missing_layers)}; they keep their values.")
        if self.inflated:
            print(f"{where}: {', '.join(self.inflated)} is for {RGB} input channels; each of the "
                  f"{model.inputs[0].shape[-1]} of this network gets their mean, scaled to the same sum.")  # type: ignore
        if self.classes is not None:
            print(self.classes.table())

    def summary(self) -> str:
        """Return one line of counts, with the first names of the tensors in each list but that of the matched."""
        words = [f"{len(self.matched)} tensors loaded"]
        for name in ("missing", "mismatched", "unused", "excluded", "inflated"):
            tensors = getattr(self, name)
            if tensors:
                first = ", ".join(t[0] if isinstance(t, tuple) else t for t in tensors[:3])
                words.append(f"{len(tensors)} {name} ({first}{', ...' if len(tensors) > 3 else ''})")
        return "; ".join(words)


@dataclass(frozen=True)
class Slot:
    """A variable of the model and its place in a file.

    Attributes:
        group: name of the layer, or of the outermost of the nested models that contain it.
        name: its name in the classic layout without ":0".
        layers: names of the layer and of the models that contain it, from the outermost. Each of them excludes it.
        variable: keras.Variable.
    """

    group: str
    name: str
    layers: tuple[str, ...]
    variable: Any


# --- Save and load ----------------------------------------------------------------------------------------------------
def save(model: keras.Model, path: FilePath) -> None:
    """Write the weights of a model in the classic layout, atomically, with a digest of the values.

    Each layer is a group; the layers of a nested model share the group of that model. The folder is created if it is missing.

    Raises:
        WeightsError: weights are NaN or infinite. Nothing is written, and an older file at `path` is unchanged.
        OSError: the file cannot be written.
    """
    refuse_nan(model)
    slots = slots_of(model)
    groups, size = _by_group(slots), sum(4 * math.prod(slot.variable.shape) for slot in slots)
    with atomic_open(Path(path), "w+b", durable=True, size=size) as raw, h5py.File(raw, "w") as file:
        write_names(file, "layer_names", list(groups))
        # Readers from 2017 find the layout of kernels here; it is TensorFlow's on every backend.
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = keras.__version__.encode()
        for name, slots in groups.items():
            group = file.create_group(name)
            write_names(group, "weight_names", [f"{slot.name}:0" for slot in slots])
            for slot in slots:
                group.create_dataset(f"{slot.name}:0", data=to_hdf5(slot.variable))
        seal(file)


def refuse_nan(model: keras.Model) -> None:
    """Raise WeightsError if a weight of the model is NaN or infinite."""
    slots = slots_of(model)
    wrong = [slot.name for slot in slots if not np.isfinite(to_hdf5(slot.variable)).all()]
    if wrong:
        raise WeightsError(f"{len(wrong)} of the {len(slots)} weight tensors hold NaN or infinite numbers, the first of them "
                           f"{wrong[0]}: weights like these detect nothing and are not saved")


def load(model: keras.Model, path: FilePath, by_name: bool = True, exclude: Sequence[str] | None = None,
         skip_mismatch: bool = False, classes: ClassNames | None = None) -> LoadReport:
    """Set the weights of a model from a classic file, or change nothing and raise an error that gives the reason.

    Args:
        model: the model.
        path: a file written by `save`, by `save_weights` or `model.save` of Keras 2, or by Keras in its own layout
            (.weights.h5).
        by_name: True loads the tensors that the file and the model have in common, and the first convolution for RGB also into
            a model for images with other channels. False requires the file to hold the whole model; in the classic layout,
            layers are matched by name, or by order if the names differ.
        exclude: names of layers that are not changed: a nested model, or single layers in it.
        skip_mismatch: True leaves tensors with another shape unchanged, as in Keras, instead of raising an error.
        classes: names of the model's classes and of the file's. Then the class layers take over the rows of classes with the
            same name, and keep their values for others.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is damaged, refers to other files or has neither layout, nothing in it matches, a tensor that is
            not excluded has another shape or values that are not finite, or (`by_name=False`) the file belongs to another
            model. No weights are changed in this case.

    Differs: the classic code stopped at the first layer with another shape, with the weights before it already set, and
        reported nothing if no name matched.
    """
    excluded, slots = set(exclude or ()), slots_of(model)
    with open_weights(path) as file:
        fault = digest_fault(file)
        if fault:
            raise WeightsError(f"{path}: {fault}")
        tensors, is_keras = read_tensors(file, path)
        pairs, unused = (_match_numbers if is_keras else _match_names)(slots, tensors)
        report = LoadReport(unused=[tensor.name for tensor in unused])
        if not by_name and not is_keras and (unused or len(pairs) < len(slots)):
            pairs, report.unused = _match_order(slots, tensors, path), []
        counts = [pairs[index].shape for index, slot in enumerate(slots) if slot.name == CLASS_COUNT and index in pairs]
        report.classes = class_rows(classes, slots, counts[0] if counts else (), path)
        channels = model.inputs[0].shape[-1] if by_name else None
        chosen = choose(slots, pairs, excluded, report, channels)
        _check_match(report, slots, tensors, path, skip_mismatch)
        values = [fitted(report, slot, tensor.read()) for slot, tensor in chosen]
    if report.missing and not by_name:
        raise WeightsError(f"{path}: no weights for {shorten_names(report.missing_layers)}; load what both have with "
                           "by_name=True")
    slots = [slot for slot, _ in chosen]
    check_finite(slots, values, path)
    for slot, value in zip(slots, values, strict=True):
        slot.variable.assign(value)
    log.info("%s: %s", path, report.summary())
    return report


def layout(path: FilePath) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return (group, tensor name, shape) of each tensor of a weight file, in the order of the file."""
    with open_weights(path) as file:
        return [(tensor.group, tensor.name, tensor.shape) for tensor in read_tensors(file, path)[0]]


def choose(slots: list[Slot], pairs: dict[int, Source], excluded: set[str], report: LoadReport,
           channels: int | None) -> list[tuple[Slot, Source]]:
    """Fill the report, and return the pairs to assign, whose values `fitted` makes.

    Args:
        pairs: tensors or arrays by index in `slots`.
        channels: number of channels of the model's images, for which the first convolution is inflated; None for none.
    """
    chosen = []
    for index, slot in enumerate(slots):
        tensor = pairs.get(index)
        if excluded.intersection(slot.layers):
            report.excluded.append(slot.name)
        elif tensor is None:
            report.missing.append(slot.name)
        elif _fits(report.classes, slot, tensor.shape) or is_rgb_stem(tensor.shape, slot.variable.shape, channels):
            if not _fits(report.classes, slot, tensor.shape):
                report.inflated.append(slot.name)
            report.matched.append(slot.name)
            chosen.append((slot, tensor))
        else:
            report.mismatched.append((slot.name, tensor.shape, tuple(slot.variable.shape)))
    return chosen


def class_rows(names: ClassNames | None, slots: list[Slot], in_file: Sequence[int], where: Any) -> ClassRows | None:
    """Match the classes of a file with those of a model; None without names.

    Args:
        in_file: shape of CLASS_COUNT in the file; empty if the file lacks it.
    """
    if names is None:
        return None
    in_model = [slot.variable.shape[0] for slot in slots if slot.name == CLASS_COUNT]
    if not in_file or not in_model:
        raise WeightsError(f"{where}: {'the model' if in_file else 'it'} has no tensor {CLASS_COUNT}, by which classes are "
                           "matched: load it without classes_from (--classes-from)")
    return match_classes(names, in_model[0], in_file[-1], where)


def _fits(classes: ClassRows | None, slot: Slot, shape: Sequence[int]) -> bool:
    """Return whether a tensor of this shape can be assigned to a slot, or rows of it if the slot is of a class layer."""
    expected = tuple(slot.variable.shape)
    if classes is not None and slot.layers[-1] in CLASS_LAYERS:
        expected = (*expected[:-1], CLASS_LAYERS[slot.layers[-1]] * len(classes.theirs))
    return tuple(shape) == expected


def fitted(report: LoadReport, slot: Slot, values: np.ndarray) -> np.ndarray:
    """Return the values to assign to a slot: those of the file, inflated, or with the rows of the matched classes."""
    if slot.name in report.inflated:
        return inflate(values, slot.variable.shape[2])
    if report.classes is None or slot.layers[-1] not in CLASS_LAYERS:
        return values
    return report.classes.merge(slot.layers[-1], values, to_hdf5(slot.variable))


def _check_match(report: LoadReport, slots: list[Slot], tensors: list[Tensor], path: FilePath, skip_mismatch: bool) -> None:
    """Raise WeightsError if shapes differ or nothing matches."""
    if report.mismatched and not skip_mismatch:
        owners = {slot.name: slot.layers[-1] for slot in slots}
        layers = list(dict.fromkeys(owners[name] for name, _, _ in report.mismatched))
        lines = [f"  {name}: {theirs} in the file, {ours} in the model" for name, theirs, ours in report.mismatched[:8]]
        more = [f"  and {len(report.mismatched) - 8} more"] if len(report.mismatched) > 8 else []
        advice = f"to keep the initial values of these layers, load with exclude={layers} (--exclude {' '.join(layers)})"
        if set(layers) <= set(CLASS_LAYERS):
            advice += "; or take over the classes whose names match (classes_from, --classes-from)"
        if len(report.mismatched) > len(report.matched):
            advice = "most tensors differ: these weights are of another network; use the configuration they were trained with"
        raise WeightsError("\n".join([
            f"{path}: {len(report.mismatched)} tensors have another shape than the model's", *lines, *more, advice]))
    if not report.matched and not report.excluded:
        theirs, ours = shorten_names(_by_group(tensors)), shorten_names(_by_group(slots))
        raise WeightsError(f"{path}: no tensor matches a layer of the model. The file has {theirs}; the model has {ours}")


def check_finite(slots: list[Slot], values: list[np.ndarray], path: object) -> None:
    """Raise WeightsError if a tensor has values that are not finite in float32."""
    with np.errstate(over="ignore"):
        wrong = [slot.name for slot, value in zip(slots, values, strict=True)
                 if not np.isfinite(value.astype(np.float32)).all()]
    if wrong:
        raise WeightsError(f"{path}: weights of layer {_layers_of(wrong)[0]} are NaN or infinite ({shorten_names(wrong)}), so "
                           "that the network would detect nothing. The training that wrote the file diverged, or the file is "
                           "damaged: use an earlier checkpoint")


# --- Models whose weight files have this layout -----------------------------------------------------------------------
class ClassicFiles:
    """A mixin for keras.Model: weight files have the classic layout unless their name ends with Keras' suffix.

    Classic notebooks end with `model.keras_model.save_weights("mask_rcnn_shapes.h5")`.

    Attributes:
        unloaded_layers: names of the layers whose weights were not in any loaded file; None before a file is loaded.
    """

    unloaded_layers: tuple[str, ...] | None = None

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """Write the weights, in Keras' layout if the path ends with .weights.h5, in the classic layout otherwise.

        Args:
            filepath: the file.
            overwrite: whether to replace an existing file.
            **kwargs: arguments of keras.Model.save_weights, for Keras' layout.

        Raises:
            FileExistsError: the file exists and `overwrite` is False.
        """
        if str(filepath).endswith(KERAS_SUFFIX):
            super().save_weights(filepath, overwrite=overwrite, **kwargs)  # type: ignore[misc]
            return
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{filepath} already exists: give another path, or overwrite=True.")
        save(self, filepath)

    def set_weights(self, weights: Any) -> None:
        """Set all weights from arrays, in the order of `get_weights`."""
        super().set_weights(weights)  # type: ignore[misc]
        self.unloaded_layers = ()

    def load_weights(self, filepath: str | os.PathLike[str], by_name: bool = False, exclude: Sequence[str] | None = None,
                     skip_mismatch: bool = False, classes: ClassNames | None = None) -> LoadReport:
        """Read weights in the classic layout or in Keras'.

        Layers that are neither in the file nor in `exclude` keep their values; one printed line lists them.

        Args:
            filepath: the file.
            by_name: see `load`. `exclude` implies it.
            exclude: see `load`.
            skip_mismatch: see `load`.
            classes: see `load`. It implies `by_name`.
        """
        report = load(self, filepath, by_name=by_name or bool(exclude) or classes is not None, exclude=exclude,
                      skip_mismatch=skip_mismatch, classes=classes)  # fmt: skip
        report.announce(self, filepath)
        return report


# --- Matching ---------------------------------------------------------------------------------------------------------
def slots_of(model: keras.Model) -> list[Slot]:
    """Return the slots of a model in the order of its layers. A layer that is used twice counts once."""
    slots: list[Slot] = []
    seen: set[int] = set()
    for layer in model.layers:
        for leaf, layers in _leaves(layer, (layer.name,)):
            for name, variable in zip(_variable_names(leaf), leaf.weights, strict=True):
                if id(variable) not in seen:
                    seen.add(id(variable))
                    slots.append(Slot(layer.name, f"{leaf.name}/{name}", layers, variable))
    doubled = [key for key, count in Counter((slot.group, slot.name) for slot in slots).items() if count > 1]
    if doubled:
        raise WeightsError(f"two tensors of the model would have the same name, {doubled[0]}: give its layers other names")
    return slots


def _leaves(layer: Any, layers: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield (layer, names that exclude it) for a layer, or for each layer inside a nested model."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _leaves(inner, (*layers, inner.name))
    else:
        yield layer, layers


def _variable_names(layer: Any) -> list[str]:
    """Return a name for each of `layer.weights`, such as "kernel", or its path in a layer that contains other layers."""
    names = [variable.name for variable in layer.weights]
    if len(set(names)) == len(names):
        return names
    return [variable.path.split(f"{layer.name}/", 1)[-1] for variable in layer.weights]


def layer_of(name: str) -> str:
    """Return the layer of a tensor named "layer/tensor"."""
    return name.partition("/")[0]


def _layers_of(names: Iterable[str]) -> list[str]:
    """Return the layers of tensors named "layer/tensor", without duplicates."""
    return list(dict.fromkeys(map(layer_of, names)))


def _by_group(items: list[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    return groups


def _match_names(slots: list[Slot], tensors: list[Tensor]) -> tuple[dict[int, Tensor], list[Tensor]]:
    """Match tensors to slots by name.

    Older files prefix the names of tensors differently ("conv1_1/kernel:0", "rpn_model/rpn_class_raw/bias:0") or use other
    names ("conv1_W:0"). Therefore a tensor is looked up by successively shorter suffixes of its name, first in its own group
    and then in all. A group without a match that has as many tensors as the layer of that name is matched in order, as in
    Keras 2.

    Returns:
        The tensors by index in `slots`, and the tensors that match nothing.
    """
    in_group: dict[tuple[str, str], int] = {}
    anywhere: dict[str, list[int]] = {}
    groups: dict[str, list[int]] = {}
    for index, slot in enumerate(slots):
        in_group[slot.group, slot.name] = index
        anywhere.setdefault(slot.name, []).append(index)
        groups.setdefault(slot.group, []).append(index)
    pairs: dict[int, Tensor] = {}
    unused = []
    for name, members in _by_group(tensors).items():
        matches = [_find(tensor, in_group, anywhere) for tensor in members]
        places = groups.get(name, [])
        if all(index is None for index in matches) and len(places) == len(members):
            matches = list(places)
        for tensor, match in zip(members, matches, strict=True):
            if match is None or match in pairs:
                unused.append(tensor)
            else:
                pairs[match] = tensor
    return pairs, unused


def _match_numbers(slots: list[Slot], tensors: list[Tensor]) -> tuple[dict[int, Tensor], list[Tensor]]:
    """Match the tensors of Keras' layout, which numbers those of each layer; the result is that of `_match_names`."""
    ours: dict[str, list[int]] = {}
    for index, slot in enumerate(slots):
        ours.setdefault("/".join([*slot.layers, *slot.name.split("/")[1:-1]]), []).append(index)
    theirs: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        theirs.setdefault(tensor.name.rpartition("/")[0], []).append(tensor)
    pairs: dict[int, Tensor] = {}
    unused = []
    for layer, members in theirs.items():
        places = ours.get(layer, [])
        if len(places) == len(members):
            pairs.update(zip(places, sorted(members, key=lambda tensor: int(tensor.parts[-1])), strict=True))
        else:
            unused += members
    return pairs, unused


def _find(tensor: Tensor, in_group: dict[tuple[str, str], int], anywhere: dict[str, list[int]]) -> int | None:
    """Return the index of the slot that a tensor's name refers to, or None."""
    endings = ["/".join(tensor.parts[start:]) for start in range(len(tensor.parts))]
    for ending in (*endings, f"{tensor.group}/{endings[-1]}"):
        if (tensor.group, ending) in in_group:
            return in_group[tensor.group, ending]
    for ending in endings:
        if len(anywhere.get(ending, ())) == 1:
            return anywhere[ending][0]
    return None


def _match_order(slots: list[Slot], tensors: list[Tensor], path: FilePath) -> dict[int, Tensor]:
    """Match layers in order; raise WeightsError if the architectures differ."""
    theirs = _by_group(tensors)
    ours: dict[str, list[int]] = {}
    for index, slot in enumerate(slots):
        ours.setdefault(slot.group, []).append(index)
    if len(theirs) != len(ours):
        raise WeightsError(f"{path}: {len(theirs)} layers with weights in the file, {len(ours)} in the model; "
                           "load what both have with by_name=True")  # fmt: skip
    pairs: dict[int, Tensor] = {}
    for (their_name, members), (our_name, places) in zip(theirs.items(), ours.items(), strict=True):
        if len(members) != len(places):
            raise WeightsError(f"{path}: {their_name} has {len(members)} tensors, but {our_name}, the layer at its position "
                               f"in the model, has {len(places)}; load what both have with by_name=True")  # fmt: skip
        pairs.update(zip(places, members, strict=True))
    return pairs
