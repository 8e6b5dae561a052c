"""Mask R-CNN on one page: from the image to the five losses, and the training and detection models.

All models share their layers and weights. Every tensor has a static shape, padded with zero rows; only the batch size is
dynamic (and Q, see `PositiveRois`).

Shape letters: B images, H W C image, h w feature map, L levels, A anchors, R proposals, G ground-truth rows (padded), S sampled
anchors, T sampled ROIs, P the first of them, which may be positive, Q the first of those, which go through the mask head,
K classes with background, D detections, M side of a mask. A meta row has 12 + K numbers: see `mrcnn.geometry.meta`.

Source: Mask R-CNN (He et al. 2017), section 3, on the feature pyramid of Lin et al. 2017.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
from keras import KerasTensor, ops

from mrcnn.geometry.meta import split_image_meta
from mrcnn.network.backbones import get_backbone
from mrcnn.network.backbones.fpn import build_pyramid
from mrcnn.network.heads.box import BoxHead
from mrcnn.network.heads.mask import MaskHead
from mrcnn.network.heads.rpn import build_rpn_model
from mrcnn.network.layers.detection import CHUNK, DetectionLayer, DetectionMasks, PerClassDetectionLayer
from mrcnn.network.layers.detection_target import DetectionTargetLayer, PositiveRois
from mrcnn.network.layers.norms import connect_convolutions
from mrcnn.network.layers.proposal import AnchorsLayer, LevelProposalLayer, ProposalLayer
from mrcnn.network.layers.pyramid_roi_align import AveragedPyramidROIAlign, PyramidROIAlign
from mrcnn.network.losses import BoxLoss, mrcnn_bbox_loss, mrcnn_class_loss, mrcnn_mask_loss, rpn_bbox_loss, rpn_class_loss
from mrcnn.network.ops.boxes import image_size, norm_boxes
from mrcnn.network.ops.device import check_process, on_tensorflow_cpu
from mrcnn.network.settings import NetworkSettings

# Weight decay does not apply to normalisation layers.
NOT_DECAYED = ("gamma", "beta")
# Samples per bin and axis of ROI features in training where detection takes as many as a box needs.
TRAINING_SAMPLES = 2


class Network:
    """The layers of Mask R-CNN, and the models built from them."""

    def __init__(self, settings: NetworkSettings) -> None:
        check_process()
        self.settings = s = settings
        self.image = self._image_input()
        self.image_meta = keras.Input((12 + s.num_classes,), name="input_image_meta")

        # `RawImageModel` normalises raw images before they come here; this layer only stores what it needs for that.
        image = self._image_settings()(self.image)  # [B, H, W, C]
        backbone = get_backbone(s.features.backbone, s.features.resnet)
        c2_to_c5 = backbone(image, stage5=True, train_bn=s.train_bn)[-4:]  # 4 x [B, h, w, .]
        self.pyramid = build_pyramid(c2_to_c5, s.features.channels, s.features.norm)  # L x [B, h, w, s.features.channels]
        self._check_level_shapes()
        rpn = build_rpn_model(s.anchors.stride, len(s.anchors.ratios), s.features.channels, s.rpn.channels, s.rpn.convolutions,
                              s.rpn.logits)  # fmt: skip
        logits, probs, deltas = zip(*map(rpn, self.anchor_levels), strict=True)
        self.rpn_class_logits = _join_levels(logits, "rpn_class_logits")  # [B, A, 2]
        self.rpn_class = _join_levels(probs, "rpn_class")  # [B, A, 2]
        self.rpn_bbox = _join_levels(deltas, "rpn_bbox")  # [B, A, 4]

        heads = s.heads
        self.align_box = self._roi_align(heads.pool_size, "roi_align_classifier", heads.roi_samples)
        self.align_mask = self._roi_align(heads.mask_pool_size, "roi_align_mask", heads.roi_samples)
        self.box_head = BoxHead(heads.pool_size, s.num_classes, heads.fc_units, heads.norm, heads.box_convolutions,
                                heads.box_channels, heads.fc_layers)  # fmt: skip
        self.mask_head = MaskHead(s.num_classes, heads.norm, heads.mask_channels)

    def with_settings(self, settings: NetworkSettings) -> "Network":
        """Return a network of the same layers with other settings: of image size, mean, anchors, proposals or detections.

        Args:
            settings: those that define layers, such as numbers of classes and channels, must be unchanged.
        """
        other = copy.copy(self)
        other.settings = settings
        other.image = other._image_input()
        features = keras.Model(self.image, [*self.pyramid, self.rpn_class_logits, self.rpn_class, self.rpn_bbox])
        image_settings = other._image_settings()

        def reuse(layer: keras.layers.Layer) -> keras.layers.Layer:
            return image_settings if layer.name == image_settings.name else layer

        *other.pyramid, other.rpn_class_logits, other.rpn_class, other.rpn_bbox = keras.models.clone_model(
            features, input_tensors=other.image, clone_function=reuse).outputs
        other._check_level_shapes()
        return other

    @property
    def anchor_levels(self) -> list[KerasTensor]:
        """The levels of the pyramid that have anchors: [B, h, w, C] each; all of them, or the first ones."""
        return self.pyramid[: len(self.settings.anchors.scales)]

    def _image_input(self) -> KerasTensor:
        """Return the input of images: [B, H, W, C]."""
        height, width, channels = self.settings.image.shape
        size = (height, width) if self.settings.image.fixed_size else (None, None)
        return keras.Input((*size, channels), name="input_image")

    def _image_settings(self) -> "StoredValues":
        """Return the layer that stores what raw images need."""
        s = self.settings.image
        values = {"mean_pixel": list(map(float, s.mean_pixel)), "std_pixel": list(map(float, s.std_pixel)), "bgr": s.bgr,
                  "mean_padding": s.mean_padding}  # fmt: skip
        return StoredValues(values, name="image_settings")

    def _roi_align(self, side: int, name: str, samples: int) -> PyramidROIAlign:
        """Return the layer that samples ROI features of side x side cells."""
        if self.settings.continuous:
            return AveragedPyramidROIAlign((side, side), samples, self.settings.heads.roi_half_pixel, name=name)
        return PyramidROIAlign((side, side), name=name)

    def _for_training(self) -> "Network":
        """Return a network of the same layers whose ROI align has a fixed number of samples, as JAX needs for gradients."""
        s = self.settings
        if not s.continuous or s.heads.roi_samples:
            return self
        other = copy.copy(self)
        other.align_box = self._roi_align(s.heads.pool_size, "roi_align_classifier", TRAINING_SAMPLES)
        other.align_mask = self._roi_align(s.heads.mask_pool_size, "roi_align_mask", TRAINING_SAMPLES)
        return other

    def _check_level_shapes(self) -> None:
        """Compare the feature maps with the shapes that the anchors are made for."""
        shapes = [tuple(feature_map.shape[1:3]) for feature_map in self.pyramid]
        expected = [tuple(map(int, shape)) for shape in self.settings.anchors.level_shapes]
        if self.settings.image.fixed_size and shapes != expected:
            raise ValueError(
                f"for images of {self.settings.image.shape[:2]} the backbone gives feature maps of (height, width) {shapes}, "
                f"and the anchors are made for {expected}: correct BACKBONE_STRIDES or COMPUTE_BACKBONE_SHAPE.")

    def training_model(self, model_class: type["TrainingModel"] | None = None) -> "TrainingModel":
        """Build the training model.

        Inputs, in order: raw images [B, H, W, C]; image_meta [B, 12 + K]; rpn_positions int32 [B, S], indices of the anchors
        that the loader samples (`mrcnn.loading.targets.rpn`); rpn_labels int32 [B, S], 1 positive, -1 negative, 0 padding;
        rpn_deltas [B, S, 4]; gt_class_ids int32 [B, G]; gt_boxes [B, G, 4] in pixels; gt_masks bool [B, G, h, w]; and,
        unless `use_rpn_rois`, rois int32 [B, R, 4] in pixels.
        """
        s = self.settings
        rpn_targets = [keras.Input((None,), dtype="int32", name="input_rpn_positions"),
                       keras.Input((None,), dtype="int32", name="input_rpn_labels"),
                       keras.Input((None, 4), name="input_rpn_deltas")]  # fmt: skip
        gt_class_ids = keras.Input((None,), dtype="int32", name="input_gt_class_ids")
        gt_boxes_px = keras.Input((None, 4), name="input_gt_boxes")
        gt_masks = keras.Input((None, *s.sampling.gt_mask_shape), dtype="bool", name="input_gt_masks")
        inputs = [self.image, self.image_meta, *rpn_targets, gt_class_ids, gt_boxes_px, gt_masks]
        size = image_size(self.image_meta)[:, None]  # [B, 1, 2]
        gt_boxes = norm_boxes(gt_boxes_px, size, s.continuous)  # [B, G, 4]

        if s.sampling.use_rpn_rois:
            proposals = self._proposals(self._anchors(), s.rpn.proposals_training)  # [B, R, 4]
        else:
            rois_px = keras.Input((s.rpn.proposals_training, 4), dtype="int32", name="input_roi")
            inputs.append(rois_px)
            valid = ops.any(rois_px != 0, axis=-1, keepdims=True)
            proposals = ops.where(valid, norm_boxes(rois_px, size, s.continuous), 0.0)  # [B, R, 4]
        candidates = proposals
        if s.sampling.gt_boxes_as_rois:
            # Skip padding, crowds and empty boxes: the normalised box of a single pixel has zero area.
            usable = ops.logical_and(gt_class_ids > 0, ops.all(gt_boxes[..., 2:] > gt_boxes[..., :2], axis=-1))
            candidates = ops.concatenate([proposals, ops.where(usable[..., None], gt_boxes, 0.0)], axis=1)  # [B, R + G, 4]

        sample = DetectionTargetLayer(
            rois_per_image=s.sampling.rois_per_image, positive_ratio=s.sampling.positive_ratio,
            positive_iou=s.sampling.positive_iou, fill_negatives=s.sampling.fill_negatives, seed=s.sampling.seed,
            use_mini_mask=s.sampling.use_mini_mask, mask_shape=s.heads.mask_shape, bbox_std_dev=s.heads.bbox_std_dev,
            continuous=s.continuous, name="proposal_targets")  # fmt: skip
        rois, target_class_ids, target_deltas, target_masks = sample(  # [B, T, 4], [B, T], [B, T, 4], [B, T, M, M]
            [candidates, gt_class_ids, gt_boxes, gt_masks])
        losses = {"loss_weights": dict(s.losses.weights), "class_weights": s.losses.class_weights,
                  "weight_decay": s.losses.weight_decay, "rpn_box_loss": asdict(s.losses.rpn_box),
                  "box_loss": asdict(s.losses.box)}  # fmt: skip
        rois = StoredValues(losses, name="loss_settings")(rois)  # unchanged: `TrainingModel` reads the values

        heads = self._for_training()
        class_logits, class_probs, deltas = heads._boxes(rois)  # [B, T, K], [B, T, K], [B, T, K, 4]
        max_positives = min(sample.max_positives, s.sampling.rois_per_image)
        mask_rois, mask_class_ids = rois[:, :max_positives], target_class_ids[:, :max_positives]  # [B, P, 4], [B, P]
        # Unless batch-norm statistics are frozen, the mask head needs all P rows: it computes batch statistics over them.
        if s.train_bn is False and on_tensorflow_cpu():
            mask_rois, mask_class_ids = PositiveRois(name="positive_rois")([mask_rois, mask_class_ids])  # [B, Q, 4], [B, Q]
        masks = heads._masks(mask_rois, mask_class_ids)  # [B, Q, M, M]

        outputs = {
            "anchor_levels": self.anchor_levels, "rpn_class_logits": self.rpn_class_logits, "rpn_class": self.rpn_class,
            "rpn_bbox": self.rpn_bbox, "rpn_rois": proposals, "rois": rois, "target_class_ids": target_class_ids,
            "target_deltas": target_deltas, "target_masks": target_masks, "mrcnn_class_logits": class_logits,
            "mrcnn_class": class_probs, "mrcnn_bbox": deltas, "mrcnn_mask": masks}  # fmt: skip
        return (model_class or TrainingModel)(inputs, outputs, name="mask_rcnn")

    def detection_model(self, model_class: type["RawImageModel"] | None = None) -> "RawImageModel":
        """Build the detection model, which predicts each detection's mask for its own class only.

        Inputs, in order: raw images [B, H, W, C]; image_meta [B, 12 + K]; normalised anchors [B, A, 4], unless the image
        size is fixed; min_confidence [B, 1], the minimum score of a detection.
        Outputs, in order: detections [B, D, 6] (see `DetectionLayer`); masks float32 [B, D, M, M].
        """
        anchors = self._anchors() if self.settings.image.fixed_size else keras.Input((None, 4), name="input_anchors")
        min_confidence = keras.Input((1,), dtype="float32", name="input_min_confidence")
        detections, *_ = self._detections(anchors, [min_confidence])  # [B, D, 6]
        if self.settings.train_bn:  # batch statistics are computed over all rows
            masks = self._masks(detections[:, :, :4], ops.cast(detections[:, :, 4], "int32"))  # [B, D, M, M]
        else:
            masks = DetectionMasks(self.align_mask, self._mask_head_of_chunk(), name="detection_masks")(
                [detections, self.image_meta, *self.pyramid[:4]])  # [B, D, M, M]
        inputs = [self.image, self.image_meta, *([] if self.settings.image.fixed_size else [anchors]), min_confidence]
        return (model_class or RawImageModel)(inputs, [detections, masks], name="mask_rcnn_detection")

    def inference_model(self, model_class: type["NetworkModel"] | None = None) -> "NetworkModel":
        """Build the classic inference model, which also outputs the intermediate results.

        Inputs, in order: molded images [B, H, W, C] (mean subtracted); image_meta [B, 12 + K]; normalised anchors [B, A, 4].
        Outputs, in order: detections [B, D, 6]; mrcnn_class [B, R, K]; mrcnn_bbox [B, R, K, 4]; mrcnn_mask
        [B, D, M, M, K]; rpn_rois [B, R, 4]; rpn_class [B, A, 2]; rpn_bbox [B, A, 4].
        """
        anchors = keras.Input((None, 4), name="input_anchors")
        detections, probs, deltas, rois = self._detections(anchors)
        masks = self._masks(detections[:, :, :4])  # [B, D, M, M, K]
        return (model_class or NetworkModel)(
            [self.image, self.image_meta, anchors],
            [detections, probs, deltas, masks, rois, self.rpn_class, self.rpn_bbox], name="mask_rcnn")

    def _anchors(self) -> KerasTensor:
        """Return the normalised anchors for the fixed image size: [B, A, 4]."""
        s = self.settings.anchors
        count = len(s.scales)
        return AnchorsLayer(self.settings.image.shape[:2], s.scales, s.ratios, s.level_shapes[:count], s.level_strides[:count],
                            s.stride, s.rounded, s.offset, self.settings.continuous, name="anchors")(self.image)  # fmt: skip

    def _proposals(self, anchors: KerasTensor, count: int) -> KerasTensor:
        """Return the RPN's proposals, normalised: [B, R, 4]."""
        s = self.settings
        propose = (LevelProposalLayer if s.rpn.per_level else ProposalLayer)(
            count, s.rpn.nms_threshold, pre_nms_limit=s.rpn.pre_nms_limit, bbox_std_dev=s.rpn.bbox_std_dev,
            max_log_scale=s.max_log_scale, name="ROI")  # fmt: skip
        levels = [self.image_meta, *self.anchor_levels] if s.rpn.per_level else []
        return propose([self.rpn_class, self.rpn_bbox, anchors, *levels])

    def _boxes(self, rois: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Apply the box head: logits [B, R, K], probabilities [B, R, K] and deltas [B, R, K, 4]."""
        return self.box_head(self.align_box([rois, self.image_meta, *self.pyramid[:4]]))

    def _masks(self, rois: KerasTensor, class_ids: KerasTensor | None = None) -> KerasTensor:
        """Apply the mask head: [B, R, M, M] for one class of each ROI, [B, R, M, M, K] for all classes."""
        return self.mask_head(self.align_mask([rois, self.image_meta, *self.pyramid[:4]]), class_ids)

    def _mask_head_of_chunk(self) -> keras.Model:
        """Wrap the mask head as a model over CHUNK detections, which `DetectionMasks` runs in a loop."""
        side = self.settings.heads.mask_pool_size
        features = keras.Input((CHUNK, side, side, self.settings.features.channels))
        class_ids = keras.Input((CHUNK,), dtype="int32")
        return NetworkModel([features, class_ids], self.mask_head(features, class_ids), name="mask_head")

    def _detections(self, anchors: KerasTensor, min_confidence: Sequence[KerasTensor] = ()) -> tuple[KerasTensor, ...]:
        """Return detections [B, D, 6], class probabilities [B, R, K], deltas [B, R, K, 4] and proposals [B, R, 4]."""
        s = self.settings
        rois = self._proposals(anchors, s.rpn.proposals_inference)
        _, probs, deltas = self._boxes(rois)
        detect = (PerClassDetectionLayer if s.detection.per_class else DetectionLayer)(
            max_instances=s.detection.max_instances, min_confidence=s.detection.min_confidence,
            nms_threshold=s.detection.nms_threshold, nms=s.detection.nms, bbox_std_dev=s.heads.bbox_std_dev,
            max_log_scale=s.max_log_scale, continuous=s.continuous,
            name="mrcnn_detection")  # fmt: skip
        return detect([rois, probs, deltas, self.image_meta, *min_confidence]), probs, deltas, rois


@keras.saving.register_keras_serializable(package="mrcnn")
class NetworkModel(keras.Model):
    """Base class of the models; it reconnects each BatchNorm to its convolution when a model is cloned or loaded."""

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(inputs, outputs, name=name, **kwargs)
        connect_convolutions(self)


@keras.saving.register_keras_serializable(package="mrcnn")
class RawImageModel(NetworkModel):
    """A model whose first input is raw images and whose second is their meta rows: it normalises the pixels on the device.

    Images are then transferred as uint8, a quarter of the bytes of float32.
    """

    def call(self, inputs, training=None, mask=None):
        raw_images, image_meta, *rest = inputs
        settings = self.get_layer("image_settings").values
        images = normalise_images(raw_images, image_meta, **settings)
        return super().call([images, image_meta, *rest], training=training, mask=mask)


def normalise_images(
    images: KerasTensor, image_meta: KerasTensor, mean_pixel: Sequence[float], std_pixel: Sequence[float], bgr: bool,
    mean_padding: bool,
) -> KerasTensor:
    """Convert raw images to the values that the backbone expects. `base.pixels` has the counterpart for arrays.

    Args:
        images: [B, H, W, C], from 0 to 255.
        image_meta: [B, 12 + K].
        mean_pixel, std_pixel, bgr, mean_padding: see `ImageSettings`.

    Returns:
        float32 [B, H, W, C].
    """
    x = ops.cast(images, "float32") - ops.convert_to_tensor(mean_pixel, "float32")
    if any(std != 1.0 for std in std_pixel):
        x = x / ops.convert_to_tensor(std_pixel, "float32")
    if bgr:
        x = ops.flip(x, axis=-1)
    return ops.where(_in_window(x, image_meta), x, 0.0) if mean_padding else x


def _in_window(images: KerasTensor, image_meta: KerasTensor) -> KerasTensor:
    """Return which pixels are part of the image, and not of its padding: bool [B, H, W, 1]."""
    window = ops.cast(split_image_meta(ops.convert_to_tensor(image_meta))["window"], "float32")[:, None, None]  # [B, 1, 1, 4]
    rows = ops.arange(ops.shape(images)[1], dtype="float32")[None, :, None]
    columns = ops.arange(ops.shape(images)[2], dtype="float32")[None, None, :]
    in_rows = ops.logical_and(rows >= window[..., 0], rows < window[..., 2])  # [B, H, 1]
    in_columns = ops.logical_and(columns >= window[..., 1], columns < window[..., 3])  # [B, 1, W]
    return ops.logical_and(in_rows, in_columns)[..., None]


@keras.saving.register_keras_serializable(package="mrcnn")
class TrainingModel(RawImageModel):
    """The network with its total loss: the weighted sum of the five losses, plus an L2 term.

    `Network.training_model` lists the inputs.

    Metrics: each loss times its weight, by name, and `positive_rois`, the fraction of sampled ROIs that are positive.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(inputs, outputs, name=name, **kwargs)
        settings = self.get_layer("loss_settings").values
        self.loss_weights, self.weight_decay = settings["loss_weights"], settings["weight_decay"]
        self.class_weights = settings["class_weights"]
        self.rpn_box_loss, self.box_loss = (BoxLoss(**settings[name]) for name in ("rpn_box_loss", "box_loss"))
        self.loss_metrics = [keras.metrics.Mean(name=name) for name in self.loss_weights]
        self.positive_rois = keras.metrics.Mean(name="positive_rois")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        metrics, total = {metric.name: metric for metric in self.loss_metrics}, self.l2_loss()
        for name, unweighted in self.compute_losses(x, y_pred).items():
            loss = unweighted * self.loss_weights[name]
            metrics[name].update_state(loss)
            total = total + loss
        num_positive = ops.sum(ops.cast(y_pred["target_class_ids"] > 0, "float32"))
        num_rois = ops.sum(ops.cast(_is_roi_of_an_image(ops.convert_to_tensor(x[1]), y_pred["rois"]), "float32"))
        self.positive_rois.update_state(num_positive / ops.maximum(num_rois, 1.0))
        return total

    def compute_losses(self, inputs: Sequence[KerasTensor], outputs: Mapping[str, KerasTensor]) -> dict[str, KerasTensor]:
        """Return the five losses, unweighted: float32 scalars by name.

        Args:
            inputs: in the order of `Network.training_model`.
            outputs: of the model for these inputs.
        """
        # Arrays on PyTorch, where `train_on_batch` hands them on as they are.
        image_meta, rpn_positions, rpn_labels, rpn_deltas = map(ops.convert_to_tensor, inputs[1:5])
        # The RPN once more, at the sampled anchors alone: no others have a gradient, because proposals are constants to it.
        rpn_logits, rpn_bbox = self.get_layer("rpn_model").at(outputs["anchor_levels"], rpn_positions)  # [B, S, 2], [B, S, 4]
        class_ids, masks = outputs["target_class_ids"], outputs["mrcnn_mask"]  # [B, T], [B, Q, M, M]
        valid = ops.any(outputs["rois"] != 0.0, axis=-1)
        num_masks = ops.shape(masks)[1]
        return {
            "rpn_class_loss": rpn_class_loss(rpn_labels, rpn_logits),
            "rpn_bbox_loss": rpn_bbox_loss(rpn_deltas, rpn_labels, rpn_bbox, self.rpn_box_loss),
            "mrcnn_class_loss": mrcnn_class_loss(
                class_ids, outputs["mrcnn_class_logits"], split_image_meta(image_meta)["active_class_ids"], valid,
                self.class_weights),
            "mrcnn_bbox_loss": mrcnn_bbox_loss(
                outputs["target_deltas"], class_ids, outputs["mrcnn_bbox"], valid, self.box_loss),
            "mrcnn_mask_loss": mrcnn_mask_loss(outputs["target_masks"][:, :num_masks], class_ids[:, :num_masks], masks),
        }  # fmt: skip

    def l2_loss(self) -> KerasTensor | float:
        """Return the L2 term: weight_decay times the sum, over all trainable kernels and biases, of the mean square.

        Differs: the paper sums the squares. The classic code averages them per tensor, and the classic learning rates are
        tuned for that.
        """
        decayed = [v for v in self.trainable_variables if v.name not in NOT_DECAYED]
        if not decayed or not self.weight_decay:
            return 0.0
        return self.weight_decay * sum(ops.mean(ops.square(ops.cast(v, "float32"))) for v in decayed)


def _join_levels(levels: Sequence[KerasTensor], name: str) -> KerasTensor:
    """Join the RPN's outputs for the anchors of each level, in float32."""
    joined: KerasTensor = keras.layers.Concatenate(axis=1, name=name, dtype="float32")(list(levels))
    return joined


def _is_roi_of_an_image(image_meta: KerasTensor, rois: KerasTensor) -> KerasTensor:
    """Return which ROIs are neither padding nor part of a padding image: bool [B, T]."""
    is_image = ops.any(split_image_meta(image_meta)["active_class_ids"] > 0, axis=-1, keepdims=True)
    return ops.logical_and(is_image, ops.any(rois != 0.0, axis=-1))


@keras.saving.register_keras_serializable(package="mrcnn")
class StoredValues(keras.layers.Layer):
    """An identity layer that stores values in the graph, because Keras clones a functional model from its graph alone.

    Args:
        values: must be JSON-serialisable.
    """

    def __init__(self, values: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.values = dict(values)

    def call(self, inputs):
        return inputs

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "values": self.values}
