"""The tensors of a weight file: where they are in the classic layout and in Keras' own, and how they are read and written.

Classic layout: the root (or the group "model_weights" of a whole saved model) has the attribute `layer_names`. Each named group
has the attribute `weight_names`, and an HDF5 dataset for each of those names, such as "conv1/kernel:0". A nested model
("rpn_model") is one group with the tensors of all its layers.

Keras' layout (.weights.h5): in "layers", a group for each layer, whose path depends on the layer's position in the model. It
has a group "vars" with the layer's name as an attribute, which holds the layer's tensors under the names 0, 1, ... Next to
"layers", the file may hold the state of an optimizer and of metrics.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mrcnn.base.text import shorten_names
from mrcnn.io.hdf5 import Hdf5Error, open_hdf5

# HDF5 stores the attributes of an object in a header of 64 kB; Keras splits longer lists into name0, name1, ...
ATTRIBUTE_BYTES = 64_000
# Groups of Keras' layout: the one that holds the layers, and the one that holds the tensors of a layer.
KERAS_LAYERS, KERAS_TENSORS = "layers", "vars"

FilePath = str | os.PathLike[str]


class WeightsError(Hdf5Error):
    """A weight file that cannot be read, or that does not fit the model."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of an open file.

    Attributes:
        group: the layer, or the outermost of the nested models that contain it.
        name: its name in the file: in the classic layout such as "conv1/kernel:0"; in Keras' layout the names of the layers
            that contain it, from the outermost, and its number: "rpn_model/rpn_conv_shared/0".
        data: the HDF5 dataset.
    """

    group: str
    name: str
    data: h5py.Dataset

    @property
    def parts(self) -> list[str]:
        """The components of the name without the output number: "a/b/kernel:0" gives ["a", "b", "kernel"]."""
        return re.sub(r":\d+$", "", self.name).split("/")

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, as the file declares it."""
        return tuple(self.data.shape)

    def read(self) -> np.ndarray:
        """Return the values.

        Raises:
            WeightsError: they are not numbers.
        """
        if self.data.attrs.get("dtype") == "bfloat16":  # Keras writes the two bytes, the upper half of a float32
            return (self.data[()].view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        if self.data.dtype.kind not in "fiub":
            raise WeightsError(f"{self.data.file.filename}: {self.name} holds values of type {self.data.dtype}, expected "
                               "numbers")
        return self.data[()]


@contextlib.contextmanager
def open_weights(path: FilePath) -> Iterator[h5py.File]:
    """Open a weight file for reading; see `io.hdf5.open_hdf5`.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is damaged, or refers to other files.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no weight file {path}")
    try:
        with open_hdf5(Path(path)) as file:
            yield file
    except WeightsError:
        raise
    except Hdf5Error as error:
        raise WeightsError(str(error)) from error


def read_tensors(file: h5py.File, path: FilePath) -> tuple[list[Tensor], bool]:
    """Find the tensors of an open weight file.

    Returns:
        The tensors, in the order of the file; and whether the file has Keras' layout.

    Raises:
        WeightsError: it has neither layout.
    """
    root = file["model_weights"] if "model_weights" in file else file
    names = read_names(root, "layer_names")
    if names is not None:
        places = [(group, name) for group in dict.fromkeys(names)
                  for name in dict.fromkeys(read_names(root[group], "weight_names") or ())]
        return [Tensor(group, name, _dataset(root[group][name], f"{group}/{name}")) for group, name in places], False
    tensors = list(_keras_tensors(file))
    if not tensors:
        raise WeightsError(f"{path}: not a weight file: it has neither layer_names, as classic weight files do, nor the names "
                           f"of layers, as Keras' .weights.h5 files do; it holds {shorten_names(file, 'group')}")
    return tensors, True


def _dataset(item: Any, path: str) -> h5py.Dataset:
    if not isinstance(item, h5py.Dataset):
        raise TypeError(f"{path} is a {type(item).__name__}, expected a dataset")
    return item


def _keras_tensors(file: h5py.File) -> Iterator[Tensor]:
    """Yield the tensors of a file in Keras' layout whose layers have names."""
    owners: dict[str, str] = {}  # the name of the layer at each path
    stored: dict[str, h5py.Dataset] = {}

    def visit(path: str, item: Any) -> None:
        place, _, last = path.rpartition("/")
        if last == KERAS_TENSORS and isinstance(item.attrs.get("name"), str):
            owners[place] = item.attrs["name"]
        elif isinstance(item, h5py.Dataset):
            stored[path] = item

    if KERAS_LAYERS in file:
        file[KERAS_LAYERS].visititems(visit)  # it visits each object once, even if groups contain each other
    for path, dataset in stored.items():
        place, _, number = path.rpartition(f"/{KERAS_TENSORS}/")
        steps = place.split("/")
        outer = ["/".join(steps[:count]) for count in range(1, len(steps) + 1)]
        layers = [owners[path] for path in outer if path in owners]
        if place in owners and number.isdecimal():
            yield Tensor(layers[0], "/".join([*layers, number]), dataset)


def read_names(group: h5py.Group, key: str) -> list[str] | None:
    """Return a list attribute written by Keras, joined if it was split; None if there is none."""
    keys = [key] if key in group.attrs else []
    while f"{key}{len(keys)}" in group.attrs:
        keys.append(f"{key}{len(keys)}")
    if not keys:
        return None
    names = [name for part in keys for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def write_names(group: h5py.Group, key: str, names: list[str]) -> None:
    """Write a list attribute as Keras does: whole if it fits in the header, otherwise in numbered parts."""
    encoded = np.array([name.encode() for name in names], dtype="S")
    pieces = int(np.ceil(encoded.nbytes / ATTRIBUTE_BYTES))
    if pieces <= 1:
        group.attrs[key] = encoded
        return
    for number, piece in enumerate(np.array_split(encoded, pieces + 1)):
        group.attrs[f"{key}{number}"] = piece


def to_hdf5(variable: Any) -> np.ndarray:
    """Return the value of a variable in a dtype that HDF5 supports: bfloat16 is converted to float32."""
    import keras  # here, because the names of weights are read without a framework

    value = np.asarray(keras.ops.convert_to_numpy(variable.value))
    return value if value.dtype.kind in "fiub" and value.dtype.itemsize > 1 else value.astype(np.float32)
