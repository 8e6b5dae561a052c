"""State dicts of torchvision, detectron2 and mmdetection: where each tensor goes, and what is refused.

The tensors have the names and shapes that were recorded from the frameworks themselves; detections with them are compared with
the recorded ones in tests/parity.
"""
import importlib.util
import pickle
import re
import warnings

import keras
import numpy as np
import pytest

from mrcnn import recipes
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.weights.convert import load_state_dict, network_of
from mrcnn.weights.tensors import WeightsError
from mrcnn.weights.transfer import ClassNames
from tests.shared_data import shared_path

pytestmark = pytest.mark.tensorflow_only  # arrays are converted; tests/parity runs the networks on every backend

RECORDINGS = {"torchvision": "torchvision_maskrcnn_r50", "torchvision_v2": "torchvision_v2", "detectron2": "detectron2_r50",
              "detectron2_lsj": "detectron2_lsj"}  # fmt: skip
# convolutions and norms of ResNet-50, the pyramid, the RPN, the box head with its outputs, the mask head with its outputs
TENSORS = {
    "torchvision": 53 * 5 + 8 * 2 + 3 * 2 + 4 * 2 + 6 * 2,
    "torchvision_v2": 53 * 5 + 8 * 5 + 4 * 2 + (4 * 5 + 3 * 2) + (4 * 5 + 2 * 2),
    "detectron2": 53 * 5 + 8 * 2 + 3 * 2 + 4 * 2 + 6 * 2,
    "detectron2_lsj": 53 * 5 + 8 * 5 + 4 * 2 + (4 * 5 + 3 * 2) + (4 * 5 + 2 * 2),
}


def _tensors(recipe):
    """Return the recorded state dict of a recipe: 6 classes and the background."""
    spec = importlib.util.spec_from_file_location("modern_weights", shared_path("parity/modern_weights.py"))
    modern = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(modern)
    with np.load(shared_path(f"parity/{RECORDINGS[recipe]}.npz")) as recording:
        return modern.state_dict(recording)


