"""Images of a size that does not fit the network or its anchors are an error."""
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.inference.mold import fit_inputs
from mrcnn.inference.unmold import paste_detections
from mrcnn.training.settings import make_loader
from tests.training.small import shapes, small_config, small_model


def test_detection_without_resizing_accepts_multiples_of_64(tmp_path):
    model = small_model("inference", tmp_path, IMAGE_RESIZE_MODE="none")
    assert len(model.detect([np.zeros((64, 128, 3), np.uint8)])) == 1
    with pytest.raises(ValueError, match="100 x 90 pixels.*multiples of 64"):
        model.detect([np.zeros((100, 90, 3), np.uint8)])


def _set_random_weights(network):
    """Set weights that are the same on every backend: Glorot's uniform distribution for those of convolutions and products."""
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        if len(variable.shape) > 1:
            limit = np.sqrt(6 / (np.prod(variable.shape[:-2]) * sum(variable.shape[-2:])))
            variable.assign(rng.uniform(-limit, limit, variable.shape))


def test_further_padding_changes_detections_only_near_it(tmp_path):
    """An image of 530 x 70 pixels: pad64 makes it 576 x 128, and detection pads it to 640 x 128."""
    model = small_model("inference", tmp_path, IMAGE_RESIZE_MODE="pad64", DETECTION_MAX_INSTANCES=30, PRE_NMS_LIMIT=3000,
                        POST_NMS_ROIS_INFERENCE=200)
    _set_random_weights(model.keras_model)
    image = shapes(1, 530, 70, seed=3).load_image(0)
    predictor = model.predictor
    found = []
    for padded in (False, True):
        fitted, metas, windows = fit_inputs([image], predictor.mold_settings, padded=padded)
        detections, masks = predictor.run(np.stack(fitted), metas)
        boxes, _, scores, _ = paste_detections(detections[0], masks[0], image.shape, fitted[0].shape, windows[0])
        found.append({tuple(box): score for box, score in zip(boxes.tolist(), scores) if box[2] < 350})
    plain, padded = found
    assert [fitted[0].shape] == [(640, 128, 3)] and len(plain) > 1 and set(plain) == set(padded)
    for box, score in plain.items():
        assert padded[box] == pytest.approx(score, abs=2e-3)


@pytest.mark.parametrize("mode", ["none", "pad64"])
def test_training_rejects_images_that_do_not_fit_the_anchors(mode):
    loader = make_loader(shapes(2, height=64, width=128), small_config(IMAGE_RESIZE_MODE=mode))
    with pytest.raises(DataError, match="64 x 128 pixels.*anchors are for images of 64 x 64.*square"):
        loader[0]


def test_training_without_resizing_on_images_of_the_right_size():
    assert make_loader(shapes(2), small_config(IMAGE_RESIZE_MODE="none"))[0][0].shape == (2, 64, 64, 3)
