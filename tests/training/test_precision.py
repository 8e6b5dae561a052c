"""PRECISION: what the layers compute with, in training and in every model for detection, and the option of the commands."""
import argparse

import keras
import numpy as np
import pytest

from mrcnn.cli import options
from mrcnn.config import ConfigError
from tests.training.small import batch_of, small_config, small_model, to_numpy


def _policies(model):
    conv = model.get_layer("res5a")
    return conv.compute_dtype, conv.kernel.dtype


@pytest.mark.parametrize(("precision", "expected"), [("float32", "float32"), ("mixed_bfloat16", "bfloat16"),
                                                     ("mixed_float16", "float16")])  # fmt: skip
def test_layers_compute_in_the_precision_and_keras_policy_stays(tmp_path, precision, expected):
    before = keras.config.dtype_policy()
    model = small_model("inference", tmp_path, PRECISION=precision)
    assert _policies(model.keras_model) == (expected, "float32")
    assert keras.config.dtype_policy() == before
    masks = next(layer for layer in model.predictor.model.layers if layer.name == "detection_masks")
    assert masks.dtype_policy.name == precision, "layers that are created later have it too"
    assert keras.config.dtype_policy() == before


def test_none_is_the_policy_of_keras(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert _policies(small_model("training", tmp_path).keras_model) == ("bfloat16", "float32")
        assert _policies(small_model("training", tmp_path, PRECISION="float32").keras_model) == ("float32", "float32")
    finally:
        keras.config.set_dtype_policy(before)


def test_detection_is_nearly_the_same(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    full, mixed = (small_model("inference", tmp_path, PRECISION=name, SEED=5) for name in ("float32", "mixed_bfloat16"))
    mixed.keras_model.set_weights(full.keras_model.get_weights())
    outputs = [model.full_predictor.run(*model.mold_inputs([image])[:2]) for model in (full, mixed)]
    for ours, expected in zip(outputs[1][-2:], outputs[0][-2:], strict=True):  # rpn_class, rpn_bbox
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, atol=0.05)
        assert np.abs(ours - expected).max() > 0, "16 bits were used"


def test_float16_scales_the_loss(tmp_path):
    model = small_model("training", tmp_path, PRECISION="mixed_float16", GT_BOXES_AS_ROIS=True)
    model.set_trainable("all", verbose=0)
    model.compile(0.01, 0.9)
    assert isinstance(model.keras_model.optimizer, keras.optimizers.LossScaleOptimizer)
    model.keras_model.optimizer.dynamic_scale.assign(16.0)  # 2 ** 15 at first, which most steps of a run halve a few times
    kernel = model.keras_model.get_layer("rpn_model").get_layer("rpn_class_raw").kernel
    before = to_numpy(kernel.value)
    loss = model.keras_model.train_on_batch(batch_of(model.config), return_dict=True)["loss"]
    assert np.isfinite(loss) and np.abs(to_numpy(kernel.value) - before).max() > 0
    assert kernel.dtype == "float32"


def test_a_change_needs_another_model(tmp_path):
    model = small_model("inference", tmp_path)
    model.config.PRECISION = "mixed_bfloat16"
    with pytest.raises(ConfigError, match="PRECISION was None when the model was built, and is 'mixed_bfloat16' now"):
        model.predictor  # noqa: B018


def test_unknown_precision():
    with pytest.raises(ConfigError, match="PRECISION is 'bfloat16': choose one of float32, mixed_bfloat16, mixed_float16"):
        small_config(PRECISION="bfloat16").validate()


def test_option_of_the_commands():
    parser = argparse.ArgumentParser()
    options.add_precision(options.add_config_arguments(parser))
    words = ["--set", "SEED=7", "PRECISION=float32", "--precision", "mixed_bfloat16"]
    assert options.overrides(parser.parse_args(words)) == {"SEED": 7, "PRECISION": "mixed_bfloat16"}
    assert options.overrides(parser.parse_args(["--set", "SEED=7"])) == {"SEED": 7}
