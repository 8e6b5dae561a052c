"""The two kinds of files of COCO+LVIS: the hierarchy of a subset, and the masks of an image.

`hannotation.pickle`: dict image id -> {"num_instance_masks": n, "hierarchy": {id: None | {"children": [ids], "parent": id or
None, "node_level": depth}}}. An id whose value is None, or that is missing, is an object without parts or parent. Ids are
whole numbers, or text of digits.

`masks/<image id>.pickle`: (layers, objs_mapping). A layer is an array of the bytes of a PNG, uint8 [H, W], whose pixels are 0
outside all objects, else the number of a mask. Object i is drawn at objs_mapping[i] = (layer, number). Objects from
num_instance_masks on are stuff.

Shape letters: H W image, n bytes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mrcnn.base.errors import DataError
from mrcnn.base.memory import paused_collector
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.io import images
from mrcnn.io.pickles import describe, read_pickle

HANNOTATION = "hannotation.pickle"
# maximum number of objects in an image; photographs have a few dozen, and looping over a wrong, huge number would be slow
MAX_OBJECTS = 100_000
_MAX_MASKS_BYTES = 64 * 2**20
_MAX_ID_DIGITS = 18
_MAX_ID = 10**_MAX_ID_DIGITS
# a PNG begins with its signature, then a header: size 13, "IHDR", width, height, bit depth, colour type
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">I4sIIBB")
_GREY, _DEPTH = 0, 8


class Fault(ValueError):
    """An entry of a hierarchy file cannot be used; the message names the field and its value."""


@dataclass
class Entry:
    """The entry of an image in a hierarchy file.

    Attributes:
        name: the image id as written in the file and in file names, such as "000000000036".
        num_instances: number of objects other than stuff, which come first.
        hierarchy: id -> None | {"children": list of int, "parent": int or None, "node_level": int}.
        is_repaired: whether children and parents disagreed; the parents are used.
    """

    image_id: int
    name: str
    num_instances: int
    hierarchy: dict[int, Any]
    is_repaired: bool = False


def read_hierarchy(path: Path | str, progress: Stages | None = None) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Read the hierarchy file of a subset.

    Args:
        path: `hannotation.pickle`.
        progress: reports the stage "reading" the file, and "checking hierarchies".

    Returns:
        entries: by ascending image id.
        skipped: (where, reason) of images that cannot be used.

    Raises:
        DataError: the file is missing, damaged, contains anything but plain values, or is not a dict of images.
    """
    progress = progress or unseen
    with paused_collector():
        with progress(f"reading {Path(path).name}"):
            content = read_pickle(path)
        if not isinstance(content, dict):
            raise DataError(f"{path} holds {describe(content)}, expected a dict of image ids")
        entries: dict[int, Entry] = {}
        skipped = []
        with progress("checking hierarchies") as show:
            for key, value in tracked(content.items(), show, every=1000):
                try:
                    entry = _entry(key, value)
                except Fault as fault:
                    skipped.append((f"image {describe(key)}", str(fault)))
                    continue
                if entry.image_id in entries:
                    skipped.append((f"image {describe(key)}", "another image has this id"))
                else:
                    entries[entry.image_id] = entry
        return [entries[image_id] for image_id in sorted(entries)], skipped


def whole_number(value: Any) -> int | None:
    """Convert an id to an int: an int of at least 0, or text of its digits; None for anything else."""
    if value.__class__ is int:
        return value if 0 <= value < _MAX_ID else None
    if isinstance(value, np.integer):
        return int(value) if value >= 0 else None
    is_digits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MAX_ID_DIGITS
    return int(value) if is_digits else None


def _entry(key: Any, value: Any) -> Entry:
    image_id = whole_number(key)
    if image_id is None:
        raise Fault("its id is neither a whole number of at least 0 nor the text of one")
    if not isinstance(value, dict):
        raise Fault(f"it is {describe(value)}, expected a dict with num_instance_masks and hierarchy")
    count, nodes = whole_number(value.get("num_instance_masks")), value.get("hierarchy")
    if count is None or count > MAX_OBJECTS:
        raise Fault(f"num_instance_masks is {describe(value.get('num_instance_masks'))}, expected 0 to {MAX_OBJECTS}")
    if not isinstance(nodes, dict):
        raise Fault(f"hierarchy is {describe(nodes)}, expected a dict of instance ids")
    hierarchy: dict[int, Any] = {}
    for name, node in nodes.items():
        number = name if name.__class__ is int and 0 <= name < count else _instance_id(name, count, None)
        if number in hierarchy:
            raise Fault(f"hierarchy has the id {number} twice")
        hierarchy[number] = None if node is None else _node(node, number, count)
    return Entry(image_id, str(key), count, hierarchy, _connect(hierarchy))


def _node(node: Any, number: int, count: int) -> dict[str, Any]:
    """Check a node, and convert its ids to int."""
    if not isinstance(node, dict):
        raise Fault(f"hierarchy[{number}] is {describe(node)}, expected None or a dict with children, parent and node_level")
    for name in ("children", "parent", "node_level"):
        if name not in node:
            raise Fault(f"hierarchy[{number}] has no {name!r}")
    children, parent, level = node["children"], node["parent"], whole_number(node["node_level"])
    if not isinstance(children, list | tuple):
        raise Fault(f"hierarchy[{number}]: children is {describe(children)}, expected a list of instance ids")
    if level is None:
        raise Fault(f"hierarchy[{number}]: node_level is {describe(node['node_level'])}, expected a number from 0 on")
    return {
        "children": [_instance_id(child, count, number, "children") for child in children],
        "parent": None if parent is None else _instance_id(parent, count, number, "parent"),
        "node_level": level,
    }


