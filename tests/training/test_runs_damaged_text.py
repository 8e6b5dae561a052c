"""Damaged text files of a run are read, or rejected with our own error and the name of the file."""
import json

import numpy as np
import pytest

from mrcnn.config import Config, ConfigError
from mrcnn.training.runs import load_class_names, read_environments, read_history, write_history

READERS = {"config.json": Config.load, "classes.json": load_class_names, "environment.json": read_environments,
           "history.csv": read_history}
INSERTED = (b"9" * 20, b"[", b"{", b'"', b"null", b"\0", b"-", b"1e999", b"\xff", b"\r")
WHOLE = (b"", b"null", b"0", b'"a"', b"{}", b"[]", b"[1]", b"[null]", b"NaN", b"[" * 100_000, b'{"A":' * 100_000, b"1" * 5000,
         b'{"NAME": {"a": 1}}', b'{"a": 1}', b'{"IMAGES_PER_GPUS": 2}', b"epoch,loss\n5e15,1\n", b"epoch\n-1\n",
         "[1]".encode("utf-16"), b"epoch,epoch,\n1\n")  # fmt: skip


def _variants(content):
    """Yield damaged copies (truncated, with a flipped bit, random bytes or an insertion) and different content."""
    rng = np.random.default_rng(0)
    for number in range(120):
        copy = bytearray(content)
        place = int(rng.integers(len(copy)))
        if number % 4 == 0:
            del copy[place:]
        elif number % 4 == 1:
            copy[place] ^= 1 << int(rng.integers(8))
        elif number % 4 == 2:
            copy[place : place + 4] = rng.bytes(4)
        else:
            copy[place:place] = INSERTED[int(rng.integers(len(INSERTED)))]
        yield bytes(copy)
    yield from WHOLE


@pytest.mark.parametrize("name", READERS)
def test_damaged_file_is_read_or_rejected_with_its_name(tmp_path, name):
    Config.from_dict({"NAME": "toys", "NUM_CLASSES": 4}).save(tmp_path / "config.json")
    (tmp_path / "classes.json").write_text(json.dumps(["BG", "ball", "brick", "cat"]))
    (tmp_path / "environment.json").write_text(json.dumps([{"began": "2026-01-01", "versions": {"keras": "3"}}]))
    write_history(tmp_path / "history.csv", [{"epoch": epoch, "loss": 2.0 / epoch} for epoch in range(1, 5)])
    path, rejected = tmp_path / name, 0
    READERS[name](path)
    for content in _variants(path.read_bytes()):
        path.write_bytes(content)
        try:
            READERS[name](path)
        except (ConfigError, ValueError) as error:
            assert type(error) in (ConfigError, ValueError) and str(path) in str(error), content[:100]
            rejected += 1
    assert (rejected == 0) == (name == "environment.json")  # used only by the report
