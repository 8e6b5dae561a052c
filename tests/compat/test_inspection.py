"""Outputs of an inference model that the classic inspection notebooks read, in the shapes that they index."""
import numpy as np
import pytest
from matplotlib import pyplot as plt

import mrcnn.model as modellib
from mrcnn import utils, visualize
from tests.training.small import shapes, small_config, small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model("inference", tmp_path_factory.mktemp("logs"))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def image():
    return shapes(1).load_image(0)


def test_anchors_are_available_before_and_after_detection(model, image):
    assert model.anchors.shape == (3 * (16**2 + 8**2 + 4**2 + 2**2 + 1), 4)
    model.detect([image])
    match, _ = modellib.build_rpn_targets(image.shape, model.anchors, np.array([1]), np.array([[8, 8, 40, 40]]),
                                          model.config)
    assert match.shape == (len(model.anchors),) and (match == 1).any()


def test_steps_of_the_proposal_layer(model, image, capsys):
    pillar = model.keras_model.get_layer("ROI").output
    nms_node = model.ancestor(pillar, "ROI/rpn_non_max_suppression:0")
    rpn = model.run_graph([image], [
        ("rpn_class", model.keras_model.get_layer("rpn_class").output),
        ("pre_nms_anchors", model.ancestor(pillar, "ROI/pre_nms_anchors:0")),
        ("refined_anchors_clipped", model.ancestor(pillar, "ROI/refined_anchors_clipped:0")),
        ("post_nms_anchor_ix", nms_node),
        ("proposals", model.keras_model.get_layer("ROI").output)])  # fmt: skip
    assert "post_nms_anchor_ix" in capsys.readouterr().out  # each output is printed
    order = np.argsort(rpn["rpn_class"][:, :, 1].flatten())[::-1]
    assert model.anchors[order[:10]].shape == (10, 4)
    clipped = rpn["refined_anchors_clipped"][0]
    ixs = rpn["post_nms_anchor_ix"]
    assert ixs.ndim == 1 and 0 < len(ixs) <= 20
    np.testing.assert_allclose(clipped[ixs], rpn["proposals"][0][: len(ixs)], atol=1e-6)
    assert not rpn["proposals"][0][len(ixs) :].any()
    visualize.draw_boxes(image, refined_boxes=utils.denorm_boxes(clipped, image.shape[:2])[ixs[:5]])


ROI_NODES = ("pre_nms_anchors", "refined_anchors", "refined_anchors_clipped", "rpn_non_max_suppression",
             "rpn_non_max_suppression/NonMaxSuppressionV2", "rpn_non_max_suppression/NonMaxSuppressionV3")  # fmt: skip
LAYERS = ("input_image", "input_image_meta", "input_anchors", "ROI", "rpn_class", "rpn_bbox", "mrcnn_class",
          "mrcnn_bbox", "mrcnn_detection", "mrcnn_mask", "roi_align_classifier", "roi_align_mask",
          "fpn_p2", "fpn_p3", "fpn_p4", "fpn_p5", "fpn_p6")  # fmt: skip


def test_every_node_of_the_classic_notebooks_can_be_run_in_one_call(model, image):
    get, pillar = model.keras_model.get_layer, model.keras_model.get_layer("ROI").output
    nodes = [(name, model.ancestor(pillar, f"ROI/{name}:0")) for name in ROI_NODES]
    layers = [(name, get(name).output) for name in LAYERS]
    outputs = model.run_graph([image], nodes + layers)
    assert list(outputs) == [*ROI_NODES, *LAYERS]
    for name in LAYERS:
        assert outputs[name].shape[0] == 1, name
    assert outputs["ROI"].shape == (1, 20, 4) and outputs["rpn_class"].shape == (1, 1023, 2)
    for name in ROI_NODES[:3]:
        assert outputs[name].shape == (1, 100, 4)
    for name in ROI_NODES[4:]:
        np.testing.assert_array_equal(outputs[name], outputs["rpn_non_max_suppression"])
    assert model.ancestor(pillar, "ROI/no_such_node:0") is None
    assert [layer.name for layer in model.keras_model.get_layer("rpn_model").layers if layer.name.startswith("rpn_")] == [
        "rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred", "rpn_class_xxx"]


