"""The stages of detection agree with the result of `detect` and with each other."""
import numpy as np
import pytest

from mrcnn.training.inspection import OUTCOMES, _outcomes, inference_stages, layer_activations
from tests.training.small import small_config, small_model

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 80, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = small_model("inference", tmp_path_factory.mktemp("logs"), RPN_NMS_THRESHOLD=0.5)
    # random weights give many anchors a score of 1, and each backend orders equal scores differently
    scores = model.keras_model.get_layer("rpn_model").get_layer("rpn_class_raw")
    scores.set_weights([scores.get_weights()[0] / 100, scores.get_weights()[1]])
    return model


@pytest.fixture(scope="module")
def stages(model):
    return inference_stages(model, IMAGE)


def test_last_stage_equals_detect(model, stages):
    detected = model.detect([IMAGE])[0]
    assert len(detected["rois"]) >= 1
    for name, value in detected.items():
        np.testing.assert_array_equal(stages.detections[name], value)
    assert stages.mask_probs.shape == (len(detected["rois"]), 28, 28)


def test_anchors_are_in_image_pixels(model, stages):
    """The 48 x 80 image is scaled by 0.8 and placed at row 13 of 64 x 64 pixels, with a height of 38 rows."""
    pixels = model.get_anchors((64, 64, 3)) * 63 + [0, 0, 1, 1]
    expected = (pixels - [13, 0, 13, 0]) / 0.8
    assert stages.anchors.shape == (1023, 4) and sum(stages.level_counts) == 1023
    # only the small anchors: the height of 38.4 pixels is rounded to 38, which matters for large ones
    np.testing.assert_allclose(stages.anchors[:768], expected[:768], atol=1)


def test_each_stage_agrees_with_the_previous_one(stages):
    order = np.argsort(-stages.rpn_scores, kind="stable")[:100]
    np.testing.assert_allclose(stages.top_scores, stages.rpn_scores[order], atol=1e-6)
    np.testing.assert_allclose(np.sort(stages.top_anchors, axis=0), np.sort(stages.anchors[order], axis=0), atol=1e-2)
    inside = np.clip(stages.refined_anchors, stages.clipped_anchors.min(), stages.clipped_anchors.max())
    assert stages.refined_anchors.shape == (100, 4) and np.abs(inside - stages.clipped_anchors).max() < 100
    np.testing.assert_allclose(stages.clipped_anchors[stages.kept], stages.proposals, atol=1e-2)
    assert 3 < len(stages.proposals) <= 20 and (np.diff(stages.kept) > 0).all()  # by descending score


def test_each_proposal_has_an_outcome(stages):
    count = len(stages.proposals)
    assert len(stages.outcomes) == len(stages.class_ids) == len(stages.refined_proposals) == count
    np.testing.assert_array_equal(stages.class_ids, stages.class_probs.argmax(axis=1))
    assert set(stages.outcomes) <= set(OUTCOMES) and sum(stages.outcome_counts().values()) == count
    background = np.array([outcome == "background" for outcome in stages.outcomes])
    np.testing.assert_array_equal(background, stages.class_ids == 0)
    kept = [ix for ix, outcome in enumerate(stages.outcomes) if outcome == "kept"]
    assert sorted(stages.detected_from) == kept and len(kept) == len(stages.detections["rois"])
    np.testing.assert_allclose(stages.clipped_proposals[stages.detected_from], stages.detections["rois"], atol=0.51)
    np.testing.assert_allclose(stages.scores[stages.detected_from], stages.detections["scores"], atol=1e-6)
    for ix in np.flatnonzero(stages.suppressed_by >= 0):
        rival = stages.suppressed_by[ix]
        assert stages.outcomes[ix] == "suppressed" and stages.class_ids[rival] == stages.class_ids[ix]
        assert stages.scores[rival] >= stages.scores[ix]


def test_outcomes_by_hand():
    """In order: kept, suppressed by the first, different class, background, low score, no area, beyond the limit."""
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 1, 0.9], [0, 0, 1, 1], [0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 0.1, 0.1]])
    stages = {"clipped": boxes, "class_ids": np.array([1, 1, 2, 0, 1, 3, 3]), "kept": np.array([0, 2, 5, 0]),
              "scores": np.array([0.9, 0.8, 0.8, 0.9, 0.1, 0.7, 0.6]), "is_kept": np.array([True, True, True, False]),
              "candidates": np.array([True, True, True, False, False, True, True])}
    outcomes, suppressed_by = _outcomes(stages, 7, np.array([0, 1]), small_config(DETECTION_NMS_THRESHOLD=0.3))
    assert outcomes == ["kept", "suppressed", "kept", "background", "low score", "no area", "beyond the limit"]
    assert suppressed_by.tolist() == [-1, 0, -1, -1, -1, -1, -1]


def test_stages_of_a_grey_image(model):
    assert inference_stages(model, IMAGE[:, :, 0]).image.shape == (48, 80)


def test_activations_by_layer_name(model):
    found = layer_activations(model, IMAGE, ["res3a_out", "rpn_conv_shared"])
    assert list(found) == ["res3a_out", *(f"rpn_conv_shared/fpn_p{level}" for level in range(2, 7))]
    assert found["res3a_out"].shape == (8, 8, 12) and found["res3a_out"].any()
    assert [found[f"rpn_conv_shared/fpn_p{level}"].shape[0] for level in range(2, 7)] == [16, 8, 4, 2, 1]
    with pytest.raises(ValueError, match="no layer 'res3a_ou': did you mean res3a_out"):
        layer_activations(model, IMAGE, ["res3a_ou"])


def test_activations_in_training_mode_equal_those_in_inference_mode(model, tmp_path):
    training = small_model("training", tmp_path, RPN_NMS_THRESHOLD=0.5)
    model.save_weights(tmp_path / "w.h5")
    training.load_weights(tmp_path / "w.h5")
    # layers of the backbone, RPN, box head and mask head; in training, the last three run on different ROIs
    names = ["res3a_out", "rpn_conv_shared", "ROI", "mrcnn_class_conv1", "mrcnn_mask_conv4", "mrcnn_mask"]
    ours, theirs = (layer_activations(each, IMAGE, names) for each in (training, model))
    assert list(ours) == list(theirs) and len(ours) == 10
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)
        assert value.any()
