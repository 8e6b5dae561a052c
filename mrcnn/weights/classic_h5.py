"""The classic weight file: HDF5 with one group a layer, so that files go to and from projects of the TensorFlow 1 time.

Layout: the root (or the group "model_weights" of a whole saved model) has the attribute `layer_names`; each named group
has the attribute `weight_names`, and a data set for each of those, such as "conv1/kernel:0". A model nested in the
model ("rpn_model") is one group that holds the tensors of all its layers.

Only `layer.weights` are kept: the state of random generators, optimizers and metrics is no part of such a file.
"""
import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import keras
import numpy as np

from mrcnn.base.atomic_write import atomic_path
from mrcnn.base.text import shorten_names

log = logging.getLogger(__name__)

# HDF5 keeps attributes of an object in a header of 64 kB; Keras splits longer lists into name0, name1, ...
ATTRIBUTE_BYTES = 64_000

# Suffix of files in Keras' own layout.
KERAS_SUFFIX = ".weights.h5"


class WeightsError(ValueError):
    """A weight file that cannot be read, or that does not fit the model."""


@dataclass
class LoadReport:
    """What became of each tensor when a file was loaded. Names are "layer/tensor", such as "conv1/kernel".

    Attributes:
        matched: list of str. Tensors of the model that were set.
        missing: list of str. Tensors of the model that the file lacks; they keep their values.
        mismatched: list of (name, shape in the file, shape in the model). Never set; never raised for excluded layers.
        unused: list of str. Tensors of the file, as named there, that have no place in the model.
        excluded: list of str. Tensors of the model left alone because their layer was excluded.
    """

    matched: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    mismatched: list = field(default_factory=list)
    unused: list = field(default_factory=list)
    excluded: list = field(default_factory=list)

    @property
    def missing_layers(self):
        """Names of the layers that lack one tensor or more, each once, in the order of the model: list of str."""
        return list(dict.fromkeys(name.partition("/")[0] for name in self.missing))

    def without_weights(self, before=None):
        """Return the layers that no file gave weights, this one or an earlier one: list of str.

        Args:
            before: what this method returned for the file that was loaded before; None: no file was.
        """
        kept = dict.fromkeys(name.partition("/")[0] for name in [*self.missing, *self.excluded])
        return [layer for layer in kept if before is None or layer in before]

    def summary(self):
        """Return one line of counts, with the first few names of what is missing or unused."""
        words = [f"{len(self.matched)} tensors loaded"]
        for name in ("missing", "mismatched", "unused", "excluded"):
            found = getattr(self, name)
            if found:
                few = ", ".join(f[0] if isinstance(f, tuple) else f for f in found[:3])
                words.append(f"{len(found)} {name} ({few}{', ...' if len(found) > 3 else ''})")
        return "; ".join(words)


