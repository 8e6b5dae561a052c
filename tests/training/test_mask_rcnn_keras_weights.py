"""Weights that keras.callbacks.ModelCheckpoint saved in training load in both modes."""
import numpy as np
import pytest

from tests.training.small import small_model, weights_of


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    folder = tmp_path_factory.mktemp("best")
    model = small_model("training", folder, SEED=5)
    model.compile(0.01, 0.9)
    model.keras_model.save_weights(folder / "best.weights.h5")
    return str(folder / "best.weights.h5"), weights_of(model.keras_model)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_keras_weights_of_training_load_in_both_modes(best, tmp_path, mode):
    path, expected = best
    # what differs between training and detection in a user's two configurations does not matter
    model = small_model(mode, tmp_path, SEED=6, IMAGES_PER_GPU=1, DETECTION_MIN_CONFIDENCE=0.5)
    assert model.load_weights(path, by_name=True) is None
    assert model.keras_model.unloaded_layers == ()
    found = weights_of(model.keras_model)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_layers_cannot_be_excluded_from_them(best, tmp_path):
    with pytest.raises(ValueError, match="classic layout"):
        small_model("inference", tmp_path).load_weights(best[0], exclude=["mrcnn_mask"])


def test_a_missing_file_raises_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.weights.h5"):
        small_model("inference", tmp_path).load_weights(str(tmp_path / "gone.weights.h5"))
