"""Files in the layout of Keras (.weights.h5), in which layers are matched by the stored names."""
import h5py
import keras
import numpy as np
import pytest

from mrcnn.weights import classic_h5
from mrcnn.weights.tensors import WeightsError
from tests.weights.small import same_values, small_model, values_of


def _reordered(seed):
    """Return a model with the layers of `small_model` in a different order, and with additional layers."""
    model = small_model(seed=seed)
    image = keras.layers.Input((8, 12, 3))
    extra = keras.layers.Conv2D(5, 1, name="extra")(image)
    for _ in range(4):  # Keras orders layers by their distance from the outputs
        extra = keras.layers.Activation("relu")(extra)
    x = model.get_layer("bn_conv1")(model.get_layer("conv1")(image))
    raw = model.get_layer("rpn_model")(x)
    logits = model.get_layer("mrcnn_class_logits")(keras.layers.Flatten()(x))
    return keras.Model(image, [extra, logits, raw])


@pytest.mark.parametrize("by_name", [True, False])
def test_tensors_are_matched_by_the_names_of_their_layers(tmp_path, by_name):
    source, target = small_model(seed=1), small_model(seed=2)
    source.save_weights(tmp_path / "w.weights.h5")
    report = classic_h5.load(target, tmp_path / "w.weights.h5", by_name=by_name)
    assert same_values(source, target)
    assert len(report.matched) == 12 and not report.missing and not report.unused
    assert report.matched[4:8] == ["bn_conv1/moving_mean", "bn_conv1/moving_variance", "rpn_conv_shared/kernel",
                                   "rpn_conv_shared/bias"]  # fmt: skip


def test_position_of_a_layer_in_the_model_is_irrelevant(tmp_path):
    source, target = _reordered(seed=1), small_model(seed=2)
    source.save_weights(tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.weights.h5") as file:  # Keras counts convolutions, so here conv2d is "extra"
        assert file["layers/conv2d/vars"].attrs["name"] == "extra"
    report = classic_h5.load(target, tmp_path / "w.weights.h5")
    assert len(report.matched) == 12 and report.unused == ["extra/0", "extra/1"]
    assert same_values(target, small_model(seed=1))


def test_file_with_a_part_of_the_model_requires_by_name(tmp_path):
    small_model(seed=1).save_weights(tmp_path / "w.weights.h5")
    target = _reordered(seed=2)
    before = values_of(target)
    with pytest.raises(WeightsError, match="no weights for 1 layer .extra.; .*by_name=True"):
        classic_h5.load(target, tmp_path / "w.weights.h5", by_name=False)
    for (_, was), (_, now) in zip(before, values_of(target), strict=True):
        np.testing.assert_array_equal(was, now)
    assert classic_h5.load(target, tmp_path / "w.weights.h5").missing == ["extra/kernel", "extra/bias"]


def test_heads_with_a_different_class_count_are_excluded(tmp_path):
    small_model(classes=81, seed=1).save_weights(tmp_path / "w.weights.h5")
    target = small_model(classes=5, seed=2)
    with pytest.raises(WeightsError, match=r"\(96, 81\) in the file, \(96, 5\) in the model"):
        classic_h5.load(target, tmp_path / "w.weights.h5")
    report = classic_h5.load(target, tmp_path / "w.weights.h5", exclude=["mrcnn_class_logits"])
    assert len(report.matched) == 10 and len(report.excluded) == 2
    report = classic_h5.load(target, tmp_path / "w.weights.h5", skip_mismatch=True)
    assert len(report.matched) == 10 and report.unloaded_layers() == ["mrcnn_class_logits"]


def test_composite_layer_and_the_state_of_an_optimizer(tmp_path):
    def attention(seed):
        keras.utils.set_random_seed(seed)
        tokens = keras.layers.Input((4, 6))
        model = keras.Model(tokens, keras.layers.MultiHeadAttention(2, 3, name="mixer")(tokens, tokens))
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    source, target = attention(1), attention(2)
    source.save_weights(tmp_path / "w.weights.h5")
    report = classic_h5.load(target, tmp_path / "w.weights.h5", by_name=False)
    assert len(report.matched) == 8 and not report.unused
    assert same_values(source, target)


def test_bfloat16_weights(tmp_path):
    image = keras.layers.Input((4, 4, 1))

    def model():
        return keras.Model(image, keras.layers.Conv2D(2, 1, dtype="bfloat16", name="conv1")(image))

    source, target = model(), model()
    source.get_layer("conv1").kernel.assign([[[[1.5, -3.0]]]])
    source.save_weights(tmp_path / "w.weights.h5")
    assert len(classic_h5.load(target, tmp_path / "w.weights.h5").matched) == 2
    kernel = keras.ops.convert_to_numpy(keras.ops.cast(target.get_layer("conv1").kernel, "float32"))
    assert kernel.ravel().tolist() == [1.5, -3.0]
