"""Training states that are damaged or hostile: our own error with the file's name, and nothing is changed."""
import pytest

from mrcnn.training.checkpoints import restore_state, save_state, training_stage
from tests.weights.damage import HOSTILE, VARIANTS, rewrite, try_variants, write_secret
from tests.weights.small import small_model


def _saved(path, optimizer="sgd"):
    """Write a training state; return its model and stage."""
    model = small_model()
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    stage = training_stage(model)
    save_state(model, path, 3, stage)
    return model, stage


def test_a_damaged_training_state_is_restored_or_refused_with_its_name(tmp_path):
    path = tmp_path / "training_state.h5"
    model, stage = _saved(path, "adam")
    assert VARIANTS // 4 < try_variants(path, lambda: restore_state(model, path, 3, stage)) < VARIANTS


@pytest.mark.parametrize("write, words", HOSTILE)
def test_a_training_state_cannot_show_another_file(tmp_path, monkeypatch, write, words):
    monkeypatch.chdir(tmp_path)
    write_secret(tmp_path)
    path = tmp_path / "training_state.h5"
    model, stage = _saved(path)
    rewrite(path, "0", write)
    with pytest.raises(ValueError, match=f"training_state.h5: .*{words}"):
        restore_state(model, path, 3, stage)


def test_a_shape_beyond_the_models_is_refused_before_it_is_read(tmp_path):
    """A few kilobytes that declare 16 TiB."""
    path = tmp_path / "training_state.h5"
    model, stage = _saved(path)
    rewrite(path, "0", lambda group, name: group.create_dataset(name, (2**20, 2**21), "i8", chunks=(2**10, 2**10)))
    with pytest.raises(ValueError, match="training_state.h5: .*but the file has int64"):
        restore_state(model, path, 3, stage)