def _model(recipe, folder, classes=7, **settings):
    values = {"NAME": "convert", "NUM_CLASSES": classes, "IMAGES_PER_GPU": 1, "IMAGE_RESIZE_MODE": "square",
              "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "PRE_NMS_LIMIT": 20, "POST_NMS_ROIS_INFERENCE": 10,
              "DETECTION_MAX_INSTANCES": 5, "SEED": 3, **settings}  # fmt: skip
    return MaskRCNN("inference", type("ConvertConfig", (recipes.get(recipe),), values)(), str(folder))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a function that builds the model of a recipe once."""
    built = {}

    def model(recipe):
        if recipe not in built:
            built[recipe] = _model(recipe, tmp_path_factory.mktemp(recipe))
        return built[recipe]

    return model


def _weights(model, layer):
    keras_model = model.keras_model
    if layer.startswith("rpn"):
        keras_model = keras_model.get_layer("rpn_model")
    return [keras.ops.convert_to_numpy(variable) for variable in keras_model.get_layer(layer).weights]


def _equal(model, layer, *values):
    for ours, theirs in zip(_weights(model, layer), values, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _conv(kernel):
    """[out, in, h, w] -> [h, w, in, out]"""
    return np.einsum("oihw->hwio", kernel)


def _norm(tensors, module):
    return [tensors[f"{module}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var")]


@pytest.mark.parametrize("recipe", list(RECORDINGS))
def test_every_tensor_has_a_place(models, recipe):
    model, tensors = models(recipe), _tensors(recipe)
    extra = {"backbone.bottom_up.stem.conv1.norm.num_batches_tracked": np.array(5), "pixel_mean": np.zeros((3, 1, 1)),
             "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4))}  # fmt: skip
    report = load_state_dict(model, {**tensors, **extra})
    assert len(report.matched) == len(tensors) == TENSORS[recipe]
    assert not report.missing and not report.unused and not report.excluded and model.keras_model.unloaded_layers == ()
    assert network_of(tensors) == (recipe, "resnet50", 7, True) and sorted(report.sources.values()) == sorted(tensors)


def test_torchvision_v2_layouts(models):
    model, tensors = models("torchvision_v2"), _tensors("torchvision_v2")
    report = load_state_dict(model, tensors)
    assert report.sources["bn5a_branch1/moving_variance"] == "backbone.body.layer4.0.downsample.1.running_var"
    _equal(model, "conv1", _conv(tensors["backbone.body.conv1.weight"]))
    _equal(model, "res4f_branch2b", _conv(tensors["backbone.body.layer3.5.conv2.weight"]))
    _equal(model, "bn4f_branch2b", *_norm(tensors, "backbone.body.layer3.5.bn2"))
    _equal(model, "res5a_branch1", _conv(tensors["backbone.body.layer4.0.downsample.0.weight"]))
    _equal(model, "fpn_c5p5", _conv(tensors["backbone.fpn.inner_blocks.3.0.weight"]))
    _equal(model, "fpn_p2_bn", *_norm(tensors, "backbone.fpn.layer_blocks.0.1"))
    _equal(model, "rpn_conv_shared2", _conv(tensors["rpn.head.conv.1.0.weight"]), tensors["rpn.head.conv.1.0.bias"])
    _equal(model, "mrcnn_box_conv4", _conv(tensors["roi_heads.box_head.3.0.weight"]))
    # a fully connected layer sees [C, 7, 7] there, and [7, 7, C] here
    full = tensors["roi_heads.box_head.5.weight"].reshape(1024, 256, 7, 7)
    _equal(model, "mrcnn_class_conv1", np.einsum("uchw->hwcu", full), tensors["roi_heads.box_head.5.bias"])
    _equal(model, "mrcnn_class_logits", tensors["roi_heads.box_predictor.cls_score.weight"].T,
           tensors["roi_heads.box_predictor.cls_score.bias"])  # fmt: skip
    deconv = tensors["roi_heads.mask_predictor.conv5_mask.weight"]  # [in, out, h, w]
    _equal(model, "mrcnn_mask_deconv", np.einsum("iohw->hwoi", deconv), tensors["roi_heads.mask_predictor.conv5_mask.bias"])


def test_boxes_are_dy_dx_dh_dw(models):
    """Torch has (dx, dy, dw, dh): of class 2, rows 8 to 11 become columns 9, 8, 11, 10; of the RPN's anchor 1, 4 to 7."""
    model, tensors = models("torchvision"), _tensors("torchvision")
    load_state_dict(model, tensors)
    kernel, bias = _weights(model, "mrcnn_bbox_fc")
    theirs = tensors["roi_heads.box_predictor.bbox_pred.weight"], tensors["roi_heads.box_predictor.bbox_pred.bias"]
    np.testing.assert_array_equal(kernel[:, 8:12], theirs[0][[9, 8, 11, 10]].T)
    np.testing.assert_array_equal(bias[8:12], theirs[1][[9, 8, 11, 10]])
    kernel, bias = _weights(model, "rpn_bbox_pred")
    np.testing.assert_array_equal(kernel[0, 0, :, 4:8], tensors["rpn.head.bbox_pred.weight"][[5, 4, 7, 6], :, 0, 0].T)
    np.testing.assert_array_equal(bias[4:8], tensors["rpn.head.bbox_pred.bias"][[5, 4, 7, 6]])


def test_background_of_detectron2_is_last(models):
    """Its 7 logits are those of 6 classes and the background, which has no boxes and masks."""
    model, tensors = models("detectron2"), _tensors("detectron2")
    load_state_dict(model, tensors)
    assert tensors["roi_heads.box_predictor.bbox_pred.weight"].shape[0] == 6 * 4
    logits = tensors["roi_heads.box_predictor.cls_score.bias"]
    np.testing.assert_array_equal(_weights(model, "mrcnn_class_logits")[1], [logits[6], *logits[:6]])
    boxes = _weights(model, "mrcnn_bbox_fc")[1]
    np.testing.assert_array_equal(boxes[:4], [0, 0, 0, 0])
    np.testing.assert_array_equal(boxes[4:8], tensors["roi_heads.box_predictor.bbox_pred.bias"][[1, 0, 3, 2]])
    kernel, bias = _weights(model, "mrcnn_mask")
    assert bias[0] == 0 and not kernel[..., 0].any()
    np.testing.assert_array_equal(kernel[0, 0, :, 1:], tensors["roi_heads.mask_head.predictor.weight"][:, :, 0, 0].T)
    np.testing.assert_array_equal(bias[1:], tensors["roi_heads.mask_head.predictor.bias"])


