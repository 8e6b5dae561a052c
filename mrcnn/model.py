"""The classic module `mrcnn.model`: its names, over the rooms of the house.

Classes and functions are the inner ones where their signature is the classic one. The others are adapters that unpack
`config` into explicit arguments. New code may import from the rooms directly.
"""

import keras
import numpy as np
from keras import ops

from mrcnn.base import pixels
from mrcnn.geometry.meta import compose_image_meta, parse_image_meta
from mrcnn.loading.augment import RandomFlip
from mrcnn.loading.generator import classic_batch, dense_rpn_match
from mrcnn.loading.sample import make_sample
from mrcnn.loading.targets import detection as detection_targets
from mrcnn.loading.targets import rpn as rpn_targets
from mrcnn.network.backbones.resnet import conv_block, identity_block, resnet_graph
from mrcnn.network.heads.box import BoxHead
from mrcnn.network.heads.mask import MaskHead
from mrcnn.network.heads.rpn import build_rpn_model, rpn_graph
from mrcnn.network.layers.batch_norm import BatchNorm
from mrcnn.network.layers.detection import DetectionLayer
from mrcnn.network.layers.detection_target import DetectionTargetLayer
from mrcnn.network.layers.proposal import ProposalLayer
from mrcnn.network.layers.pyramid_roi_align import PyramidROIAlign
from mrcnn.network.losses import mrcnn_bbox_loss, mrcnn_class_loss, mrcnn_mask_loss, rpn_bbox_loss, rpn_class_loss, smooth_l1
from mrcnn.network.ops import boxes as box_ops
from mrcnn.network.ops.boxes import denorm_boxes as denorm_boxes_graph
from mrcnn.network.ops.boxes import norm_boxes as norm_boxes_graph
from mrcnn.network.ops.gather import first_true, gather_rows
from mrcnn.network.ops.meta import parse_image_meta as parse_image_meta_graph
from mrcnn.training import settings
from mrcnn.training.graph_access import log
from mrcnn.training.mask_rcnn import MaskRCNN
from mrcnn.training.settings import compute_backbone_shapes

__all__ = [
    "BatchNorm", "DataGenerator", "DetectionLayer", "DetectionTargetLayer", "MaskRCNN", "ProposalLayer",
    "PyramidROIAlign", "apply_box_deltas_graph", "batch_pack_graph", "build_detection_targets", "build_fpn_mask_graph",
    "build_rpn_model", "build_rpn_targets", "clip_boxes_graph", "compose_image_meta", "compute_backbone_shapes",
    "conv_block", "data_generator", "denorm_boxes_graph", "detection_targets_graph", "fpn_classifier_graph",
    "generate_random_rois", "identity_block", "load_image_gt", "log", "log2_graph", "mold_image",
    "mrcnn_bbox_loss_graph", "mrcnn_class_loss_graph", "mrcnn_mask_loss_graph", "norm_boxes_graph", "overlaps_graph",
    "parse_image_meta", "parse_image_meta_graph", "refine_detections_graph", "resnet_graph", "rpn_bbox_loss_graph",
    "rpn_class_loss_graph", "rpn_graph", "smooth_l1_loss", "trim_zeros_graph", "unmold_image"]


# --- Boxes on tensors ------------------------------------------------------------------------------------------------
def apply_box_deltas_graph(boxes, deltas):
    """Shift and scale boxes [N, 4] by deltas [N, 4]; see `ops.boxes.apply_box_deltas`."""
    return box_ops.apply_box_deltas(boxes, deltas)


def clip_boxes_graph(boxes, window):
    """Clip boxes [N, 4] to a window [4]; see `ops.boxes.clip_boxes`."""
    return box_ops.clip_boxes(boxes, window)


def overlaps_graph(boxes1, boxes2):
    """Return the IoU [N1, N2] of two sets of boxes; see `ops.boxes.compute_overlaps`."""
    return box_ops.compute_overlaps(boxes1, boxes2)


def log2_graph(x):
    """Return the logarithm to base 2."""
    return ops.log(x) / np.log(np.float32(2.0))


