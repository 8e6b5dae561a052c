"""Damaged and malicious variants of small HDF5 files."""
import time

import h5py
import numpy as np

from mrcnn.weights.tensors import WeightsError

VARIANTS = 240


def damaged(content, seed):
    """Return a damaged copy: truncated, with a flipped bit, with random bytes, or with a run of zero or one bits."""
    rng, copy = np.random.default_rng(seed), bytearray(content)
    position = int(rng.integers(len(copy)))
    if seed % 4 == 0:
        return bytes(copy[:position])
    if seed % 4 == 1:
        copy[position] ^= 1 << int(rng.integers(8))
    elif seed % 4 == 2:
        for index in rng.integers(len(copy), size=int(rng.integers(1, 20))):
            copy[index] = int(rng.integers(256))
    else:
        run = int(rng.integers(1, 64))
        copy[position : position + run] = bytes([int(rng.choice([0, 255]))]) * run
    return bytes(copy[: len(content)])


def try_variants(path, read):
    """Call `read` for damaged copies of a file, and return how many were rejected."""
    content, rejected, slowest = path.read_bytes(), 0, 0.0
    for seed in range(VARIANTS):
        path.write_bytes(damaged(content, seed))
        started = time.perf_counter()
        try:
            read()
        except ValueError as error:
            assert type(error) in (WeightsError, ValueError) and path.name in str(error), f"variant {seed}: {error!r}"
            rejected += 1
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 10
    return rejected


def rewrite(path, tensor, write):
    """Replace a tensor of a file by `write(group, name)`, and remove its digest."""
    with h5py.File(path, "r+") as file:
        file.attrs.pop("digest", None)
        group, _, name = tensor.rpartition("/")
        del file[tensor]
        write(file[group or "/"], name)


def _link(group, name):
    group[name] = h5py.ExternalLink("secret.h5", "/x")


def _store(group, name):
    group.create_dataset(name, (4,), "f4", external=[("secret.bin", 0, 16)])


def _view(group, name):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (4,))
    group.create_virtual_dataset(name, layout)


def write_secret(folder):
    """Write the files that the malicious variants refer to."""
    np.full(4, 7, np.float32).tofile(folder / "secret.bin")
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = np.full(4, 7, np.float32)


# (function that replaces a tensor, part of the error message)
MALICIOUS = [(_link, "link to another file"), (_store, "stored externally"), (_view, "virtual data set")]