def _instance_id(value: Any, count: int, number: int | None, name: str = "hierarchy") -> int:
    """Check the id of an instance.

    Args:
        value: the id.
        count: number of instances; ids must be below it.
        number: node that holds the id, for messages.
        name: field that holds the id, for messages.
    """
    instance_id = whole_number(value)
    if instance_id is None or instance_id >= count:
        where = name if number is None else f"hierarchy[{number}]: {name}"
        raise Fault(f"{where} has {describe(value)}, expected an instance id below num_instance_masks, {count}")
    return instance_id


def _connect(hierarchy: dict[int, Any]) -> bool:
    """Set each node's children to the nodes that name it as their parent. Return whether that changed any."""
    nodes = {number: node for number, node in hierarchy.items() if node is not None}
    parents = {number: node["parent"] for number, node in nodes.items() if node["parent"] is not None}
    _refuse_loops(parents)
    children: dict[int, list[int]] = {}
    is_repaired = False
    for number, parent in parents.items():
        children.setdefault(parent, []).append(number)
    for number, named in children.items():
        if number not in nodes:
            hierarchy[number] = {"children": named, "parent": None, "node_level": 0}
            is_repaired = True
    for number, node in nodes.items():
        named = children.get(number, [])
        if node["children"] != named and sorted(node["children"]) != sorted(named):
            node["children"] = named
            is_repaired = True
    return is_repaired


def _refuse_loops(parents: Mapping[int, int]) -> None:
    safe: set[int] = set()
    for number in parents:
        way = []
        while number in parents and number not in safe:
            safe.add(number)
            way.append(number)
            number = parents[number]
        if number in way:
            raise Fault(f"hierarchy has a loop: {number} lies in itself by its parents")


@dataclass
class Masks:
    """The masks of an image in their stored form.

    Attributes:
        path: the file.
        layers: bytes of the PNGs.
        mapping: (layer, number) of each object.
    """

    path: Path | str
    layers: list[UInt8[np.ndarray, " _"]]
    mapping: list[tuple[int, int]]

    def layer(self, index: int, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W"]:
        """Decode a layer.

        Args:
            index: index in `layers`.
            size: (height, width) of the image; None accepts any.

        Raises:
            DataError: the layer is not a PNG of uint8 [H, W], is damaged or too large, or has another size.
        """
        where, data = f"{self.path}: layer {index}", self.layers[index]
        head = data[: len(_PNG) + _HEADER.size].tobytes()
        if len(head) < len(_PNG) + _HEADER.size or not head.startswith(_PNG):
            raise DataError(f"{where} is not a PNG")
        _, kind, width, height, depth, color = _HEADER.unpack_from(head, len(_PNG))
        if kind != b"IHDR" or (depth, color) != (_DEPTH, _GREY):
            raise DataError(f"{where} is a PNG of {depth} bits and colour type {color}, expected 8 bits of grey")
        if height * width > images.MAX_PIXELS:
            raise DataError(f"{where} declares {height} x {width} pixels (height x width), more than {images.MAX_PIXELS}")
        if size is not None and (height, width) != tuple(size):
            raise DataError(f"{where} is of size {(height, width)}, but its image is of size {tuple(size)} (height, width)")
        decoded = images.decode_png(data.tobytes(), where)
        if decoded is None or decoded.dtype != np.uint8 or decoded.shape != (height, width):
            raise DataError(f"{where} is damaged and cannot be decoded")
        return decoded


def read_masks(path: Path | str) -> Masks:
    """Read the masks of an image, without decoding them.

    Args:
        path: `masks/<image id>.pickle`.

    Raises:
        DataError: the file is missing, damaged, contains anything but plain values and arrays, or is not (layers,
            objs_mapping).
    """
    content = read_pickle(path, _MAX_MASKS_BYTES)
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise DataError(f"{path} holds {describe(content)}, expected (layers, objs_mapping)")
    layers, mapping = (_as_list(part) for part in content)
    for name, value in (("layers", layers), ("objs_mapping", mapping)):
        if not isinstance(value, list):
            raise DataError(f"{path}: {name} is {describe(value)}, expected a list")
    return Masks(path, [_png(layer, f"{path}: layers[{i}]") for i, layer in enumerate(layers)],
                 [_place(place, len(layers), f"{path}: objs_mapping[{i}]") for i, place in enumerate(mapping)])  # fmt: skip


def _as_list(part: Any) -> Any:
    return list(part) if isinstance(part, tuple) or isinstance(part, np.ndarray) and part.ndim else part


def _png(layer: Any, where: str) -> UInt8[np.ndarray, " n"]:
    if isinstance(layer, bytes):
        return np.frombuffer(layer, np.uint8)
    # earlier versions of OpenCV returned encoded images as a column
    if not isinstance(layer, np.ndarray) or layer.dtype != np.uint8 or not layer.ndim or layer.size != len(layer):
        raise DataError(f"{where} is {describe(layer)}, expected the bytes of a PNG in a uint8 array")
    return layer.reshape(-1)


def _place(place: Any, layers: int, where: str) -> tuple[int, int]:
    values = [whole_number(v) for v in _as_list(place)] if isinstance(_as_list(place), list) else []
    if len(values) != 2 or values[0] is None or values[1] is None:
        raise DataError(f"{where} is {describe(place)}, expected (layer, number)")
    layer, number = values[0], values[1]
    if layer >= layers or not 1 <= number <= 255:
        raise DataError(f"{where} is {(layer, number)}, expected a layer below {layers} and a number from 1 to 255")
    return layer, number