def trim_zeros_graph(boxes, name="trim_zeros"):
    """Drop the rows that are all zero: eager use alone, for the result has no fixed size.

    Returns:
        tuple: boxes [N, 4], and bool [rows] of which rows they were.
    """
    keep = ops.any(ops.convert_to_tensor(boxes) != 0, axis=1)
    rows = np.flatnonzero(ops.convert_to_numpy(keep)).astype(np.int32)
    return ops.take(boxes, rows, axis=0), keep


def batch_pack_graph(x, counts, num_rows):
    """Join the first counts[i] rows of each image: [B, N, ...] -> [sum of counts, ...]. Eager use alone."""
    counts = ops.convert_to_numpy(counts)
    return ops.concatenate([x[i, :int(counts[i])] for i in range(num_rows)], axis=0)


# --- Parts of the network --------------------------------------------------------------------------------------------
def fpn_classifier_graph(rois, feature_maps, image_meta, pool_size, num_classes, train_bn=True, fc_layers_size=1024):
    """Add ROI align and the box head.

    Args:
        rois: [B, R, 4]. Normalised.
        feature_maps: [P2, P3, P4, P5].
        image_meta: [B, 12 + K].
        pool_size, num_classes, train_bn, fc_layers_size: as of `heads.box.BoxHead`.

    Returns:
        logits [B, R, K], probabilities [B, R, K], deltas [B, R, K, 4].
    """
    features = PyramidROIAlign([pool_size, pool_size], name="roi_align_classifier")([rois, image_meta, *feature_maps])
    return BoxHead(pool_size, num_classes, fc_layers_size, train_bn)(features)


def build_fpn_mask_graph(rois, feature_maps, image_meta, pool_size, num_classes, train_bn=True):
    """Add ROI align and the mask head; arguments as of `fpn_classifier_graph`. Returns masks [B, R, M, M, K]."""
    features = PyramidROIAlign([pool_size, pool_size], name="roi_align_mask")([rois, image_meta, *feature_maps])
    return MaskHead(num_classes, train_bn)(features)


def detection_targets_graph(proposals, gt_class_ids, gt_boxes, gt_masks, config):
    """Sample targets of one image.

    Args:
        proposals: [R, 4]. Normalised; gt_class_ids [G]; gt_boxes [G, 4] normalised; gt_masks [h, w, G].
        config: Config.

    Returns:
        rois [T, 4], class ids [T], deltas [T, 4], masks [T, M, M]; see `DetectionTargetLayer`.
    """
    gt_masks = ops.transpose(ops.convert_to_tensor(gt_masks), (2, 0, 1))
    batch = [ops.expand_dims(ops.convert_to_tensor(t), 0) for t in (proposals, gt_class_ids, gt_boxes, gt_masks)]
    return [output[0] for output in DetectionTargetLayer(config, seed=config.SEED)(batch)]


def refine_detections_graph(rois, probs, deltas, window, config):
    """Refine, filter and suppress the detections of one image.

    Args:
        rois: [R, 4]. Normalised; probs [R, K]; deltas [R, K, 4]; window [4] normalised.
        config: Config.

    Returns:
        float32 [D, 6]. (y1, x1, y2, x2, class id, score).
    """
    shape = tuple(int(v) for v in config.IMAGE_SHAPE)
    window = np.asarray(ops.convert_to_numpy(window), np.float64)
    scale = np.array([shape[0], shape[1], shape[0], shape[1]], np.float64) - 1
    pixels = window * scale + [0, 0, 1, 1]
    meta = compose_image_meta(0, shape, shape, pixels, 1.0, np.ones(config.NUM_CLASSES))
    batch = [ops.expand_dims(ops.convert_to_tensor(t), 0) for t in (rois, probs, deltas, np.float32(meta))]
    return DetectionLayer(config)(batch)[0]


# --- Losses ----------------------------------------------------------------------------------------------------------
def smooth_l1_loss(y_true, y_pred):
    """Return the smooth L1 distance of each element; see `network.losses.smooth_l1`."""
    return smooth_l1(y_true, y_pred)


