"""The network: one graph with three endings, to train, to detect, and to look inside.

Shapes: B images, H W C image, A anchors, R rois, G ground-truth slots, T sampled ROIs, K classes, D detections.
"""

import keras
import numpy as np
from keras import ops

from mrcnn.geometry.boxes import norm_boxes as norm_boxes_array
from mrcnn.network.backbones.fpn import build_pyramid
from mrcnn.network.backbones.registry import get_backbone
from mrcnn.network.classic_model import ClassicModel
from mrcnn.network.heads.box import BoxHead
from mrcnn.network.heads.mask import MaskHead
from mrcnn.network.heads.rpn import build_rpn_model
from mrcnn.network.layers.anchors import AnchorsLayer
from mrcnn.network.layers.detection import DetectionLayer
from mrcnn.network.layers.detection_masks import CHUNK, DetectionMasks
from mrcnn.network.layers.detection_target import DetectionTargetLayer
from mrcnn.network.layers.positive_rois import PositiveRois
from mrcnn.network.layers.proposal import ProposalLayer
from mrcnn.network.layers.pyramid_roi_align import PyramidROIAlign
from mrcnn.network.ops.boxes import norm_boxes
from mrcnn.network.ops.meta import image_size
from mrcnn.network.ops.placement import on_tensorflow_processor
from mrcnn.network.raw_image_model import RawImageModel
from mrcnn.network.training_model import TrainingModel
from mrcnn.training.settings import config_anchors