def _values(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.keras_model.weights]


def _same(model, values):
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(_values(model), values, strict=True))


def test_old_names_of_torchvision(models):
    """Before its convolutions were blocks: `inner_blocks.0.weight`, `rpn.head.conv.weight`, `mask_head.mask_fcn1.weight`."""
    model, tensors = models("torchvision"), _tensors("torchvision")
    load_state_dict(model, tensors)
    values, old = _values(model), {}
    for name, tensor in tensors.items():
        name = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        old[re.sub(r"mask_head\.(\d)\.0\.", lambda match: f"mask_head.mask_fcn{int(match[1]) + 1}.", name)] = tensor
    assert "backbone.fpn.inner_blocks.3.bias" in old and "roi_heads.mask_head.mask_fcn4.weight" in old
    load_state_dict(model, {name: tensor * 0 for name, tensor in tensors.items()})
    assert not _same(model, values)
    load_state_dict(model, old)
    assert _same(model, values)


def _mmdetection(name):
    """Return mmdetection's name of a tensor of detectron2."""
    for pattern, replacement in (
        (r"backbone\.bottom_up\.stem\.conv1\.norm", "backbone.bn1"), (r"backbone\.bottom_up\.stem\.", "backbone."),
        (r"backbone\.bottom_up\.res(\d)\.(\d)\.shortcut\.norm", r"backbone.layer<\1>.\2.downsample.1"),
        (r"backbone\.bottom_up\.res(\d)\.(\d)\.shortcut", r"backbone.layer<\1>.\2.downsample.0"),
        (r"backbone\.bottom_up\.res(\d)\.(\d)\.conv(\d)\.norm", r"backbone.layer<\1>.\2.bn\3"),
        (r"backbone\.bottom_up\.res(\d)\.(\d)\.conv(\d)", r"backbone.layer<\1>.\2.conv\3"),
        (r"backbone\.fpn_lateral(\d)", r"neck.lateral_convs.<<\1>>.conv"),
        (r"backbone\.fpn_output(\d)", r"neck.fpn_convs.<<\1>>.conv"),
        (r"proposal_generator\.rpn_head\.conv", "rpn_head.rpn_conv"),
        (r"proposal_generator\.rpn_head\.objectness_logits", "rpn_head.rpn_cls"),
        (r"proposal_generator\.rpn_head\.anchor_deltas", "rpn_head.rpn_reg"),
        (r"roi_heads\.box_head\.fc(\d)", r"roi_head.bbox_head.shared_fcs.<\1>"),
        (r"roi_heads\.box_predictor\.cls_score", "roi_head.bbox_head.fc_cls"),
        (r"roi_heads\.box_predictor\.bbox_pred", "roi_head.bbox_head.fc_reg"),
        (r"roi_heads\.mask_head\.mask_fcn(\d)", r"roi_head.mask_head.convs.<\1>.conv"),
        (r"roi_heads\.mask_head\.deconv", "roi_head.mask_head.upsample"),
        (r"roi_heads\.mask_head\.predictor", "roi_head.mask_head.conv_logits"),
    ):  # fmt: skip
        name = re.sub(f"^{pattern}", replacement, name)
    name = re.sub(r"<<(\d)>>", lambda match: str(int(match[1]) - 2), name)
    return re.sub(r"<(\d)>", lambda match: str(int(match[1]) - 1), name)


