"""What the classic inspection notebooks read out of an inference model, in the shapes in which they index it."""
import numpy as np
import pytest

import mrcnn.model as modellib
from mrcnn import utils, visualize
from tests.engine.small import shapes, small_config, small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model("inference", tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def image():
    return shapes(1).load_image(0)


def test_anchors_are_there_before_and_after_detection(model, image):
    assert model.anchors.shape == (3 * (16**2 + 8**2 + 4**2 + 2**2 + 1), 4)
    model.detect([image])
    match, _ = modellib.build_rpn_targets(image.shape, model.anchors, np.array([1]), np.array([[8, 8, 40, 40]]),
                                          model.config)
    assert match.shape == (len(model.anchors),) and (match == 1).any()


def test_the_steps_of_the_proposal_layer(model, image, capsys):
    pillar = model.keras_model.get_layer("ROI").output
    nms_node = model.ancestor(pillar, "ROI/rpn_non_max_suppression:0")
    rpn = model.run_graph([image], [
        ("rpn_class", model.keras_model.get_layer("rpn_class").output),
        ("pre_nms_anchors", model.ancestor(pillar, "ROI/pre_nms_anchors:0")),
        ("refined_anchors_clipped", model.ancestor(pillar, "ROI/refined_anchors_clipped:0")),
        ("post_nms_anchor_ix", nms_node),
        ("proposals", model.keras_model.get_layer("ROI").output)])  # fmt: skip
    assert "post_nms_anchor_ix" in capsys.readouterr().out  # each output is told
    order = np.argsort(rpn["rpn_class"][:, :, 1].flatten())[::-1]
    assert model.anchors[order[:10]].shape == (10, 4)
    clipped = rpn["refined_anchors_clipped"][0]
    ixs = rpn["post_nms_anchor_ix"]
    assert ixs.ndim == 1 and 0 < len(ixs) <= 20
    np.testing.assert_allclose(clipped[ixs], rpn["proposals"][0][: len(ixs)], atol=1e-6)
    assert not rpn["proposals"][0][len(ixs) :].any()
    visualize.draw_boxes(image, refined_boxes=utils.denorm_boxes(clipped, image.shape[:2])[ixs[:5]])


def test_masks_of_each_detection_by_its_class(model, image):
    layers = model.keras_model.get_layer
    found = model.run_graph([image], [
        ("detections", layers("mrcnn_detection").output), ("masks", layers("mrcnn_mask").output),
        ("probs", layers("mrcnn_class").output), ("deltas", layers("mrcnn_bbox").output)])  # fmt: skip
    class_ids = found["detections"][0, :, 4].astype(np.int32)
    masks = np.array([found["masks"][0, i, :, :, c] for i, c in enumerate(class_ids)])
    assert masks.shape == (5, 28, 28)
    assert found["probs"].shape == (1, 20, 4) and found["deltas"].shape == (1, 20, 4, 4)


def test_a_training_model_says_that_it_cannot_be_looked_into(tmp_path):
    model = small_model("training", tmp_path)
    with pytest.raises(ValueError, match='mode "inference"'):
        model.run_graph([np.zeros((64, 64, 3), np.uint8)], [("ROI", model.keras_model.get_layer("ROI").output)])


def test_models_of_one_configuration_differ_in_nothing_but_their_mode(tmp_path):
    config = small_config()
    kernels = [modellib.MaskRCNN(mode, config, str(tmp_path)).keras_model.get_layer("mrcnn_mask").kernel
               for mode in ("training", "inference")]
    assert [tuple(k.shape) for k in kernels] == [(1, 1, 16, 4)] * 2
