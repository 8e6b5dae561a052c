"""What becomes of a data set on its way into the network, stage by stage, for those who want to see it.

Everything here is what the loader and the generator make, by the same functions; nothing is computed a second way.

Shape letters: H W C network input, h w masks as they are stored, N instances, A anchors, L pyramid levels, P positive
anchors, R random regions, S regions sampled, M side of the mask targets.
"""

from dataclasses import dataclass, field

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.geometry.boxes import apply_box_deltas
from mrcnn.geometry.masks import expand_mask
from mrcnn.loading.generator import DetectionTargetSettings, dense_rpn_match
from mrcnn.loading.loader import TargetSettings
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.loading.targets.anchor_index import index_anchors
from mrcnn.loading.targets.detection import build_detection_targets, generate_random_rois
from mrcnn.loading.targets.rpn import NEGATIVE_IOU, build_rpn_targets

# The arrays of the classic generator, in its order.
GENERATOR_INPUTS = ("images", "image_meta", "rpn_match", "rpn_bbox", "gt_class_ids", "gt_boxes", "gt_masks", "rpn_rois", "rois")
GENERATOR_OUTPUTS = ("mrcnn_class_ids", "mrcnn_bbox", "mrcnn_mask")


@dataclass(frozen=True, eq=False)
class InspectionSettings:
    """All that decides how samples and targets are made. `engine.settings.inspection_settings` takes it from a Config.

    Attributes:
        sample: SampleSettings.
        targets: TargetSettings.
        detection: DetectionTargetSettings.
        level_shapes: int [L, 2]. (height, width) of the map of each pyramid level.
        scales: [L]. Side of the square anchor of each level, in pixels.
        strides: [L]. Pixels from a cell of each map to the next.
        level_counts: list of L ints. Anchors of each level, in the order in which they stand.
    """

    sample: SampleSettings
    targets: TargetSettings
    detection: DetectionTargetSettings
    level_shapes: np.ndarray
    scales: tuple
    strides: tuple
    level_counts: list


@dataclass(frozen=True, eq=False)
class TrainingStages:
    """A sample and its targets, in pixels of the network's input.

    Attributes:
        image: [H, W, C] in the dtype of the file. Resized and padded, the mean not subtracted.
        image_meta: float64 [12 + K].
        class_ids: int32 [N]. Negative for crowds.
        boxes: int32 [N, 4].
        masks: bool [N, h, w]. Mini-masks where the settings say so.
        anchors: float64 [A, 4].
        rpn_match: int32 [A]. 1 positive, -1 negative, 0 neither: the RPN's losses pass it over.
        positive_anchors: float64 [P, 4].
        negative_anchors: float64 [n, 4]. Those chosen to train on.
        neutral_anchors: float64 [n, 4]. Those that overlap an object by 0.3 or more and are not trained on.
        refined_anchors: float32 [P, 4]. The positive anchors moved by their targets: where the RPN is to put them.
        rpn_rois: int32 [R, 4]. Random regions, in the place of the RPN's proposals.
        rois: int32 [S, 4]. The regions that the heads train on, positive ones first.
        roi_class_ids: int32 [S]. 0 is negative.
        roi_deltas: float32 [S, 4]. Targets of the box head for the region's class; zero for negative ones.
        refined_rois: float32 [S, 4]. Regions moved by their targets.
        roi_masks: float32 [S, M, M]. Targets of the mask head for the region's class.
        mini_masks: bool. Whether `masks` are.
    """

    image: np.ndarray
    image_meta: np.ndarray
    class_ids: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    anchors: np.ndarray
    rpn_match: np.ndarray
    positive_anchors: np.ndarray
    negative_anchors: np.ndarray
    neutral_anchors: np.ndarray
    refined_anchors: np.ndarray
    rpn_rois: np.ndarray
    rois: np.ndarray
    roi_class_ids: np.ndarray
    roi_deltas: np.ndarray
    refined_rois: np.ndarray
    roi_masks: np.ndarray
    mini_masks: bool

    def full_masks(self):
        """The masks at the size of the image: bool [H, W, N]."""
        masks = np.moveaxis(self.masks, 0, -1)
        return expand_mask(self.boxes, masks, self.image.shape) if self.mini_masks else masks

    @property
    def positive_share(self):
        """float: share of the sampled regions that are positive."""
        return float((self.roi_class_ids > 0).mean())

    @property
    def unique_share(self):
        """float: share of the sampled regions that are there once; others are repeated where there are too few."""
        return len(np.unique(self.rois, axis=0)) / len(self.rois)


