"""Files in the layout of Keras, as written by keras.callbacks.ModelCheckpoint in either mode, are loaded in both modes."""
import numpy as np
import pytest

from tests.training.small import small_model, weights_of


@pytest.fixture(scope="module", params=["training", "inference"])
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = small_model(request.param, folder, SEED=5)
    if request.param == "training":
        model.compile(0.01, 0.9)
    model.keras_model.save_weights(folder / "best.weights.h5")
    return str(folder / "best.weights.h5"), weights_of(model.keras_model)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_file_of_either_mode_is_loaded_in_both(saved, tmp_path, mode):
    path, expected = saved
    # settings that commonly differ between training and detection
    model = small_model(mode, tmp_path, SEED=6, IMAGES_PER_GPU=1, DETECTION_MIN_CONFIDENCE=0.5)
    report = model.load_weights(path)
    assert not report.missing and not report.unused and len(report.matched) == len(expected)
    assert model.keras_model.unloaded_layers == ()
    found = weights_of(model.keras_model)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_layers_can_be_excluded(saved, tmp_path):
    model = small_model("inference", tmp_path, SEED=6)
    before = weights_of(model.keras_model, "mrcnn_mask")
    assert model.load_weights(saved[0], exclude=["mrcnn_mask"]).excluded == ["mrcnn_mask/kernel", "mrcnn_mask/bias"]
    for name, value in weights_of(model.keras_model, "mrcnn_mask").items():
        np.testing.assert_array_equal(value, before[name])


def test_missing_file_is_reported_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.weights.h5"):
        small_model("inference", tmp_path).load_weights(str(tmp_path / "gone.weights.h5"))