def test_names_of_mmdetection(models):
    """It has the layers of detectron2's network, and the background last too."""
    model, tensors = models("detectron2"), _tensors("detectron2")
    load_state_dict(model, tensors)
    values = _values(model)
    renamed = {_mmdetection(name): tensor for name, tensor in tensors.items()}
    for name in ("backbone.layer1.0.conv1.weight", "neck.lateral_convs.0.conv.weight", "rpn_head.rpn_conv.weight",
                 "roi_head.bbox_head.shared_fcs.0.weight", "roi_head.mask_head.convs.0.conv.weight"):  # fmt: skip
        assert name in renamed
    assert network_of(renamed) == ("detectron2", "resnet50", 7, False)
    load_state_dict(model, {name: tensor * 0 for name, tensor in renamed.items()})
    report = load_state_dict(model, renamed)
    assert _same(model, values) and len(report.matched) == TENSORS["detectron2"]


# --- What is refused ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file, network, found", [
    # the model has 8 biases of the pyramid, 4 of the mask head and a second fully connected layer; the file 16 norms of 4
    # tensors, 4 kernels of the box head and a second convolution of the RPN
    ("torchvision_v2", "torchvision", r"14 tensors of the model are not in it \(fpn_c5p5/bias, .*; 70 of its tensors have no"),
    ("torchvision", "torchvision_v2", "tensors of the model are not in it .* of its tensors have no place in the model"),
    ("detectron2", "torchvision", r"another configuration \(RESNET_STRIDE_IN_3X3: False for the weights, True in the model"),
    ("torchvision", "detectron2", "has another configuration"),
    ("detectron2_lsj", "detectron2", "tensors of the model are not in it"),
])  # fmt: skip
def test_files_of_other_recipes_are_refused(models, file, network, found):
    model = models(network)
    before = _values(model)
    with pytest.raises(WeightsError) as caught:
        load_state_dict(model, _tensors(file), where="w.pth")
    message = str(caught.value)
    assert message.startswith(f"w.pth is of {file.split('_')[0]}, and does not fit the model: ") and re.search(found, message)
    assert message.endswith(f"Nothing was loaded: these weights are for the recipe {file} (mrcnn.recipes.get('{file}'), "
                            f"--recipe {file}) with BACKBONE=resnet50")
    assert _same(model, before)


def test_missing_unexpected_and_misshapen_tensors_are_named(models):
    model, tensors = models("torchvision"), _tensors("torchvision")
    before = _values(model)
    del tensors["rpn.head.cls_logits.bias"]
    tensors["roi_heads.keypoint_head.0.weight"] = np.ones((4, 4))
    tensors["backbone.body.conv1.weight"] = np.ones((64, 4, 7, 7), np.float32)
    with pytest.raises(WeightsError, match=(
            r"1 tensors of the model are not in it \(rpn_class_raw/bias\); 1 of its tensors have no place in the model "
            r"\(roi_heads.keypoint_head.0.weight\); 1 have another shape \(conv1/kernel: \(7, 7, 4, 64\) in the file, "
            r"\(7, 7, 3, 64\) in the model\)")):  # fmt: skip
        load_state_dict(model, tensors)
    assert _same(model, before)


def test_deeper_backbones_are_named(models):
    tensors = _tensors("torchvision")
    tensors |= {f"backbone.body.layer3.{block}.conv1.weight": np.ones((256, 1024, 1, 1)) for block in range(6, 23)}
    with pytest.raises(WeightsError, match="with BACKBONE=resnet101$"):
        load_state_dict(models("torchvision"), tensors)


def test_unknown_names_are_refused(models):
    tensors = {"conv1.weight": np.ones((64, 3, 7, 7)), "fc.bias": np.ones(1000)}
    with pytest.raises(WeightsError, match=r"its names are those of no Mask R-CNN .* 2 tensors \(conv1.weight, fc.bias"):
        load_state_dict(models("torchvision"), tensors)


def test_values_that_are_not_finite_are_refused(models):
    model, tensors = models("torchvision"), _tensors("torchvision")
    before = _values(model)
    tensors["roi_heads.box_head.fc6.bias"][7] = np.nan
    with pytest.raises(WeightsError, match="weights of layer mrcnn_class_conv1 are NaN or infinite"):
        load_state_dict(model, tensors)
    assert _same(model, before)


