"""Reading HDF5 files of strangers: every object of a file is checked before any value is read.

An HDF5 file can make its reader open other files of the machine (external links, external storage, virtual data sets), and a
damaged one can declare sizes far beyond its own, or fail in h5py with errors of many kinds.

Files of ours carry a digest, by which a flipped bit is noticed: the attribute "digest" of the root holds the SHA-256 of the
values of the file and of the other attributes of its root. Other readers ignore it.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

# Errors that h5py raises on damaged files.
DAMAGE = (OSError, KeyError, IndexError, AttributeError, TypeError, ValueError, RuntimeError, OverflowError, MemoryError)
# A weight file of ResNet-101 has about a thousand objects; Keras' layout has three times as many.
MAX_OBJECTS = 100_000
# Filters that are part of HDF5 or h5py. Others are plugins, for which HDF5 would load a library.
FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SZIP,
           h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_LZF)  # fmt: skip
DIGEST = "digest"  # name of the attribute
# Messages of an object header of version 1: the next block of the header, and an attribute.
_CONTINUATION, _ATTRIBUTE = 0x10, 0x0C
_MAX_BLOCKS = 1000


class Hdf5Error(ValueError):
    """An HDF5 file that is damaged, or that refers to other files."""


@contextlib.contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, and check all of its objects.

    Use the block for reading alone: errors that h5py raises in it are reported as damage of the file.

    Args:
        path: the file.

    Yields:
        The file. It has no link and no data set that leads to another file, and its attributes fit into memory. The shape and
        dtype of a data set are those that the file declares: compare them with what you expect before you read it.

    Raises:
        Hdf5Error: the file is not HDF5, is damaged, or refers to other files.
    """
    try:
        with h5py.File(path, "r") as file:
            try:
                with open(path, "rb") as raw:
                    _check_objects(file.id, _Raw(raw, os.path.getsize(path)))
            except Hdf5Error as error:
                raise Hdf5Error(f"{path}: {error}") from None
            yield file
    except (Hdf5Error, FileNotFoundError, PermissionError):
        raise
    except DAMAGE as error:
        raise Hdf5Error(f"{path}: not a complete HDF5 file ({type(error).__name__}: {error}). If it was downloaded or copied, "
                        "do that again") from error


@dataclass
class _Raw:
    """The bytes of a file.

    Attributes:
        file: open for reading.
        size: in bytes.
        heaps: the addresses of those that were checked and are whole.
    """

    file: BinaryIO
    size: int
    heaps: set[int] = field(default_factory=set)

    def read(self, address: int, length: int) -> bytes:
        """Read bytes, fewer than asked for if the file ends."""
        self.file.seek(min(address, self.size))
        return self.file.read(min(length, self.size))


def _check_objects(root: h5py.h5g.GroupID, raw: _Raw) -> None:
    """Check every link, attribute and data set of a file, from its root down.

    h5py's low-level interface is several times as fast here, and does not interpret what it opens.
    """
    pending, seen = [(b"", root)], set()
    while pending:
        path, item = pending.pop()
        address = h5py.h5o.get_info(item).addr
        if address in seen:  # a second link to the same object; groups may even contain each other
            continue
        seen.add(address)
        if len(seen) > MAX_OBJECTS:
            raise Hdf5Error(f"it has more than {MAX_OBJECTS} objects, far beyond a file of weights")
        _check_attributes(_text(path), item, raw, address)
        if isinstance(item, h5py.h5d.DatasetID):
            _check_storage(_text(path), item)
        elif isinstance(item, h5py.h5g.GroupID):
            for name in item:
                child = path + b"/" + name
                if _is_hard_link(item, name, _text(child)):
                    pending.append((child, h5py.h5o.open(item, name)))


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace") or "/"


def _is_hard_link(group: h5py.h5g.GroupID, name: bytes, path: str) -> bool:
    """Return whether a link is a hard link. A soft link is a path in the same file, whose objects have hard links too.

    Raises:
        Hdf5Error: it is a link of any other kind.
    """
    kind = group.links.get_info(name).type
    if kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
        raise Hdf5Error(f"{path} is a link to another file, and such links are not followed. Use a file that holds its own "
                        "data")
    return kind == h5py.h5l.TYPE_HARD


def _check_attributes(path: str, item: h5py.h5g.GroupID | h5py.h5d.DatasetID | h5py.h5t.TypeID, raw: _Raw, address: int,
                      ) -> None:  # fmt: skip
    """Refuse attributes with damaged heaps or types, or with more bytes than the file has (they are never compressed)."""
    stored: dict[bytes, bytes] | None = None
    for number in range(h5py.h5a.get_num_attrs(item)):
        attribute = h5py.h5a.open(item, index=number)
        kind = attribute.get_type()
        _check_type(f"an attribute of {path}", kind)
        size = attribute.get_space().get_simple_extent_npoints() * kind.get_size()
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            stored = _stored_attributes(raw, address) if stored is None else stored
            if attribute.name not in stored:
                raise Hdf5Error(f"the length of an attribute of {path} cannot be checked. Write the file again with h5py, with "
                                "its options for the file format left out")
            size = max(size, _check_texts(path, stored[attribute.name], raw))
        if size > raw.size:
            raise Hdf5Error(f"an attribute of {path} declares {size} bytes, more than the file has")