def rpn_class_loss_graph(rpn_match, rpn_class_logits):
    """Return the class loss of the RPN for all anchors.

    Args:
        rpn_match: int [B, A, 1]. 1 positive, -1 negative, 0 neutral.
        rpn_class_logits: float [B, A, 2].
    """
    return rpn_class_loss(ops.squeeze(ops.convert_to_tensor(rpn_match), -1), rpn_class_logits)


def rpn_bbox_loss_graph(config, target_bbox, rpn_match, rpn_bbox):
    """Return the box loss of the RPN for all anchors.

    Args:
        config: not used; it belongs to the classic signature.
        target_bbox: float [B, S, 4]. Row i belongs to the i-th positive anchor; zero rows follow.
        rpn_match: int [B, A, 1]. 1 for positive anchors.
        rpn_bbox: float [B, A, 4]. Predicted deltas.
    """
    positions, valid = first_true(ops.squeeze(ops.convert_to_tensor(rpn_match), -1) == 1, target_bbox.shape[1])
    return rpn_bbox_loss(target_bbox, ops.cast(valid, "int32"), gather_rows(ops.convert_to_tensor(rpn_bbox), positions))


def mrcnn_class_loss_graph(target_class_ids, pred_class_logits, active_class_ids):
    """Return the class loss of the heads; see `network.losses.mrcnn_class_loss`."""
    return mrcnn_class_loss(target_class_ids, pred_class_logits, active_class_ids)


def mrcnn_bbox_loss_graph(target_bbox, target_class_ids, pred_bbox):
    """Return the box loss of the heads; see `network.losses.mrcnn_bbox_loss`."""
    return mrcnn_bbox_loss(target_bbox, target_class_ids, pred_bbox)


def mrcnn_mask_loss_graph(target_masks, target_class_ids, pred_masks):
    """Return the mask loss of the heads.

    Args:
        target_masks: float [B, R, M, M] of 0 and 1.
        target_class_ids: int [B, R]. Above 0 for positives.
        pred_masks: float [B, R, M, M, K]. Probabilities for every class.
    """
    class_ids = ops.maximum(ops.cast(target_class_ids, "int32"), 0)[:, :, None, None, None]
    return mrcnn_mask_loss(target_masks, target_class_ids, ops.take_along_axis(pred_masks, class_ids, axis=4)[..., 0])


# --- Images and training data ----------------------------------------------------------------------------------------
def mold_image(images, config):
    """Subtract config.MEAN_PIXEL: float32 of the shape of `images`."""
    return pixels.mold_image(np.asarray(images), config.MEAN_PIXEL)


def unmold_image(normalized_images, config):
    """Add config.MEAN_PIXEL again: uint8 of the shape of `normalized_images`."""
    return pixels.unmold_image(np.asarray(normalized_images), config.MEAN_PIXEL)


def load_image_gt(dataset, config, image_id, augment=False, augmentation=None, use_mini_mask=None):
    """Load an image and its ground truth, resized and padded to the network's input.

    Args:
        dataset: Dataset, prepared.
        config: Config.
        image_id: int.
        augment: bool. Flip left to right half of the time (the oldest form of augmentation).
        augmentation: imgaug augmenter, optional.
        use_mini_mask: bool. None follows config.USE_MINI_MASK.

    Returns:
        image [H, W, C]; image_meta [12 + K]; class_ids int32 [N]; boxes int32 [N, 4]; masks bool [H, W, N], or
        mini-masks of MINI_MASK_SHAPE.
    """
    image, meta, class_ids, boxes, masks = make_sample(
        dataset, image_id, settings.sample_settings(config, use_mini_mask), _augmenter(augment, augmentation))
    return image, meta, class_ids, boxes, np.moveaxis(masks, 0, -1)