def test_classic_script_follows_a_detection_from_anchors_to_masks(model, image, capsys):
    """Makes the calls of the classic notebook in order, and draws its figures."""
    result = model.detect([image], verbose=1)[0]
    names = ["BG", "square", "circle", "triangle"]
    visualize.display_instances(image, result["rois"], result["masks"], result["class_ids"], names, result["scores"])
    pillar, get = model.keras_model.get_layer("ROI").output, model.keras_model.get_layer
    rpn = model.run_graph([image], [("rpn_class", get("rpn_class").output),
                                    ("pre_nms_anchors", model.ancestor(pillar, "ROI/pre_nms_anchors:0")),
                                    ("refined_anchors", model.ancestor(pillar, "ROI/refined_anchors:0")),
                                    ("proposals", pillar)])  # fmt: skip
    best = np.argsort(rpn["rpn_class"][:, :, 1].flatten())[::-1]
    visualize.draw_boxes(image, boxes=model.anchors[best[:20]])
    before, after = (utils.denorm_boxes(rpn[name][0, :5], image.shape[:2]) for name in ("pre_nms_anchors", "refined_anchors"))
    visualize.draw_boxes(image, boxes=before, refined_boxes=after)
    head = model.run_graph([image], [("proposals", pillar), ("probs", get("mrcnn_class").output),
                                     ("deltas", get("mrcnn_bbox").output), ("masks", get("mrcnn_mask").output),
                                     ("detections", get("mrcnn_detection").output)])  # fmt: skip
    class_ids = np.argmax(head["probs"][0], axis=1)
    rows = np.arange(len(class_ids))
    proposals = utils.denorm_boxes(head["proposals"][0], image.shape[:2])
    refined = utils.apply_box_deltas(proposals, head["deltas"][0, rows, class_ids] * model.config.BBOX_STD_DEV)
    visualize.draw_boxes(image, boxes=proposals[:5], refined_boxes=refined[:5], visibilities=[2, 1, 0, 2, 1],
                         captions=[f"{names[c]}" for c in class_ids[:5]], title="ROIs")  # fmt: skip
    count = np.count_nonzero(head["detections"][0, :, 4])
    kept = head["detections"][0, :count, 4].astype(np.int32)
    small = np.array([head["masks"][0, ix, :, :, c] for ix, c in enumerate(kept)])
    pasted = [utils.unmold_mask(mask, box, image.shape) for mask, box in zip(small, result["rois"])]
    visualize.display_images(np.transpose(small, [0, 1, 2]) * 255, cmap="Blues", interpolation="none")
    visualize.display_images(pasted, cmap="Blues", interpolation="none")
    visualize.display_weight_stats(model)
    printed = capsys.readouterr().out
    assert "Processing 1 images" in printed and "fpn_p2/kernel" in printed and len(pasted) == len(result["rois"]) == count


def test_mask_of_each_detection_is_indexed_by_its_class(model, image):
    layers = model.keras_model.get_layer
    outputs = model.run_graph([image], [
        ("detections", layers("mrcnn_detection").output), ("masks", layers("mrcnn_mask").output),
        ("probs", layers("mrcnn_class").output), ("deltas", layers("mrcnn_bbox").output)])  # fmt: skip
    class_ids = outputs["detections"][0, :, 4].astype(np.int32)
    masks = np.array([outputs["masks"][0, i, :, :, c] for i, c in enumerate(class_ids)])
    assert masks.shape == (5, 28, 28)
    assert outputs["probs"].shape == (1, 20, 4) and outputs["deltas"].shape == (1, 20, 4, 4)


def test_training_model_cannot_be_inspected(tmp_path):
    model = small_model("training", tmp_path)
    for name in ("rpn_class_logits", "proposal_targets"):  # only in training models, as in the classic code
        assert model.keras_model.get_layer(name).output is not None
    with pytest.raises(ValueError, match='mode "inference"'):
        model.run_graph([np.zeros((64, 64, 3), np.uint8)], [("ROI", model.keras_model.get_layer("ROI").output)])


def test_training_and_inference_models_have_the_same_mask_kernel(tmp_path):
    config = small_config()
    kernels = [modellib.MaskRCNN(mode, config, str(tmp_path)).keras_model.get_layer("mrcnn_mask").kernel
               for mode in ("training", "inference")]
    assert [tuple(k.shape) for k in kernels] == [(1, 1, 16, 4)] * 2