@dataclass(frozen=True)
class _Slot:
    """A variable of the model and its place in a file: group, name without ":0", the names that exclude it."""

    group: str
    name: str
    layers: tuple
    variable: object


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a file: its group and name as written there, and the open data set."""

    group: str
    name: str
    data: object

    @property
    def parts(self):
        """The components of the name without the output number: "a/b/kernel:0" gives ["a", "b", "kernel"]."""
        return re.sub(r":\d+$", "", self.name).split("/")


def save(model, path):
    """Write the weights of `model` in the classic layout. The write is atomic.

    Args:
        model: keras.Model. Its layers are groups; the layers of a nested model share the group of that model.
        path: str or Path. Replaced if it exists; its folder is made if it is missing.
    """
    groups = {}
    for slot in _slots(model):
        groups.setdefault(slot.group, []).append(slot)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        _write_names(file, "layer_names", list(groups))
        # What a reader of 2017 looks for to know how kernels are laid out; ours are laid out so on every backend.
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = keras.__version__.encode()
        for name, slots in groups.items():
            group = file.create_group(name)
            _write_names(group, "weight_names", [f"{slot.name}:0" for slot in slots])
            for slot in slots:
                group.create_dataset(f"{slot.name}:0", data=_to_numpy(slot.variable))


def load(model, path, by_name=True, exclude=None):
    """Set the weights of `model` from a classic file, or change nothing and say why not.

    Args:
        model: keras.Model, built.
        path: str or Path. A file of `save`, of Keras 2's `save_weights`, or of its `model.save`.
        by_name: bool. True: what the file and the model have in common is loaded. False: the file must hold the
            whole model; layers are matched by name, or where the names differ by their order.
        exclude: sequence of str, optional. Layers to leave alone, by name; a nested model is one name, and so is
            each of its layers.

    Returns:
        LoadReport.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is not of this layout, nothing in it matches, a tensor that is not excluded has another
            shape, or (`by_name=False`) the file is not of this model. No weight has changed then.

    Differs: the classic code stopped at the first layer of another shape with the weights before it already set, and
        was silent when no name matched.
    """
    excluded = set(exclude or ())
    with _open(path) as file:
        tensors = _tensors(file, path)
        slots = _slots(model)
        pairs, unused = _match_names(slots, tensors)
        report = LoadReport(unused=[tensor.name for tensor in unused])
        if not by_name and (unused or len(pairs) < len(slots)):
            pairs, report.unused = _match_order(slots, tensors, path), []
        chosen = _choose(slots, pairs, excluded, report)
        _check(report, slots, tensors, path)
        for slot, tensor in chosen:
            slot.variable.assign(tensor.data[()])
    log.info("%s: %s", path, report.summary())
    return report


def layout(path):
    """Return [(group, tensor name, shape)] of a classic file, in its order; shape is a tuple of int."""
    with _open(path) as file:
        return [(tensor.group, tensor.name, tuple(tensor.data.shape)) for tensor in _tensors(file, path)]


def _choose(slots, pairs, excluded, report):
    """Fill the report; return the (slot, tensor) pairs to assign. `pairs`: dict of index of slot to tensor."""
    chosen = []
    for index, slot in enumerate(slots):
        tensor = pairs.get(index)
        if excluded.intersection(slot.layers):
            report.excluded.append(slot.name)
        elif tensor is None:
            report.missing.append(slot.name)
        elif tuple(tensor.data.shape) != tuple(slot.variable.shape):
            report.mismatched.append((slot.name, tuple(tensor.data.shape), tuple(slot.variable.shape)))
        else:
            report.matched.append(slot.name)
            chosen.append((slot, tensor))
    return chosen


def _check(report, slots, tensors, path):
    """Raise WeightsError when shapes differ or when nothing matches."""
    if report.mismatched:
        owners = {slot.name: slot.layers[-1] for slot in slots}
        layers = list(dict.fromkeys(owners[name] for name, _, _ in report.mismatched))
        lines = [f"  {name}: {theirs} in the file, {ours} in the model" for name, theirs, ours in report.mismatched[:8]]
        more = [f"  and {len(report.mismatched) - 8} more"] if len(report.mismatched) > 8 else []
        raise WeightsError("\n".join([
            f"{path}: {len(report.mismatched)} tensors have another shape than the model's", *lines, *more,
            _advice(report, layers)]))  # fmt: skip
    if not report.matched and not report.excluded:
        theirs, ours = (shorten_names(dict.fromkeys(item.group for item in items)) for items in (tensors, slots))
        raise WeightsError(f"{path}: no tensor matches a layer of the model. The file has {theirs}; the model has {ours}")


def _advice(report, layers):
    """Say what to do about layers of other shapes: str."""
    if len(report.mismatched) > len(report.matched):
        return "most of them: these weights are of another network; take the configuration that they were trained with"
    return f"to start these layers afresh, load with exclude={layers} (--exclude)"


def _shorten(text, limit=120):
    return text if len(text) <= limit else f"{text[:limit].rsplit(',', 1)[0]}, ..."


def _slots(model):
    """Return the _Slots of a model in the order of its layers; a layer used twice counts once."""
    slots, seen = [], set()
    for layer in model.layers:
        leaves = list(_leaves(layer, (layer.name,)))
        for leaf, layers in leaves:
            for name, variable in zip(_variable_names(leaf), leaf.weights, strict=True):
                if id(variable) not in seen:
                    seen.add(id(variable))
                    slots.append(_Slot(layer.name, f"{leaf.name}/{name}", layers, variable))
    doubled = [key for key, count in Counter((slot.group, slot.name) for slot in slots).items() if count > 1]
    if doubled:
        raise WeightsError(f"two tensors of the model would have one name, {doubled[0]}; name its layers apart")
    return slots


def _leaves(layer, layers):
    """Yield (layer, names that exclude it) for a layer, or for each layer inside a nested model."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _leaves(inner, (*layers, inner.name))
    else:
        yield layer, layers


def _variable_names(layer):
    """Return a name for each of `layer.weights`: its own ("kernel"), or its path in a layer made of several layers."""
    names = [variable.name for variable in layer.weights]
    if len(set(names)) == len(names):
        return names
    return [variable.path.split(f"{layer.name}/", 1)[-1] for variable in layer.weights]


