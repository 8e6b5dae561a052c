"""HDF5 files that refer to other files are rejected before values are read, and damaged files are reported."""
import re
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mrcnn.io.hdf5 import Hdf5Error, open_hdf5


def _file(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


@pytest.fixture
def secret(tmp_path):
    """A file with values that no other file may refer to, and the same values as raw bytes."""
    (tmp_path / "secret.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    return _file(tmp_path / "secret.h5", lambda file: file.create_dataset("x", data=np.arange(4.0)))


def _external_link(file, secret):
    file.create_group("a/b")["x"] = h5py.ExternalLink(str(secret), "/x")


def _soft_link_through_an_external_link(file, secret):
    file["door"] = h5py.ExternalLink(str(secret), "/")
    file["x"] = h5py.SoftLink("/door/x")


def _external_storage(file, secret):
    file.create_dataset("x", (4,), "f4", external=[(str(secret.with_suffix(".bin")), 0, 16)])


def _virtual(file, secret):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize("fill, words", [
    (_external_link, "/a/b/x is a link to another file"), (_soft_link_through_an_external_link, "/door is a link to another"),
    (_external_storage, "/x is stored externally"), (_virtual, "/x is a virtual data set")])  # fmt: skip
def test_reference_to_another_file_is_rejected(tmp_path, secret, fill, words):
    path = _file(tmp_path / "w.h5", lambda file: fill(file, secret))
    with pytest.raises(Hdf5Error, match=f"w.h5: {words}.*Use a file that holds its own data"):
        with open_hdf5(path):
            pytest.fail("the file was opened")


def test_filter_that_would_load_a_library_is_rejected(tmp_path):
    def fill(file):
        stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        stored.set_chunk((4,))
        stored.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())  # Zstandard, if its plugin is installed
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((4,)), stored)

    with pytest.raises(Hdf5Error, match="/x is compressed with filter 32015, a plugin"):
        with open_hdf5(_file(tmp_path / "w.h5", fill)):
            pass


def test_references_within_the_file_are_accepted(tmp_path):
    def fill(file):
        file["a/x"] = np.ones(3)
        file["a/again"] = file["a/x"]
        file["a/root"] = file["/"]  # groups that contain each other
        file["soft"], file["dangling"] = h5py.SoftLink("/a/x"), h5py.SoftLink("/nothing")
        file.create_dataset("packed", data=np.zeros(1000), compression="gzip", shuffle=True)
        file.attrs["empty"], file.attrs["names"] = np.zeros(0), np.array([b"a", b"b"])

    with open_hdf5(_file(tmp_path / "w.h5", fill)) as file:
        assert file["soft"][()].tolist() == [1, 1, 1] and not file["packed"][()].any()


def test_damage_is_reported_with_the_file(tmp_path):
    path = _file(tmp_path / "w.h5", lambda file: file.create_dataset("x", data=np.ones(3)))
    with pytest.raises(Hdf5Error, match=r"w.h5: not a complete HDF5 file \(KeyError: .*absent"):
        with open_hdf5(path) as file:
            file["absent"]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Hdf5Error, match=r"w.h5: not a complete HDF5 file \(OSError: .*truncated"):
        with open_hdf5(path):
            pass
    with pytest.raises(FileNotFoundError):
        with open_hdf5(tmp_path / "gone.h5"):
            pass


def test_too_many_objects_are_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn.io.hdf5.MAX_OBJECTS", 20)
    with pytest.raises(Hdf5Error, match="more than 20 objects"):
        with open_hdf5(_file(tmp_path / "w.h5", lambda file: [file.create_group(f"g{n}") for n in range(20)])):
            pass


TEXT = "a text of forty-one bytes, which is no other"


