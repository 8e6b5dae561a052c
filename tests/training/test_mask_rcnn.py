"""MaskRCNN in inference mode: images of any type, number and size; weights; run folders."""
import keras
import numpy as np
import pytest

from mrcnn.config import ConfigError
from mrcnn.inference.unmold import masks_of_class
from mrcnn.network.layers.detection import DetectionLayer
from mrcnn.training.mask_rcnn import MaskRCNN
from tests.training.small import shapes, small_config, small_model

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, size).astype(np.uint8) for size in ((64, 64, 3), (40, 64, 3), (100, 30, 3))]


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """A model with resize mode square, batches of two images and minimum score 0."""
    return small_model("inference", tmp_path_factory.mktemp("square"))


@pytest.fixture(scope="module")
def pad64(tmp_path_factory):
    """A model with resize mode pad64, in which images keep their shape."""
    return small_model("inference", tmp_path_factory.mktemp("pad64"), IMAGE_RESIZE_MODE="pad64")


def _same(one, other):
    assert len(one["rois"]) > 0
    np.testing.assert_array_equal(one["class_ids"], other["class_ids"])
    np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-5)
    np.testing.assert_allclose(one["rois"], other["rois"], atol=1)
    assert np.mean(one["masks"] != other["masks"]) < 0.01


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["square", "pad64"])
def test_detections_in_a_batch_equal_those_of_single_images(kind, count, request):
    model = request.getfixturevalue(kind)
    results = model.detect(IMAGES[:count])
    assert len(results) == count
    for image, result in zip(IMAGES, results):
        _same(result, model.detect([image])[0])


def test_results_are_inside_their_image(square):
    for image, result in zip(IMAGES, square.detect(IMAGES)):
        height, width = image.shape[:2]
        rois, count = result["rois"], len(result["rois"])
        assert 0 < count <= 5
        assert (rois >= 0).all() and (rois[:, 2] <= height).all() and (rois[:, 3] <= width).all()
        assert (rois[:, 2:] > rois[:, :2]).all()
        assert (result["class_ids"] >= 1).all() and (result["class_ids"] <= 3).all()
        assert (np.diff(result["scores"]) <= 0).all()
        assert result["masks"].shape == (height, width, count) and result["masks"].dtype == bool
        assert (rois.dtype, result["class_ids"].dtype, result["scores"].dtype) == (np.int32, np.int32, np.float32)
        for i, (y1, x1, y2, x2) in enumerate(rois):
            outside = result["masks"][:, :, i].copy()
            outside[y1:y2, x1:x2] = False
            assert not outside.any()


def test_grey_images_give_equal_results_in_all_array_types(square):
    grey = IMAGES[1][:, :, 0]
    plain = square.detect([np.repeat(grey[:, :, None], 3, axis=2)])[0]
    alpha = np.dstack([grey, grey, grey, np.full_like(grey, 7)])
    for same in (grey, alpha, grey.astype(np.uint16) * 257, grey[:, :, None]):
        _same(plain, square.detect([same])[0])


def test_detect_molded_equals_detect(square):
    molded, metas, windows = square.mold_inputs(IMAGES[:2])
    assert molded.shape == (2, 64, 64, 3) and metas.shape == (2, 12 + 4) and windows[1].tolist() == [12, 0, 52, 64]
    found = square.detect_molded(molded, metas)
    _same(found[0], square.detect(IMAGES[:1])[0])
    assert found[1]["masks"].shape[:2] == (64, 64)
    # the second image is 12 rows further down in the molded image
    alone = square.detect(IMAGES[1:2])[0]
    np.testing.assert_allclose(found[1]["rois"][0], alone["rois"][0] + [12, 0, 12, 0], atol=1)
    assert square.detect_molded(molded[:0], metas[:0]) == []


