"""The network: losses, metrics, the L2 term, input images, and copies."""
from functools import partial

import keras
import numpy as np
import pytest

from mrcnn.config_rules import LOSS_NAMES
from mrcnn.network.heads.rpn import ConvRpnHead, RpnHead
from tests.compiled import compiled
from tests.training.small import batch_of, small_config, small_model, to_numpy, weights_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A compiled MaskRCNN and a batch for it."""
    weights = dict(zip(LOSS_NAMES, (1.0, 2.0, 0.5, 1.0, 3.0)))
    model = small_model("training", tmp_path_factory.mktemp("logs"), LOSS_WEIGHTS=weights, WEIGHT_DECAY=0.01)
    model.compile(0.01, 0.9)
    return model, [np.asarray(part) for part in batch_of(model.config)]


def _losses(model, batch):
    """Return the five losses and the outputs of the model. The sampling of ROIs is random."""
    outputs = model.predict_on_batch(batch)
    tensors = [keras.ops.convert_to_tensor(part) for part in batch]
    return to_numpy(model.compute_losses(tensors, outputs)), outputs


def test_raw_images_of_any_dtype_give_the_same_outputs(trained):
    model, batch = trained
    assert batch[0].dtype == np.uint8
    raw, other = (_losses(model.keras_model, [images, *batch[1:]])[1] for images in (batch[0], batch[0].astype(np.float32)))
    for name in ("rpn_class_logits", "rpn_bbox", "rpn_rois"):
        np.testing.assert_allclose(raw[name], other[name], atol=1e-4)


def test_loss_is_the_weighted_sum_plus_the_l2_term(trained):
    model, batch = trained
    logs = model.keras_model.test_on_batch(batch, return_dict=True)
    assert {*LOSS_NAMES, "loss", "positive_rois"} <= set(logs)
    total = sum(logs[name] for name in LOSS_NAMES)  # logged with their weights
    assert float(logs["loss"]) == pytest.approx(float(total) + float(to_numpy(model.keras_model.l2_loss())), rel=1e-4)
    # the losses of the RPN do not depend on the sampling of ROIs; their weights are 1 and 2
    plain, _ = _losses(model.keras_model, batch)
    assert float(logs["rpn_class_loss"]) == pytest.approx(float(plain["rpn_class_loss"]), rel=1e-3)
    assert float(logs["rpn_bbox_loss"]) == pytest.approx(2 * float(plain["rpn_bbox_loss"]), rel=1e-3)
    assert 0 <= float(logs["positive_rois"]) <= model.config.ROI_POSITIVE_RATIO + 0.05


def test_l2_is_the_mean_square_of_each_trained_kernel_and_bias(trained):
    model, _ = trained
    expected = 0.0
    layers = [layer for layer in model.get_trainable_layers() if layer.trainable]
    assert {"rpn_conv_shared", "mrcnn_bbox_fc", "res5a"} <= {layer.name for layer in layers}
    for layer in layers:
        for variable in layer.trainable_weights:
            if variable.name in ("kernel", "bias"):
                expected += 0.01 * float(np.mean(np.square(to_numpy(variable.value))))
    assert float(to_numpy(model.keras_model.l2_loss())) == pytest.approx(expected, rel=1e-5)


def test_l2_term_moves_each_weight_towards_zero(tmp_path):
    settings = {"WEIGHT_DECAY": 0.5, "GRADIENT_CLIP_NORM": 0, "LOSS_WEIGHTS": dict.fromkeys(LOSS_NAMES, 0.0)}
    model = small_model("training", tmp_path, **settings)
    model.compile(2.0, 0.0)
    before = weights_of(model.keras_model)
    model.keras_model.train_on_batch([np.asarray(part) for part in batch_of(model.config)])
    after = weights_of(model.keras_model)
    assert len(before) > 30
    for name, weights in before.items():
        # by the learning rate times 0.5 times the gradient 2 w / size
        expected = weights * (1 - 2 / weights.size) if name.endswith(("kernel", "bias")) else weights
        np.testing.assert_allclose(after[name], expected, rtol=1e-4, err_msg=name)


def test_frozen_layers_are_not_in_the_l2_term(trained):
    model, _ = trained
    of_all = float(to_numpy(model.keras_model.l2_loss()))
    try:
        model.set_trainable("mrcnn_bbox_fc", verbose=0)
        kernel, bias = model.keras_model.get_layer("mrcnn_bbox_fc").get_weights()
        assert float(to_numpy(model.keras_model.l2_loss())) == pytest.approx(
            0.01 * (np.square(kernel).mean() + np.square(bias).mean()), rel=1e-5)
        assert 0.01 * np.square(kernel).mean() < of_all
    finally:
        model.set_trainable(".*", verbose=0)


def test_zero_weight_decay_has_no_l2_term(tmp_path):
    assert small_model("training", tmp_path, WEIGHT_DECAY=0).keras_model.l2_loss() == 0.0


def test_batch_of_two_equals_two_batches_of_one(trained):
    model, batch = trained
    _, both = _losses(model.keras_model, batch)
    for image in range(2):
        _, one = _losses(model.keras_model, [part[image : image + 1] for part in batch])
        for name in ("rpn_class_logits", "rpn_bbox", "rpn_rois"):
            np.testing.assert_allclose(both[name][image], one[name][0], atol=1e-4)


def test_padding_rows_change_nothing(trained):
    model, batch = trained
    plain, _ = _losses(model.keras_model, batch)
    images, metas, *targets = batch
    rows = (9, 9, 9, 3, 3, 3)
    more = [images, metas, *(np.pad(part, ((0, 0), (0, n), *((0, 0),) * (part.ndim - 2))) for part, n in zip(targets, rows))]
    padded, outputs = _losses(model.keras_model, more)
    for name in ("rpn_class_loss", "rpn_bbox_loss"):
        assert float(padded[name]) == pytest.approx(float(plain[name]), rel=1e-4)
    assert set(outputs["target_class_ids"].ravel()) <= {0, *batch[5].ravel()}


def test_filler_rows_of_a_batch_do_not_count(trained):
    model, batch = trained
    images, metas, positions, labels, *targets = (part[:1] for part in batch)
    nothing = [np.zeros_like(part) for part in targets]  # without objects, every proposal is negative in both rows
    filling = np.where(np.arange(metas.shape[1]) < 12, metas, 0)
    rows = (images, metas, positions, labels, *nothing), (images, filling, positions, np.zeros_like(labels), *nothing)
    filled = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    losses, outputs = _losses(model.keras_model, filled)
    tensors = [keras.ops.convert_to_tensor(part[:1]) for part in filled]
    unfilled = {name: keras.tree.map_structure(lambda value: value[:1], value) for name, value in outputs.items()}
    unfilled = to_numpy(model.keras_model.compute_losses(tensors, unfilled))
    for name in LOSS_NAMES:
        assert float(losses[name]) == pytest.approx(float(unfilled[name]), rel=1e-5)
    assert losses["rpn_class_loss"] > 0 and losses["mrcnn_class_loss"] > 0
    assert (outputs["rois"] != 0).any(axis=-1).sum(axis=1).tolist() == [8, 8]


def test_image_without_objects_trains_only_the_background(trained):
    model, batch = trained
    images, metas, positions, labels, *targets = batch
    empty = [images, metas, positions, np.minimum(labels, 0), *(np.zeros_like(part) for part in targets)]
    losses, outputs = _losses(model.keras_model, empty)
    for name in ("rpn_bbox_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"):
        assert losses[name] == 0
    assert losses["mrcnn_class_loss"] > 0 and losses["rpn_class_loss"] > 0
    assert not outputs["target_class_ids"].any() and (outputs["rois"] != 0).any(axis=-1).sum() > 8
    before = model.keras_model.get_weights()
    logs = model.keras_model.train_on_batch(empty, return_dict=True)
    assert np.isfinite(float(logs["loss"])) and float(logs["positive_rois"]) == 0
    assert all(np.isfinite(w).all() for w in model.keras_model.get_weights())
    model.keras_model.set_weights(before)


def test_rpn_losses_at_sampled_anchors_give_the_same_step_as_over_all_anchors(tmp_path, monkeypatch):
    """The losses of the RPN are computed only at the sampled anchors."""
    settings = {"WEIGHT_DECAY": 0, "LOSS_WEIGHTS": {name: float(name.startswith("rpn")) for name in LOSS_NAMES}}
    one, other = (small_model("training", tmp_path, **settings) for _ in range(2))
    rng = np.random.default_rng(0)
    start = [rng.normal(scale=0.1, size=w.shape) if w.ndim > 1 else w for w in one.keras_model.get_weights()]
    batch = [np.asarray(part) for part in batch_of(one.config)]
    ends = []
    for model, plain in ((one, False), (other, True)):
        if plain:
            monkeypatch.setattr(ConvRpnHead, "at", RpnHead.at)
        model.keras_model.set_weights(start)
        before = weights_of(model.keras_model)
        model.compile(1.0, 0.0)
        logs = model.keras_model.train_on_batch(batch, return_dict=True)
        ends.append((float(logs["loss"]), weights_of(model.keras_model)))
    (loss, ours), (expected, theirs) = ends
    assert loss == pytest.approx(expected, rel=1e-5)
    moved = {name for name, value in theirs.items() if np.abs(value - before[name]).max() > 1e-3}
    assert {"rpn_conv_shared/kernel", "rpn_class_raw/kernel", "rpn_bbox_pred/bias", "fpn_p2/kernel", "res2a/kernel"} <= moved
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_training_steps_lower_a_deterministic_loss(trained):
    model, batch = trained
    before = model.keras_model.get_weights()
    first = _losses(model.keras_model, batch)[0]
    for _ in range(5):
        model.keras_model.train_on_batch(batch)
    last = _losses(model.keras_model, batch)[0]
    model.keras_model.set_weights(before)
    assert last["rpn_class_loss"] < first["rpn_class_loss"]


def test_frozen_statistics_do_not_change_in_a_step(trained):
    """TRAIN_BN is False here: no batch may change the statistics, or be normalised by its own."""
    model, batch = trained
    names = ("bn_conv1", "bn2a", "mrcnn_class_bn1", "mrcnn_mask_bn1")
    layers = [model.keras_model.get_layer(name) for name in names]
    assert all(layer.train_bn is False for layer in layers)
    before = model.keras_model.get_weights()
    model.keras_model.train_on_batch(batch)
    for layer in layers:
        np.testing.assert_array_equal(to_numpy(layer.moving_mean.value), 0)
        np.testing.assert_array_equal(to_numpy(layer.moving_variance.value), 1)
    to_rpn = keras.Model(model.keras_model.inputs, model.keras_model.output["rpn_bbox"])
    tensors = [keras.ops.convert_to_tensor(part) for part in batch]
    in_training, in_test = (to_numpy(compiled(partial(to_rpn, training=t))(tensors)) for t in (True, False))
    np.testing.assert_allclose(in_training, in_test, atol=1e-5)
    model.keras_model.set_weights(before)


def test_given_rois_replace_proposals(tmp_path):
    model = small_model("training", tmp_path, USE_RPN_ROIS=False, POST_NMS_ROIS_TRAINING=6, ROI_POSITIVE_RATIO=0.5)
    batch = [np.asarray(part) for part in batch_of(model.config)]
    gt_class_ids, gt_boxes = batch[5], batch[6]
    rois = np.zeros((2, 6, 4), np.int32)
    rois[:, 0], rois[:, 1] = gt_boxes[:, 0], [0, 0, 5, 5]
    _, outputs = _losses(model.keras_model, [*batch, rois])
    expected = (gt_boxes[:, 0] - [0, 0, 1, 1]) / 63
    np.testing.assert_allclose(outputs["rpn_rois"][:, 0], expected, atol=1e-6)
    assert not outputs["rpn_rois"][:, 2:].any()  # padding stays padding
    np.testing.assert_allclose(outputs["rois"][:, 0], expected, atol=1e-6)
    assert (outputs["target_class_ids"][:, 0] == gt_class_ids[:, 0]).all()
    np.testing.assert_allclose(outputs["target_deltas"][:, 0], 0, atol=1e-4)
    model.compile(0.01, 0.9)
    assert np.isfinite(float(model.keras_model.train_on_batch([*batch, rois], return_dict=True)["loss"]))


def test_ground_truth_boxes_are_rois_with_gt_boxes_as_rois(tmp_path):
    settings = {"TRAIN_ROIS_PER_IMAGE": 40, "USE_RPN_ROIS": False, "GT_BOXES_AS_ROIS": True}
    batch = [np.asarray(part).copy() for part in batch_of(small_config(**settings))]
    # an object, a crowd, an object with one row of pixels, and an empty slot that still contains a box
    batch[5][:] = (1, -2, 3, 0)
    batch[6][:] = ((8, 8, 24, 28), (30, 2, 44, 20), (50, 40, 51, 60), (28, 40, 44, 60))
    rois = np.zeros((2, 40, 4), np.int32)
    rois[:, 0] = (0, 0, 6, 6)  # the only proposal
    model = small_model("training", tmp_path, **settings)
    _, outputs = _losses(model.keras_model, [*batch, rois])
    assert not outputs["rpn_rois"][:, 1:].any()  # the proposals do not change
    for image in range(2):
        ids, sampled = outputs["target_class_ids"][image], outputs["rois"][image]
        valid = sampled.any(axis=-1)
        boxes = np.rint(sampled * 63 + [0, 0, 1, 1]).astype(int)
        assert [(int(c), *box) for c, box in zip(ids[valid], boxes[valid].tolist())] == [(1, 8, 8, 24, 28), (0, 0, 0, 6, 6)]
        np.testing.assert_allclose(outputs["target_deltas"][image], 0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels(tmp_path, channels):
    model = small_model("training", tmp_path, IMAGE_CHANNEL_COUNT=channels, MEAN_PIXEL=np.full(channels, 100.0))
    batch = [np.asarray(part) for part in batch_of(small_config())]
    batch[0] = np.resize(batch[0], (2, 64, 64, channels))
    assert tuple(model.keras_model.inputs[0].shape) == (None, 64, 64, channels)
    losses, _ = _losses(model.keras_model, batch)
    assert all(np.isfinite(value) for value in losses.values())


def test_lower_precision_trains(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model("training", tmp_path)
        model.compile(0.01, 0.9)
        batch = [np.asarray(part) for part in batch_of(model.config)]
        assert keras.backend.standardize_dtype(model.keras_model.get_layer("fpn_p2").compute_dtype) == "bfloat16"
        _, outputs = _losses(model.keras_model, batch)
        for name in ("rpn_rois", "rois", "target_deltas", "mrcnn_mask", "rpn_class", "mrcnn_class"):
            assert outputs[name].dtype == np.float32
        # coordinates keep their precision: every target box is a ground-truth box
        positive = outputs["target_class_ids"] > 0
        rois = outputs["rois"].astype(np.float64)
        size = rois[..., 2:] - rois[..., :2]
        deltas = outputs["target_deltas"] * [0.1, 0.1, 0.2, 0.2]
        centre = rois[..., :2] + size / 2 + deltas[..., :2] * size
        half = size * np.exp(deltas[..., 2:]) / 2
        boxes = np.concatenate([centre - half, centre + half], axis=-1) * 63 + [0, 0, 1, 1]
        for image in range(2):
            for box in boxes[image][positive[image]]:
                assert np.abs(batch[6][image] - box).max(axis=1).min() < 0.01
        assert np.isfinite(float(model.keras_model.train_on_batch(batch, return_dict=True)["loss"]))
        assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in model.keras_model.get_weights())
    finally:
        keras.config.set_dtype_policy(policy)


def test_anchors_that_do_not_fit_the_backbone_are_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"feature maps of \(height, width\) \[\(16, 16\), .* made for \[\(8, 8\), \(4, 4\)"):
        small_model("training", tmp_path, BACKBONE_STRIDES=(8, 16, 32, 64, 128))


@pytest.mark.parametrize("copied", [keras.models.clone_model, lambda model: type(model).from_config(model.get_config())])
def test_copy_of_the_detection_model_folds_its_batch_norm(tmp_path, copied):
    copy = copied(small_model("inference", tmp_path).network.detection_model())
    head = copy.get_layer("detection_masks").head
    norms = [layer for model in (copy, head) for layer in model.layers if layer.name.startswith("mrcnn_mask_bn")]
    assert len(norms) == 4 and all(norm.is_connected for norm in norms)
