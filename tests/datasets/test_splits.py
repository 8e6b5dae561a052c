"""Stratified splits, groups that stay together, and views that behave like data sets."""
import inspect
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.splits import DatasetView, classes_on, group_by_id, k_fold, shared_images, split_images, subset_of
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.loading.scenes import Scenes, scenes

BOX = (1, 1, 9, 9)


class Labelled(Dataset):
    """Images defined by the class ids of their instances; those of crowds are negative."""

    def load_instances(self, image_id):
        ids = self.image_info[image_id]["classes"]
        if ids is None:
            raise DataError("it is broken")
        return [[[0, 0, 4, 0, 4, 4]]] * len(ids), np.array(ids, np.int32)


def labelled(*images, groups=None):
    dataset = Labelled()
    for number in range(1, 6):
        dataset.add_class("x", number, str(number))
    for i, classes in enumerate(images):
        dataset.add_image("x", i, None, classes=classes, **({"scene": groups[i]} if groups else {}))
    dataset.prepare()
    return dataset


def test_each_class_is_split_by_the_fractions():
    # 50 images of class 1, 20 of them with class 2 as well, and 10 of class 3 only
    dataset = labelled(*[[1, 1, 2]] * 20, *[[1]] * 30, *[[3]] * 10)
    parts = split_images(dataset, {"train": 0.6, "val": 0.2, "test": 0.2})
    assert sorted(sum(parts.values(), [])) == list(range(60))
    counts = {name: Counter(c for i in ids for c in classes_on(dataset, i)) for name, ids in parts.items()}
    assert counts == {"train": {1: 30, 2: 12, 3: 6}, "val": {1: 10, 2: 4, 3: 2}, "test": {1: 10, 2: 4, 3: 2}}


def test_random_split_does_not_balance_classes():
    dataset = labelled(*[[1]] * 95, *[[2]] * 5)
    rare = {sum(i >= 95 for i in split_images(dataset, {"train": 0.8, "val": 0.2}, stratify=False, seed=s)["val"])
            for s in range(20)}  # fmt: skip
    assert len(rare) > 1
    assert {sum(i >= 95 for i in split_images(dataset, {"train": 0.8, "val": 0.2}, seed=s)["val"]) for s in range(20)} == {1}


def test_rarest_class_is_placed_first_and_a_single_image_goes_to_the_largest_subset():
    # class 3 is in one image; class 2 in two images, one of them that with class 3
    dataset = labelled([1], [1], [1, 2, 3], [1, 2], [1], [1], [1], [1], [1], [1])
    parts = split_images(dataset, {"train": 0.8, "val": 0.2})
    assert 2 in parts["train"] and len(parts["val"]) == 2


def test_split_depends_on_the_seed_only():
    dataset = labelled(*[[1]] * 30)
    fractions = {"train": 0.5, "val": 0.5}
    assert split_images(dataset, fractions, seed=1) == split_images(dataset, fractions, seed=1)
    assert split_images(dataset, fractions, seed=1) != split_images(dataset, fractions, seed=2)


def test_groups_are_never_split():
    groups = ["a", "a", "b", "c", "c", "c", "d", "e"]
    dataset = labelled(*[[1], [2], [1], [1], [2], [1], [2], [1]], groups=groups)
    by_key = split_images(dataset, {"train": 0.6, "val": 0.4}, group="scene")
    by_function = split_images(dataset, {"train": 0.6, "val": 0.4}, group=lambda info: info["scene"].upper())
    assert by_key == by_function
    assert not {groups[i] for i in by_key["train"]} & {groups[i] for i in by_key["val"]}
    assert sorted(by_key["train"] + by_key["val"]) == list(range(8)) and len(by_key["val"]) in (3, 4)
    with pytest.raises(DataError, match="image 0 .* has no 'site' to group by; it has id, source, path, classes, scene"):
        split_images(dataset, {"train": 0.5, "val": 0.5}, group="site")


def test_optional_group_of_a_regular_expression_may_be_missing():
    group_of = group_by_id(r"(a)|b")
    assert [group_of({"id": name}) for name in ("a1", "b1", "c1")] == [("matched", "a"), ("matched", "b"), ("alone", "c1")]
    with pytest.raises(ValueError, match=r"'s\[' is not a regular expression"):
        group_by_id("s[")


def test_folds_are_stratified_and_each_image_is_validated_once():
    dataset = labelled(*[[1]] * 9, *[[2]] * 6)
    folds = k_fold(dataset, 3, seed=4)
    assert sorted(i for _, val in folds for i in val) == list(range(15))
    for train, val in folds:
        assert sorted(train + val) == list(range(15))
        assert sum(i < 9 for i in val) == 3 and len(val) == 5
    with pytest.raises(ValueError, match="at least two folds, not 1"):
        k_fold(dataset, 1)
    with pytest.raises(DataError, match="15 images cannot be divided into 16 subsets"):
        k_fold(dataset, 16)