def _assert_variants_agree(model, atol):
    image = IMAGES[0]  # 64 x 64: nothing is resized
    molded, metas, _ = model.mold_inputs([image])
    found, masks = model.predictor.run(image[None], metas)
    detections, _, _, every_mask, *_ = model.full_predictor.run(molded, metas)
    assert detections[0, 0, 5] > 0
    np.testing.assert_allclose(found, detections, atol=atol)
    valid = detections[0, :, 5] > 0
    np.testing.assert_allclose(masks[0, valid], masks_of_class(detections, every_mask)[0, valid], atol=atol)


@pytest.mark.parametrize("kind", ["square", "pad64"])
def test_detection_model_equals_the_classic_one(kind, request):
    _assert_variants_agree(request.getfixturevalue(kind), 1e-5)


def test_detection_and_classic_models_agree_with_batch_statistics(tmp_path):
    # 30 rows: more than the mask head processes at a time if it can
    _assert_variants_agree(small_model("inference", tmp_path, TRAIN_BN=True, DETECTION_MAX_INSTANCES=30,
                                      POST_NMS_ROIS_INFERENCE=40, DETECTION_NMS_THRESHOLD=0.9), 1e-4)  # fmt: skip


def test_detection_and_classic_models_agree_in_lower_precision(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        _assert_variants_agree(small_model("inference", tmp_path), 0.02)
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, 1.0])
def test_threshold_as_an_argument_equals_one_in_the_configuration(square, tmp_path, threshold):
    square.save_weights(tmp_path / "w.h5")
    built_in = small_model("inference", tmp_path, DETECTION_MIN_CONFIDENCE=threshold)
    built_in.load_weights(tmp_path / "w.h5")
    molded, metas, _ = built_in.mold_inputs(IMAGES[:1])
    expected = built_in.full_predictor.run(molded, metas)[0]
    found, _ = square.predictor.run(IMAGES[0][None], metas, min_confidence=threshold)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch runs without tracing")
def test_different_threshold_does_not_retrace_the_network(square, monkeypatch):
    traced = []
    stages = DetectionLayer.stages
    monkeypatch.setattr(DetectionLayer, "stages", lambda self, inputs: traced.append(1) or stages(self, inputs))
    square.detect(IMAGES[:1])
    count = len(traced)
    counts = [len(square.detect(IMAGES[:1])[0]["scores"])]
    with monkeypatch.context() as patch:
        patch.setattr(square.config, "DETECTION_MIN_CONFIDENCE", 1.0)
        counts.append(len(square.detect(IMAGES[:1])[0]["scores"]))
    square.predictor.detect(IMAGES[:1], min_confidence=0.4)
    assert counts[0] > counts[1] == 0 and len(traced) == count


def test_single_image_without_a_list_is_an_error(square):
    with pytest.raises(ValueError, match=r"one array of shape \(64, 64, 3\): give a list of images"):
        square.detect(IMAGES[0])
    assert len(square.detect(np.stack([IMAGES[0]] * 2))) == 2  # a batch array is accepted like a list of images


def test_verbose_prints_each_image(square, capsys):
    square.detect(IMAGES[:1], verbose=1)
    out = capsys.readouterr().out
    assert "Processing 1 images" in out and "shape: (64, 64, 3)" in out


def test_equal_seeds_give_equal_weights(square, tmp_path):
    same, other = small_model("inference", tmp_path), small_model("inference", tmp_path, SEED=1)
    ours, theirs, others = (m.keras_model.get_weights() for m in (square, same, other))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(ours, others, strict=True))


def test_weights_are_saved_and_loaded(square, tmp_path):
    square.save_weights(str(tmp_path / "w.h5"))
    other = small_model("inference", tmp_path, SEED=1)
    report = other.load_weights(str(tmp_path / "w.h5"), by_name=True, exclude=["mrcnn_mask"])
    assert set(report.missing) == set() or all("mrcnn_mask" in str(name) for name in report.missing)
    for name, equal in (("fpn_p2", True), ("mrcnn_class_bn1", True), ("mrcnn_mask", False)):
        ours, theirs = (m.keras_model.get_layer(name).get_weights()[0] for m in (square, other))
        assert np.array_equal(ours, theirs) is equal
    assert other.epoch == 0 and other.log_dir.startswith(str(tmp_path))