def _match_names(slots, tensors):
    """Match tensors to slots by name.

    Older files know a tensor by other prefixes ("conv1_1/kernel:0", "rpn_model/rpn_class_raw/bias:0") or by other
    names ("conv1_W:0"). So a tensor is sought by ever shorter ends of its name, in its own group and then in any;
    a group of which no tensor is found, but that has as many as the layer of that name, is taken in its order, as
    Keras 2 did.

    Returns:
        dict of index into `slots` to tensor, and a list of the tensors that found no place.
    """
    in_group, anywhere, groups = {}, {}, {}
    for index, slot in enumerate(slots):
        in_group[slot.group, slot.name] = index
        anywhere.setdefault(slot.name, []).append(index)
        groups.setdefault(slot.group, []).append(index)
    pairs, unused = {}, []
    for name, members in _by_group(tensors).items():
        found = [(tensor, _find(tensor, in_group, anywhere)) for tensor in members]
        places = groups.get(name, [])
        if all(index is None for _, index in found) and len(places) == len(members):
            found = list(zip(members, places, strict=True))
        for tensor, index in found:
            if index is None or index in pairs:
                unused.append(tensor)
            else:
                pairs[index] = tensor
    return pairs, unused


def _find(tensor, in_group, anywhere):
    """Return the index of the slot that a tensor's name speaks of, or None."""
    ends = ["/".join(tensor.parts[start:]) for start in range(len(tensor.parts))]
    for end in (*ends, f"{tensor.group}/{ends[-1]}"):
        if (tensor.group, end) in in_group:
            return in_group[tensor.group, end]
    for end in ends:
        if len(anywhere.get(end, ())) == 1:
            return anywhere[end][0]
    return None


def _match_order(slots, tensors, path):
    """Match layer by layer in the order of both; raise WeightsError when the two are not one architecture."""
    theirs, ours = _by_group(tensors), {}
    for index, slot in enumerate(slots):
        ours.setdefault(slot.group, []).append(index)
    if len(theirs) != len(ours):
        raise WeightsError(f"{path}: {len(theirs)} layers with weights in the file, {len(ours)} in the model; "
                           "load what both have with by_name=True")  # fmt: skip
    pairs = {}
    for (their_name, members), (our_name, places) in zip(theirs.items(), ours.items(), strict=True):
        if len(members) != len(places):
            raise WeightsError(f"{path}: {their_name} has {len(members)} tensors; {our_name}, its place in the model, "
                               f"has {len(places)}; load what both have with by_name=True")  # fmt: skip
        pairs.update(zip(places, members, strict=True))
    return pairs


def _by_group(tensors):
    groups = {}
    for tensor in tensors:
        groups.setdefault(tensor.group, []).append(tensor)
    return groups


def _open(path):
    """Open a file for reading; say what is wrong in words when it cannot be."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no weight file {path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise WeightsError(f"{path}: not a whole HDF5 file ({error}); a download is to be repeated") from error


def _tensors(file, path):
    """Return the _Tensors of an open file in its order."""
    root = file["model_weights"] if "model_weights" in file else file
    names = _read_names(root, "layer_names")
    if names is None:
        what = "it is a Keras 3 .weights.h5 file: load it by keras_model.load_weights" if "layers" in file else \
            f"it holds {_shorten(', '.join(file) or 'nothing')}"  # fmt: skip
        raise WeightsError(f"{path}: has no layer_names, so it is no classic weight file; {what}")
    found = []
    for group in names:
        found += [_Tensor(group, name, root[group][name]) for name in _read_names(root[group], "weight_names") or ()]
    return found


def _read_names(group, key):
    """Return a list attribute of Keras as list of str, put together where it was split; None when there is none."""
    keys = [key] if key in group.attrs else []
    while f"{key}{len(keys)}" in group.attrs:
        keys.append(f"{key}{len(keys)}")
    if not keys:
        return None
    names = [name for part in keys for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _write_names(group, key, names):
    """Write a list attribute as Keras does: in one piece where it fits the header, else in numbered pieces."""
    encoded = np.array([name.encode() for name in names], dtype="S")
    pieces = int(np.ceil(encoded.nbytes / ATTRIBUTE_BYTES))
    if pieces <= 1:
        group.attrs[key] = encoded
        return
    for number, piece in enumerate(np.array_split(encoded, pieces + 1)):
        group.attrs[f"{key}{number}"] = piece


def _to_numpy(variable):
    """Return the value of a variable in a type that HDF5 knows: bfloat16 is written as float32."""
    value = np.asarray(keras.ops.convert_to_numpy(variable.value))
    return value if value.dtype.kind in "fiub" and value.dtype.itemsize > 1 else value.astype(np.float32)