@pytest.mark.parametrize("name", ["first", "of one of 30 attributes, which need a second block of the header", "in a list"])
def test_length_of_a_text_beyond_the_file_is_rejected_without_allocating_it(tmp_path, name):
    """A few kilobytes that declare a text of 3 GiB: HDF5 would allocate and clear these before it notices."""

    def fill(file):
        for number in range(29 if name.startswith("of one") else 0):
            file["x"].attrs[f"filler{number}"] = "filler" * 20
        file["x"].attrs[name] = np.array(["short", TEXT], object) if name == "in a list" else TEXT

    path = _file(tmp_path / "w.h5", lambda file: (file.create_dataset("x", data=1), fill(file)))
    with open_hdf5(path) as file:
        assert TEXT in np.ravel(file["x"].attrs[name])
    content, length = path.read_bytes(), struct.pack("<I", len(TEXT))
    at = content.index(length, content.index(name.encode()))
    path.write_bytes(content[:at] + struct.pack("<I", 3 * 2**30) + content[at + 4 :])
    with pytest.raises(Hdf5Error, match="w.h5: an attribute of /x declares 3221225472 bytes, more than the file has"):
        with open_hdf5(path):
            pytest.fail("the file was opened")


def test_heap_of_texts_that_hdf5_would_read_for_ever_is_rejected(tmp_path):
    """Its free space claims to have no bytes, so that the next object is the free space again."""
    path = _file(tmp_path / "w.h5", lambda file: file.attrs.update(name=TEXT))
    content = bytearray(path.read_bytes())
    free = content.index(b"GCOL") + 16 + 16 + 48  # after the heads of the heap and of the text, which fills 44 of 48 bytes
    assert content[free : free + 8] == bytes(8)
    content[free + 8 : free + 16] = bytes(8)
    path.write_bytes(content)
    program = f"from mrcnn.io.hdf5 import open_hdf5\nwith open_hdf5({str(path)!r}) as file:\n    print(file.attrs['name'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "w.h5: the heap with an attribute of / is damaged" in done.stderr


def test_text_in_a_header_of_the_newest_version_is_rejected(tmp_path):
    """Where its length is cannot be told, and h5py writes it only if it is asked to."""
    path = tmp_path / "w.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["number"] = 3
    with open_hdf5(path) as file:
        assert file.attrs["number"] == 3
    with h5py.File(path, "r+", libver="latest") as file:
        file.attrs["name"] = TEXT
    with pytest.raises(Hdf5Error, match="w.h5: the length of an attribute of / cannot be checked. Write the file again"):
        with open_hdf5(path):
            pytest.fail("the file was opened")


def lists():
    values = np.empty(1, object)
    values[0] = np.arange(3, dtype=np.int32)
    return values


@pytest.mark.parametrize("fill", [
    lambda file: file.attrs.create("x", lists(), dtype=h5py.vlen_dtype(np.int32)),
    lambda file: file.attrs.create("x", file.ref, dtype=h5py.ref_dtype),
    lambda file: file.create_dataset("x", data=lists(), dtype=h5py.vlen_dtype(np.int32)),
    lambda file: file.create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype),
], ids=["attribute of lists", "attribute of references", "data set of lists", "data set of references"])  # fmt: skip
def test_lists_of_variable_length_and_references_are_refused(tmp_path, fill):
    path = _file(tmp_path / "a.h5", fill)
    with pytest.raises(Hdf5Error, match=r"(/x|an attribute of /) holds lists or references"), open_hdf5(path):
        pass


def test_text_whose_type_is_damaged_does_not_end_the_process(tmp_path):
    """Its type becomes a list of characters of 16 bytes each, for which h5py reads beyond its memory (segmentation fault)."""
    path = _file(tmp_path / "a.h5", lambda file: file.attrs.update(stage="text " * 20))
    content = path.read_bytes()
    # Source: HDF5 file format specification 3.0, IV.A.2.d: version 1 and class 9, bits (1: a text), size
    (kind,) = re.findall(rb"\x19\x01.\0\x10\0\0\0", content, re.DOTALL)
    path.write_bytes(content.replace(kind, b"\x19\x53" + kind[2:]))
    program = f"""
from mrcnn.io.hdf5 import open_hdf5
try:
    with open_hdf5({str(path)!r}) as file:
        print(file.attrs["stage"])
except ValueError as error:
    print("refused:", error)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("refused:") and "an attribute of /" in done.stdout
