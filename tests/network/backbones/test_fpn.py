"""The feature pyramid of a backbone."""
import keras
import numpy as np

from mrcnn.network.backbones.fpn import build_pyramid

CHANNELS = (3, 4, 5, 6)


def _model(height=16, width=24):
    maps = [keras.Input((height >> i, width >> i, c)) for i, c in enumerate(CHANNELS)]
    return keras.Model(maps, build_pyramid(maps, 2))


def test_levels_and_names():
    model = _model()
    assert [tuple(p.shape[1:]) for p in model.outputs] == [(16, 24, 2), (8, 12, 2), (4, 6, 2), (2, 3, 2), (1, 2, 2)]
    assert {layer.name for layer in model.layers if layer.weights} == {
        *(f"fpn_c{n}p{n}" for n in (2, 3, 4, 5)), *(f"fpn_p{n}" for n in (2, 3, 4, 5))}  # fmt: skip
    assert model.get_layer("fpn_p6").output.shape[1:3] == (1, 2)


def test_each_level_is_its_map_plus_all_higher_levels():
    """If laterals sum the channels of their map and smoothing is the identity, the pyramid can be computed by hand."""
    model = _model(8, 16)
    centre = np.zeros((3, 3, 2, 2))
    centre[1, 1] = np.eye(2)
    for n, channels in zip((2, 3, 4, 5), CHANNELS):
        model.get_layer(f"fpn_c{n}p{n}").set_weights([np.ones((1, 1, channels, 2)), np.zeros(2)])
        model.get_layer(f"fpn_p{n}").set_weights([centre, np.zeros(2)])
    values = (1, 10, 100, 1000)
    maps = [np.full((1, 8 >> i, 16 >> i, c), v / c, np.float32) for i, (c, v) in enumerate(zip(CHANNELS, values))]
    maps[3][0, 0, 1] *= 2  # P5's second column
    p2, p3, p4, p5, p6 = (keras.ops.convert_to_numpy(p)[0, :, :, 0] for p in model(maps))
    np.testing.assert_allclose(p5, [[1000, 2000]], rtol=1e-5)
    np.testing.assert_allclose(p6, [[1000]], rtol=1e-5)  # every other cell of P5
    np.testing.assert_allclose(p4, [[1100, 1100, 2100, 2100]] * 2, rtol=1e-5)  # nearest neighbours
    np.testing.assert_allclose(p3[:, [0, 3, 4, 7]], [[1110, 1110, 2110, 2110]] * 4, rtol=1e-5)
    np.testing.assert_allclose(p2[:, [0, 7, 8, 15]], [[1111, 1111, 2111, 2111]] * 8, rtol=1e-5)
