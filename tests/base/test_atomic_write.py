"""Files that are either complete or absent."""
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrcnn.base.atomic_write import _host, atomic_open, atomic_path, remove_leftovers, save_json, scratch_folder


def test_json_accepts_numpy_and_writes_nan_as_null(tmp_path):
    value = {"a": np.float32(0.5), 3: np.int64(4), "n": float("nan"), "l": (np.nan, np.arange(2)), "t": "x"}
    save_json(tmp_path / "v.json", value)
    assert json.loads((tmp_path / "v.json").read_text()) == {"a": 0.5, "3": 4, "n": None, "l": [None, [0, 1]], "t": "x"}


def test_failed_write_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "v.json"
    save_json(path, [1])
    with pytest.raises(TypeError):
        save_json(path, [object()])
    assert path.read_text() == "[1]\n"
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


def test_interrupted_write_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    with pytest.raises(KeyboardInterrupt), atomic_open(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    with atomic_open(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


def test_new_file_has_default_permissions(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_open(tmp_path / "atomic", "w") as file:
        file.write("\xe4")
    assert os.stat(tmp_path / "atomic").st_mode == os.stat(tmp_path / "plain").st_mode
    assert (tmp_path / "atomic").read_bytes() == b"\xc3\xa4"


def test_atomic_path_replaces_the_target_when_the_block_ends(tmp_path):
    (tmp_path / "source").write_text("new")
    (tmp_path / "target").write_text("old")
    with atomic_path(tmp_path / "target") as temporary:
        assert not temporary.exists() and temporary.parent == tmp_path
        os.link(tmp_path / "source", temporary)
        assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "target").read_text() == "new"
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "target"):
        pass  # writes nothing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source", "target"]


WRITE_AND_DIE = """
import os, signal, sys
from mrcnn.base.atomic_write import atomic_open
with atomic_open(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def test_only_parts_of_ended_processes_are_removed(tmp_path):
    path = tmp_path / "mask_rcnn_toys_0001.h5"
    command = [sys.executable, "-c", WRITE_AND_DIE, str(path)]
    assert subprocess.run([*command, "SIGKILL"]).returncode == -signal.SIGKILL
    dead = list(tmp_path.iterdir())
    stopped = subprocess.Popen([*command, "SIGSTOP"])
    while len(list(tmp_path.iterdir())) < 2:
        assert stopped.poll() is None
    alive = [file for file in tmp_path.iterdir() if file not in dead]
    others = [tmp_path / name for name in ("a.part", "film.mp4.part", "a.h5.elsewhere-1-0123abcd.part")]
    own = tmp_path / f"a.h5.{_host()}-{os.getpid()}-0123abcd.part"  # of an earlier process with this id
    old = tmp_path / "a.h5.elsewhere-2-0123abcd.part"
    for file in (*others, own, old):
        file.touch()
    os.utime(old, (0, 0))
    with atomic_open(tmp_path / "b") as file:
        remove_leftovers(tmp_path)
        assert sorted(tmp_path.glob("*.part")) == sorted([*alive, *others, Path(file.name)])
    stopped.kill()
    stopped.wait()
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.glob("*.part")) == sorted(others) and (tmp_path / "b").exists()


UNPACK_AND_DIE = """
import os, signal, sys
from mrcnn.base.atomic_write import scratch_folder
with scratch_folder(sys.argv[1], ".download") as folder:
    (folder / "unpacked").mkdir()
    (folder / "unpacked" / "1.jpg").write_bytes(b"half")
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def test_scratch_folder_is_removed_also_after_a_kill(tmp_path):
    command = [sys.executable, "-c", UNPACK_AND_DIE, str(tmp_path)]
    assert subprocess.run([*command, "SIGKILL"]).returncode == -signal.SIGKILL
    (dead,) = tmp_path.iterdir()
    assert dead.name.startswith(".download.") and (dead / "unpacked" / "1.jpg").exists()
    stopped = subprocess.Popen([*command, "SIGSTOP"])
    while dead.exists() or not list(tmp_path.glob("*/*/*")):  # it removes what the dead one left
        assert stopped.poll() is None
    (alive,) = tmp_path.iterdir()
    with scratch_folder(tmp_path, ".download") as folder:
        assert sorted(tmp_path.iterdir()) == sorted([alive, folder])
    stopped.kill()
    stopped.wait()
    (tmp_path / "images").mkdir()
    alive.rename(tmp_path / "images" / alive.name)
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.rglob("*.part"))) == 1
    remove_leftovers(tmp_path, subfolders=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["images"]


def test_file_name_of_maximum_length_is_written(tmp_path):
    path = tmp_path / ("\u754c" * 83 + ".json")  # 254 of 255 bytes
    save_json(path, [1], durable=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


FILL = """
import resource, sys
from mrcnn.base.atomic_write import atomic_open
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
with atomic_open(sys.argv[1]) as file:
    file.write(bytes(2 * 2**20))
"""


def test_full_disk_is_reported_and_the_existing_file_is_kept(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True)
    assert f"OSError: cannot write {path}: File too large. The disk has " in ended.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"] and path.read_bytes() == b"old"


def test_file_larger_than_the_free_space_is_rejected_before_writing(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OSError, match=r"a.bin: No space left on device. The file needs .* MiB. The disk has") as caught:
        with atomic_open(tmp_path / "a.bin", size=2 * free):
            raise AssertionError
    assert caught.value.errno == errno.ENOSPC and list(tmp_path.iterdir()) == []
