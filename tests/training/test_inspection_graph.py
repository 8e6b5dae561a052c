"""run_graph with outputs of layers, and with the stages of the proposal layer by their classic names."""
import keras
import numpy as np
import pytest

from mrcnn.training.inspection import log
from tests.training.small import small_model

IMAGES = [np.random.default_rng(i).integers(0, 256, (48, 64, 3)).astype(np.uint8) for i in range(2)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = small_model("inference", tmp_path_factory.mktemp("logs"), RPN_NMS_THRESHOLD=0.5)
    # random weights give many anchors a score of 1, and each backend orders equal scores differently
    scores = model.keras_model.get_layer("rpn_model").get_layer("rpn_class_raw")
    scores.set_weights([scores.get_weights()[0] / 100, scores.get_weights()[1]])
    return model


def _roi(model, name):
    return model.ancestor(model.keras_model.get_layer("ROI").output, name)


def test_outputs_of_layers_equal_those_of_the_model(model):
    keras_model = model.keras_model
    found = model.run_graph(IMAGES, [("detections", keras_model.get_layer("mrcnn_detection").output),
                                     ("rpn_class", keras_model.get_layer("rpn_class").output),
                                     ("p2", keras_model.get_layer("fpn_p2").output)])
    assert list(found) == ["detections", "rpn_class", "p2"] and found["p2"].shape == (2, 16, 16, 16)
    molded, metas, _ = model.mold_inputs(IMAGES)
    outputs = model.full_predictor.run(molded, metas)
    np.testing.assert_allclose(found["rpn_class"], outputs[5], atol=1e-5)
    np.testing.assert_allclose(found["detections"][..., 5], outputs[0][..., 5], atol=1e-4)


def test_run_graph_with_a_single_output(model):
    found = model.run_graph(IMAGES[:1], [("mask", model.keras_model.get_layer("fpn_p6").output)])
    assert found["mask"].shape == (1, 1, 1, 16)


def test_proposal_stages_are_consistent(model):
    found = model.run_graph(IMAGES, [
        ("anchors", _roi(model, "ROI/pre_nms_anchors:0")), ("refined", _roi(model, "ROI/refined_anchors:0")),
        ("clipped", _roi(model, "ROI/refined_anchors_clipped:0")),
        ("kept", _roi(model, "ROI/rpn_non_max_suppression:0")),
        ("proposals", model.keras_model.get_layer("ROI").output),
        ("scores", model.keras_model.get_layer("rpn_class").output)])
    assert found["anchors"].shape == (2, 100, 4)
    np.testing.assert_allclose(found["clipped"], np.clip(found["refined"], 0, 1), atol=1e-6)
    anchors = model.get_anchors((64, 64, 3))
    for image in range(2):
        best = np.argsort(-found["scores"][image, :, 1], kind="stable")[:100]
        np.testing.assert_allclose(np.sort(found["anchors"][image], axis=0), np.sort(anchors[best], axis=0), atol=1e-4)
        proposals = found["proposals"][image]
        count = (proposals != 0).any(axis=1).sum()
        assert count > 3
        if image == 0:  # the classic node has the indices of a single image
            np.testing.assert_allclose(found["clipped"][0][found["kept"]][:count], proposals[:count], atol=1e-5)
            assert len(found["kept"]) == count


@pytest.mark.parametrize("suffix", ["", "/NonMaxSuppressionV2", "/NonMaxSuppressionV3"])
def test_non_max_suppression_has_three_names(model, suffix):
    assert _roi(model, f"ROI/rpn_non_max_suppression{suffix}:0") == _roi(model, "ROI/rpn_non_max_suppression:0")
    assert _roi(model, "ROI/rpn_non_max_suppression:0") is not None


def test_layers_are_found_by_their_names(model):
    assert _roi(model, "fpn_p3") is model.keras_model.get_layer("fpn_p3").output
    assert _roi(model, "res4a_out/Relu:0") is model.keras_model.get_layer("res4a_out").output
    for unknown in ("nothing", "ROI/nothing:0", "nothing/Relu:0"):
        assert _roi(model, unknown) is None


def test_layer_of_a_nested_model_is_run_on_each_level(model):
    rpn = model.keras_model.get_layer("rpn_model")
    assert _roi(model, "rpn_conv_shared/Relu:0") is rpn.get_layer("rpn_conv_shared").output
    found = model.run_graph(IMAGES, [("shared", rpn.get_layer("rpn_conv_shared").output),
                                     ("deltas", rpn.get_layer("rpn_bbox_pred").output),
                                     ("all", model.keras_model.get_layer("rpn_bbox").output)])
    assert [key for key in found if key.startswith("shared")] == [f"shared/fpn_p{n}" for n in range(2, 7)]
    assert found["shared/fpn_p3"].shape == (2, 8, 8, 16) and (found["shared/fpn_p3"] >= 0).all()
    levels = [found[f"deltas/fpn_p{n}"].reshape(2, -1, 4) for n in range(2, 7)]
    np.testing.assert_allclose(np.concatenate(levels, axis=1), found["all"], atol=1e-5)


def test_unknown_output_is_reported_by_name(model):
    with pytest.raises(ValueError, match="'lost' is None"):
        model.run_graph(IMAGES, [("lost", _roi(model, "nothing"))])


def test_run_graph_with_molded_images_and_metas(model):
    molded, metas, _ = model.mold_inputs(IMAGES)
    outputs = [("p5", model.keras_model.get_layer("fpn_p5").output)]
    np.testing.assert_allclose(model.run_graph(molded, outputs, image_metas=metas)["p5"],
                               model.run_graph(IMAGES, outputs)["p5"], atol=1e-5)


def test_values_are_numpy_arrays(model):
    found = model.run_graph(IMAGES, [("kept", _roi(model, "ROI/rpn_non_max_suppression:0")),
                                     ("p6", model.keras_model.get_layer("fpn_p6").output)])
    assert all(isinstance(value, np.ndarray) for value in found.values())
    assert keras.backend.standardize_dtype(found["kept"].dtype) == "int32"


def test_log_prints_shape_range_and_dtype(capsys):
    log("image", np.array([[0, 255, 3]], np.uint8))
    log("nothing", np.zeros((0, 4), np.float32))
    log("text only")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "image                    shape: (1, 3)                min:    0.00000  max:  255.00000  uint8"
    assert lines[1].split() == ["nothing", "shape:", "(0,", "4)", "min:", "max:", "float32"]
    assert lines[2] == "text only"