class Network:
    """All layers of Mask R-CNN, wired on demand into models that share them.

    Args:
        config: Config, validated.
        fixed_size: bool. Whether images have the size IMAGE_SHAPE; otherwise any multiple of 64.

    Attributes:
        config: Config.
        anchors: float32 [A, 4]. Normalised anchors of an image of IMAGE_SHAPE.
    """

    def __init__(self, config, fixed_size):
        self.config = config
        self.fixed_size = fixed_size
        height, width, channels = (int(v) for v in config.IMAGE_SHAPE)
        size = (height, width) if fixed_size else (None, None)
        self.image = keras.Input((*size, channels), name="input_image")
        self.image_meta = keras.Input((config.IMAGE_META_SIZE,), name="input_image_meta")
        self.anchors = norm_boxes_array(config_anchors(config), (height, width)).astype(np.float32)
        self._build_trunk()
        self.roi_align_box = PyramidROIAlign((config.POOL_SIZE,) * 2, name="roi_align_classifier")
        self.roi_align_mask = PyramidROIAlign((config.MASK_POOL_SIZE,) * 2, name="roi_align_mask")
        self.box_head = BoxHead(config.POOL_SIZE, config.NUM_CLASSES, config.FPN_CLASSIF_FC_LAYERS_SIZE,
                                config.TRAIN_BN)
        self.mask_head = MaskHead(config.NUM_CLASSES, config.TRAIN_BN, config.MASK_HEAD_CHANNELS)

    def _build_trunk(self):
        """Wire backbone, pyramid and RPN: what both endings start with."""
        config = self.config
        backbone = get_backbone(config.BACKBONE)
        maps = backbone(self.image, stage5=True, train_bn=config.TRAIN_BN)
        self.pyramid = build_pyramid(maps[-4:], config.TOP_DOWN_PYRAMID_SIZE)
        rpn = build_rpn_model(config.RPN_ANCHOR_STRIDE, len(config.RPN_ANCHOR_RATIOS), config.TOP_DOWN_PYRAMID_SIZE,
                              config.RPN_HEAD_CHANNELS)
        by_level = zip(*(rpn(level) for level in self.pyramid))
        self.rpn_class_logits, self.rpn_class, self.rpn_bbox = (
            keras.layers.Concatenate(axis=1, name=name, dtype="float32")(list(parts))
            for name, parts in zip(("rpn_class_logits", "rpn_class", "rpn_bbox"), by_level))

    def _constant_anchors(self):
        return AnchorsLayer(self.anchors, name="anchors")(self.image)

    def _proposals(self, anchors, count):
        layer = ProposalLayer(count, self.config.RPN_NMS_THRESHOLD, self.config, name="ROI")
        return layer([self.rpn_class, self.rpn_bbox, anchors])

    def _roi_features(self, align, rois):
        return align([rois, self.image_meta, *self.pyramid[:4]])

    def training_model(self):
        """Return the ending that is trained.

        Inputs, in order: images [B, H, W, C]; image_meta [B, 12 + K]; rpn_match int32 [B, A, 1], not 0 for at
        most T anchors of an image, and those behind count nothing; rpn_bbox [B, T, 4]; gt_class_ids int32 [B, G]; gt_boxes
        [B, G, 4] pixels; gt_masks bool [B, h, w, G]; and with USE_RPN_ROIS False rois [B, R, 4] pixels.
        Outputs, a dict: what the losses are computed from. "own_class_masks" is [B, Q, M, M]; on TensorFlow on a processor
        Q may differ from batch to batch, so `predict` takes one batch at a time.
        """
        config = self.config
        gt_class_ids = keras.Input((None,), dtype="int32", name="input_gt_class_ids")
        gt_boxes = keras.Input((None, 4), name="input_gt_boxes")
        mask_size = config.MINI_MASK_SHAPE if config.USE_MINI_MASK else config.IMAGE_SHAPE[:2]
        gt_masks = keras.Input((*(int(v) for v in mask_size), None), dtype="bool", name="input_gt_masks")
        inputs = [self.image, self.image_meta, keras.Input((None, 1), dtype="int32", name="input_rpn_match"),
                  keras.Input((None, 4), name="input_rpn_bbox"), gt_class_ids, gt_boxes, gt_masks]
        size = image_size(self.image_meta)[:, None]  # [B, 1, 2]
        if config.USE_RPN_ROIS:
            proposals = self._proposals(self._constant_anchors(), config.POST_NMS_ROIS_TRAINING)
        else:
            given = keras.Input((config.POST_NMS_ROIS_TRAINING, 4), dtype="int32", name="input_roi")
            inputs.append(given)
            # All-zero rows are padding, and stay so.
            there = ops.any(given != 0, axis=-1, keepdims=True)
            proposals = ops.where(there, norm_boxes(given, size), 0.0)
        truth = norm_boxes(gt_boxes, size)
        candidates = proposals
        if config.GT_BOXES_AS_ROIS:
            # Neither padding nor a crowd, and with an area: a box of one pixel overlaps nothing, itself neither.
            usable = ops.logical_and(gt_class_ids > 0, ops.all(truth[..., 2:] > truth[..., :2], axis=-1))
            candidates = ops.concatenate([proposals, ops.where(usable[..., None], truth, 0.0)], axis=1)
        targets = DetectionTargetLayer(config, seed=config.SEED, name="proposal_targets")
        rois, class_ids, deltas, masks = targets([candidates, gt_class_ids, truth, gt_masks])
        class_logits, class_probs, pred_deltas = self.box_head(self._roi_features(self.roi_align_box, rois))
        # Positives stand in the first rows, and the mask loss is about positives alone, each for its own class.
        most = min(targets.max_positives, config.TRAIN_ROIS_PER_IMAGE)
        mask_rois, mask_class_ids = rois[:, :most], class_ids[:, :most]
        # Unless TRAIN_BN is False, the statistics of a batch are those of all these rows.
        if config.TRAIN_BN is False and on_tensorflow_processor():
            mask_rois, mask_class_ids = PositiveRois(name="positive_rois")([mask_rois, mask_class_ids])
        own_masks = self.mask_head.of_class(self._roi_features(self.roi_align_mask, mask_rois), mask_class_ids)
        outputs = {
            "pyramid": self.pyramid, "rpn_class_logits": self.rpn_class_logits, "rpn_class": self.rpn_class,
            "rpn_bbox": self.rpn_bbox, "rpn_rois": proposals, "rois": rois, "target_class_ids": class_ids,
            "target_deltas": deltas, "target_masks": masks, "mrcnn_class_logits": class_logits,
            "mrcnn_class": class_probs, "mrcnn_bbox": pred_deltas, "own_class_masks": own_masks}
        return TrainingModel(inputs, outputs, loss_weights=dict(config.LOSS_WEIGHTS), weight_decay=config.WEIGHT_DECAY,
                             mean_pixel=config.MEAN_PIXEL, name="mask_rcnn")

    def inference_model(self, min_confidence=None):
        """Return the classic ending that detects, whose outputs are there to be looked at.

        Args:
            min_confidence: float. Least score of a detection; DETECTION_MIN_CONFIDENCE when None.

        Inputs: molded images [B, H, W, C]; image_meta [B, 12 + K]; normalised anchors [B, A, 4].
        Outputs, in order: detections [B, D, 6]; mrcnn_class [B, R, K]; mrcnn_bbox [B, R, K, 4];
        mrcnn_mask [B, D, M, M, K]; rpn_rois [B, R, 4]; rpn_class [B, A, 2]; rpn_bbox [B, A, 4].
        """
        anchors = keras.Input((None, 4), name="input_anchors")
        detections, probs, deltas, rois = self._detections(anchors, min_confidence)
        masks = self.mask_head(self._roi_features(self.roi_align_mask, detections[:, :, :4]))
        return ClassicModel([self.image, self.image_meta, anchors],
                            [detections, probs, deltas, masks, rois, self.rpn_class, self.rpn_bbox], name="mask_rcnn")

    def detection_model(self, min_confidence=None):
        """Return the ending that detects and computes nothing else: the mask of each detection for its own class.

        Args:
            min_confidence: float. Least score of a detection; DETECTION_MIN_CONFIDENCE when None.

        Inputs: images [B, H, W, C], raw uint8 or molded; image_meta [B, 12 + K]; and where the size of images is free
        normalised anchors [B, A, 4].
        Outputs, in order: detections [B, D, 6]; masks float32 [B, D, M, M].
        """
        inputs = [self.image, self.image_meta]
        if self.fixed_size:
            anchors = self._constant_anchors()
        else:
            anchors = keras.Input((None, 4), name="input_anchors")
            inputs.append(anchors)
        detections, *_ = self._detections(anchors, min_confidence)
        if self.config.TRAIN_BN:  # statistics of the batch are of all rows
            features = self._roi_features(self.roi_align_mask, detections[:, :, :4])
            masks = self.mask_head.of_class(features, ops.cast(detections[:, :, 4], "int32"))
        else:
            masks = DetectionMasks(self.roi_align_mask, self._own_class_head(), name="detection_masks")(
                [detections, self.image_meta, *self.pyramid[:4]])
        return RawImageModel(inputs, [detections, masks], mean_pixel=self.config.MEAN_PIXEL, name="mask_rcnn_detection")

    def _own_class_head(self):
        """Return the mask head over a chunk of detections as a model of its own."""
        side, depth = self.config.MASK_POOL_SIZE, self.config.TOP_DOWN_PYRAMID_SIZE
        features = keras.Input((CHUNK, side, side, depth))
        class_ids = keras.Input((CHUNK,), dtype="int32")
        return keras.Model([features, class_ids], self.mask_head.of_class(features, class_ids), name="own_class_masks")

    def _detections(self, anchors, min_confidence):
        """Wire everything up to the detections: these, class probabilities, deltas and proposals."""
        config = self.config
        rois = self._proposals(anchors, config.POST_NMS_ROIS_INFERENCE)
        _, probs, deltas = self.box_head(self._roi_features(self.roi_align_box, rois))
        if min_confidence is None:
            min_confidence = config.DETECTION_MIN_CONFIDENCE
        detect = DetectionLayer(
            max_instances=config.DETECTION_MAX_INSTANCES, min_confidence=min_confidence,
            nms_threshold=config.DETECTION_NMS_THRESHOLD, bbox_std_dev=config.BBOX_STD_DEV, name="mrcnn_detection")
        return detect([rois, probs, deltas, self.image_meta]), probs, deltas, rois
