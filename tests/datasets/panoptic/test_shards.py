"""File names of shards, the distribution of images, and the manifest."""
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.shards import cut, manifest_path, read_categories, shard_path, shards_of, splits_in


def test_shard_path(tmp_path):
    assert shard_path(tmp_path, "train", 0, 1000) == tmp_path / "train-00000-of-01000.tfrecord"


@pytest.mark.parametrize("count, shards, expected", [
    (5, 3, [2, 2, 1]),
    (5, 4, [2, 2, 1, 0]),  # ceil(5 / 4) = 2
    (4, 4, [1, 1, 1, 1]),
    (2, 5, [1, 1, 0, 0, 0]),
    (0, 2, [0, 0]),
    (118287, 1000, [119] * 994 + [1] + [0] * 5),  # 994 * 119 = 118286
])  # fmt: skip
def test_images_per_shard_by_hand(count, shards, expected):
    assert [len(part) for part in cut(count, shards)] == expected


@given(st.integers(0, 500), st.integers(1, 40))
def test_every_image_is_in_one_shard_in_order(count, shards):
    assert [i for part in cut(count, shards) for i in part] == list(range(count))


def test_shards_are_found_by_name(tmp_path):
    for split, number in (("train", 1), ("train", 0), ("my-val", 1), ("my-val", 0)):
        shard_path(tmp_path, split, number, 2).touch()
    for other in ("train.tfrecord", "train-00000-of-00002.tfrecord.x1.part", "notes.txt"):
        (tmp_path / other).touch()
    assert splits_in(tmp_path) == ["my-val", "train"]
    names = ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]
    assert [path.name for path in shards_of(tmp_path, "train")] == names


def test_missing_or_ambiguous_shards_are_errors(tmp_path):
    shard_path(tmp_path, "train", 2, 4).touch()
    with pytest.raises(DataError, match="lacks 3 of the 4 files of train, such as train-00000-of-00004.tfrecord: run the"):
        shards_of(tmp_path, "train")
    shard_path(tmp_path, "train", 0, 1).touch()
    with pytest.raises(DataError, match="holds train in 00001 and in 00004 files"):
        shards_of(tmp_path, "train")
    with pytest.raises(DataError, match="holds no file val-"):
        shards_of(tmp_path, "val")


def test_categories_of_a_manifest_are_read(tmp_path):
    assert read_categories(tmp_path, "train") is None
    path = manifest_path(tmp_path, "train")
    entries = [{"id": 8, "name": "b", "isthing": 0}, {"id": 3, "name": "a", "isthing": 1}]
    path.write_text(json.dumps({"categories": entries}))
    categories = read_categories(tmp_path, "train")
    assert [(c.id, c.name, c.is_thing, c.semantic_id) for c in categories.values()] == [(3, "a", True, 1), (8, "b", False, 2)]
    path.write_text(json.dumps({"categories": [{**entries[0], "semantic_id": 81}, {**entries[1], "semantic_id": 7}]}))
    assert [(i, c.semantic_id) for i, c in read_categories(tmp_path, "train").items()] == [(3, 7), (8, 81)]
    path.write_text(json.dumps({"categories": [*entries, entries[0]]}))
    with pytest.raises(DataError, match=r"panoptic-train.json: categories\[2\]: two categories have the id 8"):
        read_categories(tmp_path, "train")
    path.write_text("{")
    with pytest.raises(DataError, match="panoptic-train.json is not valid JSON"):
        read_categories(tmp_path, "train")
