"""The suffix of a weight file determines its layout."""
import h5py
import keras
import numpy as np
import pytest

from mrcnn.weights.classic_h5 import ClassicFiles


class ClassicModel(ClassicFiles, keras.Model):
    """A functional model with classic weight files."""


def _model(seed):
    keras.utils.set_random_seed(seed)
    image = keras.Input((4,))
    return ClassicModel(image, keras.layers.Dense(3, name="dense")(image))


def _kernel(model):
    return keras.ops.convert_to_numpy(model.get_layer("dense").kernel)


@pytest.mark.parametrize("name, group", [("last.h5", "dense/dense/kernel:0"), ("last.weights.h5", "layers/dense/vars/0")])
def test_suffix_determines_the_layout(tmp_path, name, group):
    model, other = _model(0), _model(1)
    model.save_weights(tmp_path / name)
    with h5py.File(tmp_path / name) as file:
        np.testing.assert_array_equal(file[group], _kernel(model))
    assert not np.array_equal(_kernel(other), _kernel(model))
    other.load_weights(tmp_path / name)
    np.testing.assert_array_equal(_kernel(other), _kernel(model))


def test_existing_file_is_replaced_only_with_overwrite(tmp_path):
    model, path = _model(0), tmp_path / "last.h5"
    model.save_weights(path)
    with pytest.raises(FileExistsError, match="last.h5 already exists"):
        _model(1).save_weights(path, overwrite=False)
    _model(1).save_weights(path)
    model.load_weights(path, by_name=True)
    np.testing.assert_array_equal(_kernel(model), _kernel(_model(1)))
