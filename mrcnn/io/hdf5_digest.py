"""A digest in an HDF5 file, by which a flipped bit is noticed.

The attribute "digest" of the root holds the SHA-256 of the values of the file and of the other attributes of its root. Other
readers ignore it.
"""

import hashlib

import h5py
import numpy as np

DIGEST = "digest"


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
