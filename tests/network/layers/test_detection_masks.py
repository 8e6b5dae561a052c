"""Masks of the valid detections."""
import keras
import numpy as np
import pytest

from mrcnn.geometry.meta import compose_image_meta
from mrcnn.inference.unmold import masks_of_class
from mrcnn.network.heads.mask import MaskHead
from mrcnn.network.layers.detection import CHUNK, DetectionMasks
from mrcnn.network.layers.norms import Norm
from mrcnn.network.layers.pyramid_roi_align import PyramidROIAlign
from tests.network.layers.check import assert_round_trip, run

ROWS, CLASSES, DEPTH = 2 * CHUNK + 5, 4, 3


@pytest.fixture(scope="module")
def parts():
    """The layer, and a model of the whole head on all rows with the same weights."""
    head = MaskHead(CLASSES, norm=Norm(train_bn=False), channels=6)
    align = PyramidROIAlign((4, 4))
    features, class_ids = keras.Input((CHUNK, 4, 4, DEPTH)), keras.Input((CHUNK,), dtype="int32")
    mask_model = keras.Model([features, class_ids], head(features, class_ids))
    inputs = [keras.Input((ROWS, 6)), keras.Input((12 + CLASSES,)), *(keras.Input((s, s, DEPTH)) for s in (16, 8, 4, 2))]
    whole = keras.Model(inputs, head(align([inputs[0][:, :, :4], *inputs[1:]])))
    rng = np.random.default_rng(0)
    whole.set_weights([rng.normal(0, 0.2, w.shape).astype(np.float32) ** (2 if "variance" in w.path else 1)
                       for w in whole.weights])  # fmt: skip
    return DetectionMasks(align, mask_model, name="masks"), whole


def _inputs(*counts):
    """Return detections, with the given count for each image, image metas and a pyramid of noise."""
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 0.5, (len(counts), ROWS, 2))
    detections = np.concatenate([corners, corners + rng.uniform(0.1, 0.5, corners.shape),
                                 rng.integers(1, CLASSES, (*corners.shape[:2], 1)), rng.random((*corners.shape[:2], 1))], 2)
    for rows, count in zip(detections, counts):
        rows[count:] = 0
    meta = compose_image_meta(0, (64, 64, 3), (64, 64, 3), (0, 0, 64, 64), 1.0, np.ones(CLASSES, np.int32))
    pyramid = [rng.normal(size=(len(counts), s, s, DEPTH)).astype(np.float32) for s in (16, 8, 4, 2)]
    return [detections.astype(np.float32), np.tile(meta, (len(counts), 1)).astype(np.float32), *pyramid]


@pytest.mark.parametrize("counts", [(1,), (CHUNK, CHUNK + 1), (3, ROWS), (0, 2)])
def test_masks_equal_those_of_the_whole_head(parts, counts):
    layer, whole = parts
    inputs = _inputs(*counts)
    masks, expected = run(layer, inputs), masks_of_class(inputs[0], whole.predict_on_batch(inputs))
    assert masks.shape == (len(counts), ROWS, 8, 8) and masks.dtype == np.float32
    for image, count in enumerate(counts):
        np.testing.assert_allclose(masks[image, :count], expected[image, :count], atol=1e-5)


def test_rows_after_the_last_needed_chunk_are_not_computed(parts):
    masks = run(parts[0], _inputs(0, 2))
    assert masks[:, :CHUNK].all() and not masks[:, CHUNK:].any()
    assert not run(parts[0], _inputs(0, 0)).any()


def test_layer_in_a_compiled_graph(parts):
    layer, _ = parts
    inputs = _inputs(2, CHUNK + 3)
    spec = [keras.Input(array.shape[1:]) for array in inputs]
    model = keras.Model(spec, layer(spec))
    assert model.output_shape == (None, ROWS, 8, 8)
    model.compile(jit_compile=False if keras.backend.backend() == "torch" else "auto")
    np.testing.assert_allclose(model.predict_on_batch(inputs), run(layer, inputs), atol=1e-5)


def test_layer_survives_its_configuration(parts):
    assert_round_trip(parts[0])