def _check_type(what: str, kind: h5py.h5t.TypeID) -> None:
    """Refuse lists of variable length and references, as which damage makes h5py read texts, outside of its memory."""
    if kind.detect_class(h5py.h5t.VLEN) or kind.detect_class(h5py.h5t.REFERENCE):
        raise Hdf5Error(f"{what} holds lists or references, which files of weights do not have")


# --- Values of variable length ----------------------------------------------------------------------------------------
# Of a text of variable length, an attribute holds the length and the place in a heap. HDF5 allocates and clears the length,
# up to 4 GiB, before it looks at the heap, and reads a damaged heap for ever. h5py can ask for neither, so the bytes of the
# file are checked.
# Source: HDF5 file format specification 3.0, III.E (global heap), IV.A.1.a (object header), IV.A.2.m and IV.A.2.q (messages).
def _stored_attributes(raw: _Raw, address: int) -> dict[bytes, bytes]:
    """Return the stored values of an object's attributes by name, if its header has version 1, which h5py writes."""
    head = raw.read(address, 16)
    blocks = [] if head.startswith(b"OHDR") else [(address + 16, int.from_bytes(head[8:12], "little"))]
    found: dict[bytes, bytes] = {}
    for start, size in blocks:  # which grows in the loop
        block, at = raw.read(start, size), 0
        while at + 8 <= len(block):
            kind, length = struct.unpack_from("<HH", block, at)
            message = block[at + 8 : at + 8 + length]
            at += 8 + length
            if kind == _CONTINUATION and len(message) >= 16 and len(blocks) < _MAX_BLOCKS:
                blocks.append(struct.unpack_from("<QQ", message))
            elif kind == _ATTRIBUTE and len(message) >= 8:
                found.update([_attribute(message)])
    return found


def _attribute(message: bytes) -> tuple[bytes, bytes]:
    """Return the name and the stored value of an attribute, which follow each other with its type and shape in between."""
    version, sizes = message[0], struct.unpack_from("<HHH", message, 2)
    start = 9 if version == 3 else 8
    rounded = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
    return message[start : start + sizes[0]].rstrip(b"\0"), message[start + sum(rounded) :]


def _check_texts(path: str, stored: bytes, raw: _Raw) -> int:
    """Check the heaps of values of variable length, and return the largest length that one of them declares."""
    largest = 0
    for at in range(0, len(stored) - 15, 16):
        length, heap = struct.unpack_from("<IQ", stored, at)
        largest = max(largest, length)
        if length and heap and heap not in raw.heaps:
            if not _is_whole_heap(raw, heap):
                raise Hdf5Error(f"the heap with an attribute of {path} is damaged")
            raw.heaps.add(heap)
    return largest


def _is_whole_heap(raw: _Raw, address: int) -> bool:
    """Return whether reading the objects of a heap one after the other comes to its end."""
    head = raw.read(address, 16)
    size = int.from_bytes(head[8:], "little")
    if not head.startswith(b"GCOL") or not 16 <= size <= raw.size:
        return False
    heap, at = raw.read(address + 16, size - 16), 0
    while at + 16 <= len(heap):
        number, length = struct.unpack_from("<HxxxxxxQ", heap, at)
        step = 16 + -(-length // 8) * 8 if number else length  # object 0 is the free space, whose length includes its head
        if step < 16:
            return False
        at += step
    return len(heap) == size - 16 and at <= len(heap)


def _check_storage(path: str, dataset: h5py.h5d.DatasetID) -> None:
    """Refuse a data set whose values lie outside the file or have no place in it, or that needs a plugin to be decoded."""
    _check_type(path, dataset.get_type())
    stored = dataset.get_create_plist()
    is_virtual = stored.get_layout() == h5py.h5d.VIRTUAL
    if is_virtual or stored.get_external_count():
        kind = "a virtual data set" if is_virtual else "stored externally"
        raise Hdf5Error(f"{path} is {kind}: its values lie in another file, which is not read. Use a file that holds its own "
                        "data")
    filters = [stored.get_filter(number)[0] for number in range(stored.get_nfilters())]
    plugins = [number for number in filters if number not in FILTERS]
    if plugins:
        raise Hdf5Error(f"{path} is compressed with filter {plugins[0]}, a plugin, which is not loaded. Use a file with gzip "
                        "or without compression")


def seal(file: h5py.File) -> None:
    """Write the digest of a file that is open for reading and writing, after everything else."""
    file.attrs[DIGEST] = _digest(file)


def digest_fault(file: h5py.File) -> str | None:
    """Return what is wrong if the content of a file differs from its digest; None if they agree, or it has no digest."""
    if DIGEST not in file.attrs or file.attrs[DIGEST] == _digest(file):
        return None
    return ("its content differs from the digest in it, so it was damaged after it was written. (If you changed it on purpose, "
            "delete the attribute digest of its root.)")


def _digest(file: h5py.File) -> str:
    digest = hashlib.sha256()
    for name in sorted(file.attrs):
        if name != DIGEST:
            digest.update(repr((name, np.asarray(file.attrs[name]).tolist())).encode())

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(repr((name, item.dtype.str, item.shape)).encode())
            if item.id.get_storage_size() == item.nbytes:  # or else it is not as it was written, and may declare any size
                digest.update(np.ascontiguousarray(item[()]).data)

    file.visititems(add)  # in the order of the names
    return digest.hexdigest()
