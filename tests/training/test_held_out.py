"""The images that a run holds out, and their record."""
import json

import pytest

from mrcnn.base.progress import unseen
from mrcnn.datasets.splits import subset_of
from mrcnn.training.held_out import default_fraction, divide, divide_data, hold_out, read_held_out, save_held_out
from tests.training.small import shapes


@pytest.mark.parametrize("images, fraction", [(0, 0), (4, 0), (5, 0.2), (5000, 0.2), (20_000, 0.05)])
def test_a_fifth_is_held_out_and_at_most_a_thousand_images(images, fraction):
    assert default_fraction(images) == fraction


def _ids(dataset):
    return [info["id"] for info in dataset.image_info]


def test_a_division_is_recorded_and_repeated_on_a_larger_data_set(tmp_path):
    train_set, val_set = hold_out(shapes(10), 0.2, seed=3)
    assert len(_ids(val_set)) == 2 and sorted(_ids(train_set) + _ids(val_set)) == list(range(10))
    assert _ids(hold_out(shapes(10), 0.2, seed=3)[1]) == _ids(val_set)
    save_held_out(tmp_path, train_set, val_set)
    train_again, val_again = divide(shapes(12), read_held_out(tmp_path))
    assert _ids(val_again) == _ids(val_set) and _ids(train_again) == [i for i in range(12) if i not in _ids(val_set)]


def test_a_resumed_run_holds_out_what_it_held_out_before(tmp_path):
    train_set, val_set, where = divide_data(shapes(10), None, 3, unseen)
    assert (len(_ids(train_set)), len(_ids(val_set)), where) == (8, 2, "held out")
    # before it had a record: what it would hold out now would be among the images that it has been trained on
    assert divide_data(shapes(10), None, 3, unseen, tmp_path)[1:] == (None, "none held out, as before")
    save_held_out(tmp_path, train_set, val_set)
    _, again, where = divide_data(shapes(12), None, 9, unseen, tmp_path)
    assert _ids(again) == _ids(val_set) and where == "held out, as before"
    assert len(_ids(divide_data(shapes(10), 0.5, 3, unseen, tmp_path)[1])) == 5


def test_only_selections_of_one_data_set_are_recorded(tmp_path):
    whole = shapes(4)
    part = subset_of(whole, [0])
    for train_set, val_set in ((whole, whole), (part, None), (part, subset_of(shapes(4), [1]))):
        save_held_out(tmp_path, train_set, val_set)
        assert read_held_out(tmp_path) == frozenset()
    assert divide(whole, ["shapes.9"])[1].num_images == 0


@pytest.mark.parametrize("text", ["{", "7", "[1]", json.dumps({"images": []}), "[" * 100_000])
def test_a_damaged_record_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "validation.json").write_text(text)
    with pytest.raises(ValueError, match="validation.json: .* list of image"):
        read_held_out(tmp_path)
