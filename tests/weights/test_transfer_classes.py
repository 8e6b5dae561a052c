"""Rows of class heads are taken over where class names match; the others keep their values."""
import numpy as np
import pytest

from mrcnn.datasets.coco_names import CLASS_NAMES
from mrcnn.weights import classic_h5
from mrcnn.weights.tensors import WeightsError
from mrcnn.weights.transfer import ClassNames, match_classes
from tests.weights.small import same_values, small_model, values_of


def test_classes_match_by_name():
    """Of cat, kiwi and Traffic-Light, rows 2 and 3 of BG, dog, cat, traffic light are taken over, and the background."""
    rows = match_classes(ClassNames(["BG", "cat", "kiwi", "Traffic-Light"], ["BG", "dog", "cat", "traffic light"]), 4, 4, "f")
    assert rows.rows == (0, 2, None, 3) and not rows.is_complete
    assert rows.table().splitlines() == [
        "classes taken over: 2 of 3",
        "  cat" + " " * 35 + "row 2, cat",
        "  kiwi" + " " * 34 + "initialised",
        "  Traffic-Light" + " " * 25 + "row 3, traffic light"]
    assert all(len(line) <= 80 for line in rows.table().splitlines())


def test_exact_names_precede_similar_ones():
    rows = match_classes(ClassNames(["BG", "Cat", "cat", "CAT"], ["BG", "cat", "Cat"]), 4, 3, "f")
    assert rows.rows == (0, 2, 1, 1)  # "CAT" takes the first that is similar


def test_without_a_match_the_background_is_initialised_too():
    assert match_classes(ClassNames(["BG", "kiwi"], ["BG", "cat", "dog"]), 2, 3, "f").rows == (None, None)


def test_a_class_that_is_named_like_the_background_does_not_match_it():
    assert match_classes(ClassNames(["BG", "BG", "cat"], ["BG", "cat"]), 3, 2, "f").rows == (0, None, 1)


def test_names_of_coco():
    """Stop sign is id 13, class 12 of 80; id 12 is not used."""
    ours = ["BG", "stop sign", "toothbrush", "N/A"]
    assert match_classes(ClassNames(ours, "coco"), 4, 81, "f").rows == (0, 12, 80, None)
    by_id = match_classes(ClassNames(ours, "coco"), 4, 91, "f")
    assert by_id.rows == (0, 13, 90, None) and by_id.theirs[12] is None
    complete = match_classes(ClassNames(CLASS_NAMES, "coco"), 81, 91, "f")
    assert complete.is_complete and complete.table() == "classes taken over: all 80"
    with pytest.raises(WeightsError, match=r"f: the class layers have 7 rows, .* those of COCO have 81, or 91 by id"):
        match_classes(ClassNames(ours, "coco"), 4, 7, "f")


def test_numbers_of_names_are_checked():
    with pytest.raises(WeightsError, match="class layers of the file have 5 rows, background included, but 2 class names"):
        match_classes(ClassNames(["BG", "cat"], ["BG", "cat"]), 2, 5, "f")
    with pytest.raises(WeightsError, match="class layers of the model have 4 rows, background included, but 2 class names"):
        match_classes(ClassNames(["BG", "cat"], ["BG", "cat"]), 4, 2, "f")


def test_rows_of_boxes_are_groups_of_four():
    """The file has BG (0 1 2 3), dog (4 5 6 7) and cat (8 9 10 11); the model BG, cat and kiwi, all 100."""
    rows = match_classes(ClassNames(["BG", "cat", "kiwi"], ["BG", "dog", "cat"]), 3, 3, "f")
    merged = rows.merge("mrcnn_bbox_fc", np.arange(12.0), np.full(12, 100, np.float32))
    assert merged.tolist() == [0, 1, 2, 3, 8, 9, 10, 11, 100, 100, 100, 100]
    kernel = rows.merge("mrcnn_mask", np.arange(6.0).reshape(1, 1, 2, 3), np.full((1, 1, 2, 3), 100, np.float32))
    assert kernel.tolist() == [[[[0, 2, 100], [3, 5, 100]]]]


def test_classic_file_of_other_classes(tmp_path):
    """small_model has 5 classes; the one that loads has 3: BG, one of the file, a new one."""
    source, model = small_model(5, seed=1), small_model(3, seed=2)
    classic_h5.save(source, tmp_path / "w.h5")
    names = ClassNames(["BG", "new", "c"], ["BG", "a", "b", "c", "d"])
    before = dict(values_of(model))
    report = classic_h5.load(model, tmp_path / "w.h5", classes=names)
    layer, theirs = model.get_layer("mrcnn_class_logits"), source.get_layer("mrcnn_class_logits")
    kernel, bias = (np.asarray(v) for v in layer.get_weights())
    old_kernel, old_bias = theirs.get_weights()
    np.testing.assert_array_equal(kernel[:, [0, 2]], old_kernel[:, [0, 3]])
    np.testing.assert_array_equal(bias[[0, 2]], old_bias[[0, 3]])
    np.testing.assert_array_equal(bias[1], before["bias"][1])
    assert report.classes.rows == (0, None, 3) and not report.mismatched and len(report.matched) == 12
    assert report.unloaded_layers() == ["mrcnn_class_logits"]  # one of its rows is random
    with pytest.raises(WeightsError, match="take over the classes whose names match"):
        classic_h5.load(model, tmp_path / "w.h5")


def test_equal_numbers_of_classes_in_another_order(tmp_path):
    source, model = small_model(3, seed=1), small_model(3, seed=2)
    source.save_weights(tmp_path / "w.weights.h5")
    report = classic_h5.load(model, tmp_path / "w.weights.h5", classes=ClassNames(["BG", "b", "a"], ["BG", "a", "b"]))
    bias, old = model.get_layer("mrcnn_class_logits").get_weights()[1], source.get_layer("mrcnn_class_logits").get_weights()[1]
    assert bias.tolist() == old[[0, 2, 1]].tolist() and report.unloaded_layers() == []


def test_file_without_class_layers_cannot_be_matched(tmp_path):
    source, model = small_model(3, names=("conv1", "bn_conv1", "other")), small_model(3, seed=2)
    classic_h5.save(source, tmp_path / "w.h5")
    with pytest.raises(WeightsError, match="has no tensor mrcnn_class_logits/bias, by which classes are matched"):
        classic_h5.load(model, tmp_path / "w.h5", classes=ClassNames(["BG", "a", "b"], "coco"))
    assert same_values(model, small_model(3, seed=2))