# --- Other classes -----------------------------------------------------------------------------------------------------
def test_rows_of_classes_with_the_same_name(tmp_path, capsys):
    tensors = _tensors("detectron2")
    model = _model("detectron2", tmp_path, classes=3)
    with pytest.raises(WeightsError, match=r"6 have another shape .*exclude=\['mrcnn_class_logits', .* or take over the"):
        load_state_dict(model, tensors)
    before = _weights(model, "mrcnn_class_logits")
    names = ClassNames(["BG", "kiwi", "Fig"], ["BG", "date", "fig", "hazelnut", "plum", "pear", "nut"])
    report = load_state_dict(model, tensors, classes=names)
    assert "classes taken over: 1 of 2" in capsys.readouterr().out and report.classes.rows == (0, None, 2)
    logits = tensors["roi_heads.box_predictor.cls_score.bias"]
    np.testing.assert_array_equal(_weights(model, "mrcnn_class_logits")[1], [logits[6], before[1][1], logits[1]])
    boxes = tensors["roi_heads.box_predictor.bbox_pred.bias"]
    np.testing.assert_array_equal(_weights(model, "mrcnn_bbox_fc")[1][8:], boxes[[5, 4, 7, 6]])
    np.testing.assert_array_equal(_weights(model, "mrcnn_mask")[1][2], tensors["roi_heads.mask_head.predictor.bias"][1])
    assert model.keras_model.unloaded_layers == ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")


def test_excluded_layers_keep_their_values(tmp_path):
    model = _model("torchvision", tmp_path, classes=3)
    heads = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")
    before = [_weights(model, layer) for layer in heads]
    report = load_state_dict(model, _tensors("torchvision"), exclude=heads)
    assert len(report.excluded) == 6 and len(report.matched) == TENSORS["torchvision"] - 6
    for layer, values in zip(heads, before, strict=True):
        _equal(model, layer, *values)


def test_images_with_other_numbers_of_channels(tmp_path, capsys):
    """Each of 4 channels gets 3/4 of the mean of the kernel over red, green and blue."""
    model = _model("torchvision", tmp_path, IMAGE_CHANNEL_COUNT=4, MEAN_PIXEL=(1.0, 2.0, 3.0, 4.0), STD_PIXEL=50.0)
    tensors = _tensors("torchvision")
    with pytest.raises(WeightsError, match=r"another configuration \(STD_PIXEL: .* for the weights, 50.0 in the model\)"):
        load_state_dict(model, tensors)
    model.config.STD_PIXEL = (50.0, 50.0, 50.0, 60.0)  # which cannot be compared with those of three channels
    report = load_state_dict(model, tensors)
    assert report.inflated == ["conv1/kernel"] and "conv1/kernel is for 3 input channels" in capsys.readouterr().out
    mean = _conv(tensors["backbone.body.conv1.weight"]).mean(axis=2, keepdims=True)
    np.testing.assert_allclose(_weights(model, "conv1")[0], np.repeat(mean * 0.75, 4, axis=2), rtol=1e-6)


# --- Files -------------------------------------------------------------------------------------------------------------
def test_load_weights_reads_the_files(models, tmp_path):
    model, tensors = models("detectron2"), _tensors("detectron2")
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps({"model": tensors, "__author__": "Model Zoo"}, 2))
    report = model.load_weights(tmp_path / "model_final.pkl", by_name=True)
    assert len(report.matched) == TENSORS["detectron2"] and model.epoch == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of random weights
        model.detect([np.zeros((64, 64, 3), np.uint8)])
    with pytest.raises(WeightsError, match="model_final.pkl is of detectron2, and does not fit"):
        models("torchvision").load_weights(tmp_path / "model_final.pkl")
    with pytest.raises(ValueError, match="give class_names=dataset.class_names"):
        model.load_weights(tmp_path / "model_final.pkl", classes_from="coco")