def test_empty_and_broken_images_are_distributed_too():
    dataset = labelled(*[[]] * 8, None, None)
    parts = split_images(dataset, {"train": 0.5, "val": 0.5})
    assert [len(ids) for ids in parts.values()] == [5, 5]


def test_no_subset_is_empty():
    parts = split_images(labelled([1], [1], [1]), {"train": 0.98, "val": 0.01, "test": 0.01})
    assert [len(ids) for ids in parts.values()] == [1, 1, 1]


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 0.7, "b": 0.7}, {"a": 1.0, "b": 0.0}, {"a": 1.5, "b": -0.5}])
def test_fractions_that_do_not_sum_to_one_are_rejected(fractions):
    with pytest.raises(ValueError, match="above 0, and their sum must be 1"):
        split_images(labelled([1], [2]), fractions)


def test_progress_counts_images():
    reported = []
    split_images(labelled([1], [2], [3]), {"a": 0.5, "b": 0.5}, progress=lambda *counts: reported.append(counts))
    assert reported == [(1, 3), (2, 3), (3, 3)]


@given(st.lists(st.tuples(st.lists(st.integers(-5, 5).filter(bool), max_size=4), st.integers(0, 6)), min_size=3, max_size=40),
       st.integers(0, 5))  # fmt: skip
def test_every_image_is_in_one_subset_and_no_group_in_two(images, seed):
    dataset = labelled(*[classes for classes, _ in images], groups=[group for _, group in images])
    fractions = {"train": 0.7, "val": 0.2, "test": 0.1}
    parts = split_images(dataset, fractions, seed=seed)
    assert sorted(sum(parts.values(), [])) == list(range(len(images))) and all(parts.values())
    if len({group for _, group in images}) >= 3:
        parts = split_images(dataset, fractions, group="scene", seed=seed)
        owners = [{images[i][1] for i in ids} for ids in parts.values()]
        assert all(owners) and sum(map(len, owners)) == len(set().union(*owners))


# --- views
def test_view_is_a_data_set_of_some_images():
    base = scenes([(1, *BOX)], [(2, 5, 5, 30, 40), (-3, *BOX)], [(3, *BOX)], cls=Scenes)
    view = subset_of(base, [2, 1])
    assert view.image_ids.tolist() == [0, 1] and view.num_images == 2 and view.class_names == base.class_names
    assert [info["id"] for info in view.image_info] == [2, 1] and view.image_info[0] is base.image_info[2]
    assert view.image_from_source_map == {"scenes.2": 0, "scenes.1": 1} and view.map_source_class_id("scenes.3") == 3
    for mine, theirs in ((0, 2), (1, 1)):
        np.testing.assert_array_equal(view.load_image(mine), base.load_image(theirs))
        for a, b in zip(view.load_mask(mine), base.load_mask(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
        assert view.ground_truth(mine) == base.ground_truth(theirs) and view.image_size(mine) == (40, 60)
        assert view.num_instances(mine) is base.num_instances(theirs) is None
        assert view.source_image_link(mine) == f"{theirs}.png" and view.image_reference(mine) == ""
    settings = SampleSettings("none", num_classes=4)
    for a, b in zip(make_sample(pickle.loads(pickle.dumps(view)), 1, settings), make_sample(base, 1, settings), strict=True):
        np.testing.assert_array_equal(a, b)
    view.prepare()
    assert view.num_images == 2
    with pytest.raises(ValueError, match="of the data set itself"):
        view.prepare({"scenes.1": "scenes.2"})
    assert subset_of(view, [1]).load_mask(0)[1].tolist() == [2, -3]


def test_view_forwards_every_method_that_takes_an_image_id():
    """An inherited method would return the values of another image, or of an empty data set."""
    methods = {name for name, method in inspect.getmembers(Dataset, inspect.isfunction)
                   if "image_id" in inspect.signature(method).parameters and name != "add_image"}  # fmt: skip
    assert len(methods) >= 10 and methods <= set(vars(DatasetView))
    base = scenes([(1, *BOX)], [(2, *BOX)])
    base.coverage = lambda image_id: ({image_id}, {3})
    assert subset_of(base, [1]).coverage(0) == ({1}, {3})


def test_view_has_the_skipped_entries_of_the_reader():
    base = labelled([1])
    assert subset_of(base, [0]).skipped == [] and subset_of(base, [0]).notes == []
    base.skipped = [("a", "gone")]
    assert subset_of(base, []).skipped == [("a", "gone")]


def test_shared_images_are_files_that_both_data_sets_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def of(*paths):
        dataset = Dataset()
        for number, path in enumerate(paths):
            dataset.add_image("toys", number, path)
        return dataset

    train = of("a/1.jpg", "a/2.jpg", None)
    assert shared_images(train, of("b/1.jpg", None)) == []
    assert shared_images(train, of("b/1.jpg", f"{tmp_path}/a/2.jpg", "a/../a/1.jpg")) == [f"{tmp_path}/a/2.jpg", "a/../a/1.jpg"]
    assert shared_images(train, train) == ["a/1.jpg", "a/2.jpg"]
