"""The compact backbone."""
import keras
import numpy as np

from mrcnn.network.backbones.compact import STAGE_CHANNELS, compact_graph


def test_maps_halve_from_stage_to_stage():
    maps = compact_graph(keras.Input((64, 128, 4)), train_bn=None)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (32, 64, STAGE_CHANNELS[0]), *((16 >> i, 32 >> i, c) for i, c in enumerate(STAGE_CHANNELS))]  # fmt: skip
    assert compact_graph(keras.Input((64, 64, 3)), stage5=False)[4] is None


def test_layer_names_match_layer_expressions():
    image = keras.Input((64, 64, 3))
    model = keras.Model(image, compact_graph(image, train_bn=None))
    names = [layer.name for layer in model.layers if layer.weights]
    for stage in "2345":
        assert sum(name.startswith(f"res{stage}") for name in names) == 5  # two blocks of two convolutions, and a shortcut
    assert all(name.startswith(("bn_", "res", "conv1")) for name in names)


def test_statistics_stay_frozen_on_request():
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, compact_graph(image, train_bn=False)[-1])
    x = np.random.default_rng(0).normal(0, 60, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x, training=True)),
                               keras.ops.convert_to_numpy(model(x, training=False)), rtol=1e-4, atol=1e-4)