def test_only_the_requested_images_are_evaluated(square):
    dataset = shapes(5)
    result = square.evaluate(dataset, limit=3)
    assert result.info["images"] == 3 and {"mask_AP", "box_AP50"} <= set(result.metrics)
    assert square.evaluate(dataset, image_ids=[4]).info["images"] == 1


def test_get_anchors_returns_normalised_anchors_and_keeps_pixels(square):
    anchors = square.get_anchors((64, 64, 3))
    assert anchors.shape == square.anchors.shape == (1023, 4)
    np.testing.assert_allclose(anchors * 63 + [0, 0, 1, 1], square.anchors, atol=1e-4)


def test_set_log_dir_follows_a_checkpoint(square):
    square.set_log_dir("elsewhere/toys20260101T0000/mask_rcnn_toys_0012.h5")
    assert (square.epoch, square.log_dir) == (12, "elsewhere/toys20260101T0000")  # where the checkpoint lies
    assert square.checkpoint_path == "elsewhere/toys20260101T0000/mask_rcnn_small_{epoch:04d}.h5"
    square.set_log_dir("toys20260101T0000-2/mask_rcnn_toys_0003.h5")
    assert (square.epoch, square.log_dir) == (3, "toys20260101T0000-2")
    square.set_log_dir()
    assert square.epoch == 0 and square.checkpoint_path.endswith("mask_rcnn_small_{epoch:04d}.h5")


@pytest.mark.parametrize("name, folder, missing", [(None, "logs", "NAME is not set"), ("toys", None, "model_dir is None")])
def test_model_without_a_run_folder_detects_but_does_not_train(square, tmp_path, name, folder, missing):
    path = tmp_path / "toys20260101T1200" / "mask_rcnn_toys_0007.h5"
    path.parent.mkdir()
    square.save_weights(path)
    model_dir = None if folder is None else str(tmp_path / folder)
    model = MaskRCNN("inference", small_config(NAME=name, SEED=9), model_dir)
    model.load_weights(path, by_name=True)
    assert (model.log_dir, model.checkpoint_path, model.epoch) == (None, None, 7)
    _same(model.detect(IMAGES[:1])[0], square.detect(IMAGES[:1])[0])
    with pytest.raises(ValueError, match=f"{missing}.*to find checkpoints"):
        model.find_last()
    model = MaskRCNN("training", small_config(NAME=name), model_dir)
    with pytest.raises(ValueError, match=f"{missing}.*to train"):
        model.train(shapes(1), None, 0.01, 1, "heads")


def test_invalid_settings_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="mode is 'train'"):
        MaskRCNN("train", small_config(), str(tmp_path))
    with pytest.raises(ConfigError, match="IMAGE_MAX_DIM is 100"):
        MaskRCNN("training", small_config(IMAGE_MAX_DIM=100), str(tmp_path))
    with pytest.raises(ValueError, match="'vgg16'"):
        MaskRCNN("inference", small_config(BACKBONE="vgg16"), str(tmp_path))


@pytest.mark.parametrize("channels", [1, 4])
def test_images_with_one_or_four_channels(tmp_path, channels):
    model = small_model("inference", tmp_path, IMAGE_CHANNEL_COUNT=channels, MEAN_PIXEL=np.full(channels, 100.0))
    image = RNG.integers(0, 256, (50, 60, channels)).astype(np.uint8)
    assert len(model.detect([image])[0]["rois"]) > 0
    if channels == 1:
        _same(model.detect([image])[0], model.detect([image[:, :, 0]])[0])
    else:
        with pytest.raises(ValueError, match="3 channels"):
            model.detect([image[:, :, :3]])


def test_trainable_layers_include_nested_ones(square):
    names = {layer.name for layer in square.get_trainable_layers()}
    assert {"rpn_conv_shared", "rpn_bbox_pred", "mrcnn_mask", "bn2a"} <= names and "ROI" not in names
    layer = square.keras_model.get_layer("fpn_p2")
    assert square.find_trainable_layer(layer) is layer
