"""Damaged and malicious training states raise our own error with the name of the file, and change nothing."""
import pytest

from mrcnn.training.checkpoints import restore_state, save_state, training_stage
from tests.weights.damage import MALICIOUS, VARIANTS, rewrite, try_variants, write_secret
from tests.weights.small import small_model


def _saved(path, optimizer="sgd"):
    """Write a training state, and return its model and stage."""
    model = small_model()
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    stage = training_stage(model)
    save_state(model, path, 3, stage)
    return model, stage


def test_damaged_training_state_is_restored_or_rejected_with_its_name(tmp_path):
    path = tmp_path / "training_state.h5"
    model, stage = _saved(path, "adam")
    assert VARIANTS // 4 < try_variants(path, lambda: restore_state(model, path, 3, stage)) < VARIANTS


@pytest.mark.parametrize("write, words", MALICIOUS)
def test_training_state_that_refers_to_another_file_is_rejected(tmp_path, monkeypatch, write, words):
    monkeypatch.chdir(tmp_path)
    write_secret(tmp_path)
    path = tmp_path / "training_state.h5"
    model, stage = _saved(path)
    rewrite(path, "0", write)
    with pytest.raises(ValueError, match=f"training_state.h5: .*{words}"):
        restore_state(model, path, 3, stage)


def test_shape_larger_than_in_the_model_is_rejected_before_reading(tmp_path):
    """A few kilobytes that declare 16 TiB."""
    path = tmp_path / "training_state.h5"
    model, stage = _saved(path)
    rewrite(path, "0", lambda group, name: group.create_dataset(name, (2**20, 2**21), "i8", chunks=(2**10, 2**10)))
    with pytest.raises(ValueError, match="training_state.h5: .*but the file has int64"):
        restore_state(model, path, 3, stage)