def build_rpn_targets(image_shape, anchors, gt_class_ids, gt_boxes, config):
    """Match anchors to ground truth; see `mrcnn.loading.targets.rpn`. `image_shape` is not read.

    Returns:
        rpn_match int32 [A], 1 positive, -1 negative, 0 neutral; rpn_bbox float64 [T, 4], deltas of the positive anchors
        in ascending order of the anchors, then zero rows.
    """
    positions, labels, deltas = rpn_targets.build_rpn_targets(
        np.asarray(anchors), np.asarray(gt_class_ids), np.asarray(gt_boxes),
        num_train_anchors=config.RPN_TRAIN_ANCHORS_PER_IMAGE, bbox_std_dev=config.RPN_BBOX_STD_DEV)
    return dense_rpn_match(positions, labels, len(anchors)), deltas.astype(np.float64)


def build_detection_targets(rpn_rois, gt_class_ids, gt_boxes, gt_masks, config):
    """Sample ROIs and build their targets in NumPy; see `targets.detection.build_detection_targets`."""
    return detection_targets.build_detection_targets(
        rpn_rois, gt_class_ids, gt_boxes, np.moveaxis(gt_masks, -1, 0), **vars(settings.detection_target_settings(config)))


def generate_random_rois(image_shape, count, gt_class_ids, gt_boxes):
    """Make ROIs as an RPN might propose them; see `targets.detection.generate_random_rois`."""
    return detection_targets.generate_random_rois(image_shape, count, gt_class_ids, gt_boxes)


def data_generator(dataset, config, shuffle=True, augment=False, augmentation=None, random_rois=0, batch_size=1,
                   detection_targets=False, no_augmentation_sources=None):
    """Generate training batches without end.

    Args:
        dataset: Dataset, prepared.
        config: Config.
        shuffle: bool. A new order in each pass.
        augment: bool. Flip left to right half of the time (the oldest form of augmentation).
        augmentation: imgaug augmenter, optional.
        random_rois: int. Random regions an image, for training the heads without the RPN; 0 for none.
        batch_size: int. B.
        detection_targets: bool. With random_rois: sample the regions and make head targets of them.
        no_augmentation_sources: list of source names whose images are not augmented, optional.

    Yields:
        (inputs, outputs), lists of arrays; see `data.generator.data_generator`.
    """
    return settings.make_generator(
        dataset, config, shuffle=shuffle, augmentation=_augmenter(augment, augmentation), random_rois=random_rois,
        batch_size=batch_size, detection_targets=detection_targets, no_augmentation_sources=no_augmentation_sources)


class DataGenerator(keras.utils.PyDataset):
    """The batches of `data_generator` by position: one pass over the data, each image once.

    Args:
        dataset, config, shuffle, augmentation, random_rois, detection_targets: as of `data_generator`; batches have
            config.BATCH_SIZE images, the last of a pass what is left.
    """

    def __init__(self, dataset, config, shuffle=True, augmentation=None, random_rois=0, detection_targets=False,
                 **kwargs):
        super().__init__(**kwargs)
        if detection_targets and not random_rois:
            raise ValueError("detection_targets needs regions to make targets of: give random_rois too, such as 2000")
        self.loader = settings.make_loader(dataset, config, shuffle=shuffle, augmentation=augmentation)
        self.random_rois, self.mean_pixel = random_rois, config.MEAN_PIXEL
        self.detection = settings.detection_target_settings(config) if detection_targets else None
        self.epoch = 0

    def __len__(self):
        return len(self.loader)

    def __getitem__(self, idx):
        first, size = idx * self.loader.batch_size, self.loader.batch_size
        positions = range(first, min(first + size, self.loader.num_samples))
        samples = [self.loader.sample(self.epoch, position) for position in positions]
        rng = np.random.default_rng([self.loader.seed, self.epoch, idx])
        return classic_batch(self.loader, samples, self.mean_pixel, self.random_rois, self.detection, rng)

    def on_epoch_end(self):
        """Go on to the next order of the images."""
        self.epoch += 1


def _augmenter(augment, augmentation):
    """Return `augmentation`, or for the classic flag `augment` one that flips half of the images left to right."""
    return RandomFlip(horizontal=0.5) if augment and augmentation is None else augmentation