def training_stages(dataset, image_id, settings, *, random_rois=2000, augmentation=None, seed=0):
    """Make one sample with all of its targets.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position in it.
        settings: InspectionSettings.
        random_rois: int. R.
        augmentation: imgaug augmenter, `RandomFlip` or None.
        seed: int. Of every random choice.

    Returns:
        TrainingStages. An image without objects has no positive anchors and regions.

    Raises:
        DataError: the image or its instances are not usable.
    """
    rng = np.random.default_rng(seed)
    image, meta, class_ids, boxes, masks = make_sample(dataset, image_id, settings.sample, augmentation, rng)
    targets = settings.targets
    index = index_anchors(targets.anchors)
    positions, labels, deltas = build_rpn_targets(index, class_ids, boxes, num_train_anchors=targets.num_train_anchors,
                                                  bbox_std_dev=targets.rpn_bbox_std_dev, rng=rng)  # fmt: skip
    rpn_match = dense_rpn_match(positions, labels, len(index))
    positive = index.anchors[positions[labels == 1]]
    refined_anchors = apply_box_deltas(positive, deltas[labels == 1] * targets.rpn_bbox_std_dev)
    truth = class_ids, boxes, masks
    rpn_rois, rois, roi_class_ids, class_deltas, roi_masks = _sample_rois(image.shape, truth, settings, random_rois, rng)
    rows = np.arange(len(rois))
    roi_deltas = class_deltas[rows, roi_class_ids]  # [S, 4]
    return TrainingStages(
        image=image, image_meta=meta, class_ids=class_ids, boxes=boxes, masks=masks, anchors=index.anchors,
        rpn_match=rpn_match, positive_anchors=positive, negative_anchors=index.anchors[positions[labels == -1]],
        neutral_anchors=index.anchors[_neutral(index, rpn_match, boxes[class_ids > 0])],
        refined_anchors=refined_anchors,
        rpn_rois=rpn_rois, rois=rois, roi_class_ids=roi_class_ids, roi_deltas=roi_deltas,
        refined_rois=apply_box_deltas(rois, roi_deltas * settings.detection.bbox_std_dev),
        roi_masks=roi_masks[rows, :, :, roi_class_ids], mini_masks=settings.sample.mini_mask_shape is not None,
    )  # fmt: skip


def _sample_rois(image_shape, truth, settings, count, rng):
    """Draw random regions and make targets of some: (rpn_rois, rois, class_ids, deltas, masks)."""
    rpn_rois = generate_random_rois(image_shape, count, *truth[:2], rng)
    return rpn_rois, *build_detection_targets(rpn_rois, *truth, **vars(settings.detection), rng=rng)


def _neutral(index, rpn_match, boxes):
    """Positions of the anchors that overlap an object, and are not trained on: int64 [n]."""
    near = [index.overlapping(box, NEGATIVE_IOU)[0] for box in boxes if (box[2:] > box[:2]).all()]
    near = np.unique(np.concatenate([np.zeros(0, np.int64), *near]))
    return near[rpn_match[near] == 0]


@dataclass
class PositiveShares:
    """The share of positive regions of many images.

    Attributes:
        image_ids: list of ints.
        shares: list of floats, one an image.
        left_out: dict image id -> reason, of images that training leaves out.
        rois: int. S, the regions sampled of an image.
    """

    image_ids: list = field(default_factory=list)
    shares: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    rois: int = 0

    @property
    def mean(self):
        """float: the average share; nan without images."""
        return float(np.mean(self.shares)) if self.shares else float("nan")

    def __str__(self):
        if not self.shares:
            return f"positive ROIs: no image to sample; left out: {len(self.left_out)}"
        text = (f"positive ROIs: {self.mean:.3f} of {self.rois} on average over {len(self.shares)} images "
                f"({min(self.shares):.3f} to {max(self.shares):.3f})")  # fmt: skip
        return text + (f"; left out: {len(self.left_out)}" if self.left_out else "")


def positive_roi_shares(dataset, settings, image_ids=None, *, random_rois=2000, seed=0, progress=None):
    """Sample regions on many images, and see how many are positive: about a third, where all is well.

    Args:
        dataset: Dataset, prepared.
        settings: InspectionSettings.
        image_ids: list of ints; None for all.
        random_rois: int. Random regions an image.
        seed: int.
        progress: function (done, total), called after each image; or None.

    Returns:
        PositiveShares. Images that are broken or without objects are left out, as in training.
    """
    image_ids = list(dataset.image_ids if image_ids is None else image_ids)
    found = PositiveShares(rois=settings.detection.rois_per_image)
    for done, image_id in enumerate(map(int, image_ids), start=1):
        rng = np.random.default_rng([seed, image_id])
        try:
            image, _, *truth = make_sample(dataset, image_id, settings.sample, None, rng)
        except DataError as error:
            found.left_out[image_id] = str(error)
        else:
            if (truth[0] > 0).any():
                _, _, roi_class_ids, *_ = _sample_rois(image.shape, truth, settings, random_rois, rng)
                found.image_ids.append(image_id)
                found.shares.append(float((roi_class_ids > 0).mean()))
            else:
                found.left_out[image_id] = "no objects"
        if progress:
            progress(done, len(image_ids))
    return found


def describe_array(name, array):
    """Say what an array is: its name, shape, range and dtype, in columns. Args: name: str. Returns: str, one line."""
    array = np.asarray(array)
    text = f"{name:25}shape: {str(array.shape):20}  "
    text += f"min: {array.min():10.5f}  max: {array.max():10.5f}" if array.size else f"min: {'':10}  max: {'':10}"
    return f"{text}  {array.dtype}"


def describe_anchors(settings):
    """Say which anchors there are, all together and on each level. Args: settings: InspectionSettings. Returns: str."""
    levels = zip(settings.level_counts, settings.scales, settings.level_shapes, settings.strides, strict=True)
    lines = [f"level {ix}: {count:7} anchors of {scale} pixels on a map of {h} x {w}, {stride} pixels a cell"
             for ix, (count, scale, (h, w), stride) in enumerate(levels)]  # fmt: skip
    return "\n".join([describe_array("anchors", settings.targets.anchors), *lines])


def describe_batch(inputs, outputs):
    """Say what the arrays of a batch of the classic generator are.

    Args:
        inputs, outputs: lists of arrays, as `data.generator.data_generator` yields them.

    Returns:
        str, a line an array.
    """
    named = [*zip(GENERATOR_INPUTS, inputs), *zip(GENERATOR_OUTPUTS, outputs)]
    return "\n".join(describe_array(name, array) for name, array in named)
