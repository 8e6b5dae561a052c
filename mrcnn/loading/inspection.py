"""The stages of a training sample, for inspection.

Everything is computed with the functions that the loader and the generator use.

Shape letters: H W C network input, h w masks, N instances, A anchors, T sampled anchors, L pyramid levels, P positive
anchors, n anchors, R random ROIs, S sampled ROIs, K classes with background, M side of the mask targets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64, Num, Shaped

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.boxes import apply_box_deltas
from mrcnn.geometry.masks import expand_mask
from mrcnn.loading.generator import DetectionTargetSettings, dense_rpn_match
from mrcnn.loading.loader import TargetSettings
from mrcnn.loading.sample import Sample, SampleSettings, make_sample
from mrcnn.loading.targets.anchor_index import AnchorIndex, index_anchors
from mrcnn.loading.targets.random_rois import build_detection_targets, generate_random_rois
from mrcnn.loading.targets.rpn import NEGATIVE_IOU, build_rpn_targets

# The arrays of the classic generator, in its order.
GENERATOR_INPUTS = ("images", "image_meta", "rpn_match", "rpn_bbox", "gt_class_ids", "gt_boxes", "gt_masks", "rpn_rois", "rois")
GENERATOR_OUTPUTS = ("mrcnn_class_ids", "mrcnn_bbox", "mrcnn_mask")


@dataclass(frozen=True, eq=False)
class InspectionSettings:
    """How samples and targets are made; `mrcnn.training.settings.inspection_settings` reads it from a Config.

    Attributes:
        level_shapes: (height, width) of the feature map of each pyramid level that has anchors.
        scales: side of the square anchor of each level, in pixels.
        strides: distance between the cells of each feature map, in pixels.
        level_counts: number of anchors of each level, in the order of the anchors.
    """

    sample: SampleSettings
    targets: TargetSettings
    detection: DetectionTargetSettings
    level_shapes: Int[np.ndarray, "L 2"]
    scales: tuple
    strides: tuple
    level_counts: list[int]


@dataclass(frozen=True, eq=False)
class TrainingStages:
    """A sample and its targets, in pixels of the network's input.

    Attributes:
        image: resized and padded; the mean is not subtracted. The dtype is that of the file.
        image_meta: see `mrcnn.geometry.meta`.
        class_ids: negative for crowds.
        masks: mini-masks if `mini_masks`.
        rpn_match: 1 positive, -1 negative, 0 neutral, which the RPN's losses ignore.
        negative_anchors: the sampled negative anchors.
        neutral_anchors: the anchors with an IoU of at least 0.3 with an object that are not sampled.
        refined_anchors: the positive anchors after their target deltas are applied.
        rpn_rois: random ROIs, instead of the RPN's proposals.
        rois: the sampled ROIs, on which the heads train, the positive ones first.
        roi_class_ids: 0 is negative.
        roi_deltas: targets of the box head for the class of the ROI; 0 for negative ROIs.
        refined_rois: the ROIs after their target deltas are applied.
        roi_masks: targets of the mask head for the class of the ROI.
        mini_masks: whether `masks` are mini-masks.
    """

    image: Shaped[np.ndarray, "H W C"]
    image_meta: Float64[np.ndarray, " meta"]
    class_ids: Int32[np.ndarray, " N"]
    boxes: Int32[np.ndarray, "N 4"]
    masks: Bool[np.ndarray, "N h w"]
    anchors: Float64[np.ndarray, "A 4"]
    rpn_match: Int32[np.ndarray, " A"]
    positive_anchors: Float64[np.ndarray, "P 4"]
    negative_anchors: Float64[np.ndarray, "n 4"]
    neutral_anchors: Float64[np.ndarray, "m 4"]
    refined_anchors: Float[np.ndarray, "P 4"]
    rpn_rois: Int32[np.ndarray, "R 4"]
    rois: Int32[np.ndarray, "S 4"]
    roi_class_ids: Int32[np.ndarray, " S"]
    roi_deltas: Float32[np.ndarray, "S 4"]
    refined_rois: Float[np.ndarray, "S 4"]
    roi_masks: Float32[np.ndarray, "S M M"]
    mini_masks: bool

    def full_masks(self) -> Bool[np.ndarray, "H W N"]:
        """Return the masks at the size of the image."""
        masks = np.moveaxis(self.masks, 0, -1)
        return expand_mask(self.boxes, masks, self.image.shape) if self.mini_masks else masks

    @property
    def positive_fraction(self) -> float:
        """Fraction of the sampled ROIs that are positive."""
        return float((self.roi_class_ids > 0).mean())

    @property
    def unique_fraction(self) -> float:
        """Fraction of the sampled ROIs that are distinct: if there are too few, some are repeated."""
        return len(np.unique(self.rois, axis=0)) / len(self.rois)


def training_stages(
    dataset: Dataset,
    image_id: int | np.integer,
    settings: InspectionSettings,
    *,
    random_rois: int = 2000,
    augmentation: Any = None,
    seed: int = 0,
) -> TrainingStages:
    """Make one sample with all its targets.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        settings: see `InspectionSettings`.
        random_rois: R.
        augmentation: imgaug augmenter, `RandomFlip` or None.
        seed: seed of all random choices.

    Returns:
        The stages; those of an image without objects have no positive anchors and no positive ROIs.

    Raises:
        DataError: the image or its instances cannot be used.
    """
    rng = np.random.default_rng(seed)
    sample = make_sample(dataset, image_id, settings.sample, augmentation, rng)
    targets = settings.targets
    index = index_anchors(targets.anchors)
    positions, labels, deltas = build_rpn_targets(
        index, sample.class_ids, sample.boxes, num_train_anchors=targets.num_train_anchors,
        bbox_std_dev=targets.rpn_bbox_std_dev, rng=rng, positive_iou=targets.positive_iou,
        negative_iou=targets.negative_iou)  # fmt: skip
    rpn_match = dense_rpn_match(positions, labels, len(index))
    positive = index.anchors[positions[labels == 1]]
    refined_anchors = apply_box_deltas(positive, deltas[labels == 1] * np.asarray(targets.rpn_bbox_std_dev))
    rpn_rois, rois, roi_class_ids, class_deltas, class_masks = _sample_rois(sample, settings, random_rois, rng)
    rows = np.arange(len(rois))
    roi_deltas = class_deltas[rows, roi_class_ids]  # [S, 4]
    return TrainingStages(
        **sample._asdict(), anchors=index.anchors, rpn_match=rpn_match, positive_anchors=positive,
        negative_anchors=index.anchors[positions[labels == -1]],
        neutral_anchors=index.anchors[_neutral(index, rpn_match, sample.boxes[sample.class_ids > 0])],
        refined_anchors=refined_anchors, rpn_rois=rpn_rois, rois=rois, roi_class_ids=roi_class_ids, roi_deltas=roi_deltas,
        refined_rois=apply_box_deltas(rois, roi_deltas * np.asarray(settings.detection.bbox_std_dev)),
        roi_masks=class_masks[rows, :, :, roi_class_ids], mini_masks=settings.sample.mini_mask_shape is not None,
    )  # fmt: skip


def _sample_rois(
    sample: Sample, settings: InspectionSettings, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Draw random ROIs and make targets for some of them: (rpn_rois, rois, class_ids, deltas, masks)."""
    truth = sample.class_ids, sample.boxes
    rpn_rois = generate_random_rois(sample.image.shape, count, *truth, rng)
    return rpn_rois, *build_detection_targets(rpn_rois, *truth, sample.masks, **vars(settings.detection), rng=rng)


def _neutral(
    index: AnchorIndex, rpn_match: Int32[np.ndarray, " A"], boxes: Num[np.ndarray, "N 4"]
) -> Int64[np.ndarray, " n"]:
    """Return the indices of the anchors that overlap an object and are not sampled."""
    near = [index.overlapping(box, NEGATIVE_IOU)[0] for box in boxes if (box[2:] > box[:2]).all()]
    positions = np.unique(np.concatenate([np.zeros(0, np.int64), *near]))
    return positions[rpn_match[positions] == 0]


@dataclass
class PositiveFractions:
    """The fraction of positive ROIs in each of many images.

    Attributes:
        image_ids: the images.
        fractions: the fraction for each of `image_ids`.
        skipped: image id -> reason, for images that training skips.
        rois: S.
    """

    image_ids: list[int] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    rois: int = 0

    @property
    def mean(self) -> float:
        """The mean fraction; nan without images."""
        return float(np.mean(self.fractions)) if self.fractions else float("nan")

    def __str__(self) -> str:
        if not self.fractions:
            return f"positive ROIs: no image to sample; skipped: {len(self.skipped)}"
        text = (f"positive ROIs: {self.mean:.3f} of {self.rois} on average over {len(self.fractions)} images "
                f"({min(self.fractions):.3f} to {max(self.fractions):.3f})")  # fmt: skip
        return text + (f"; skipped: {len(self.skipped)}" if self.skipped else "")


def positive_roi_fractions(
    dataset: Dataset,
    settings: InspectionSettings,
    image_ids: Iterable[int | np.integer] | None = None,
    *,
    random_rois: int = 2000,
    seed: int = 0,
    progress: Show | None = None,
) -> PositiveFractions:
    """Sample ROIs in many images and compute the fraction that is positive, normally about a third.

    Args:
        dataset: prepared.
        settings: see `InspectionSettings`.
        image_ids: None for all images.
        random_rois: R.
        seed: seed of all random choices.
        progress: called with (done, total) after each image.

    Returns:
        The fractions. Images that are broken or without objects are skipped, as in training.
    """
    ids = [int(image_id) for image_id in (dataset.image_ids if image_ids is None else image_ids)]
    fractions = PositiveFractions(rois=settings.detection.rois_per_image)
    for done, image_id in enumerate(ids, start=1):
        rng = np.random.default_rng([seed, image_id])
        try:
            sample = make_sample(dataset, image_id, settings.sample, None, rng)
        except DataError as error:
            fractions.skipped[image_id] = str(error)
        else:
            if (sample.class_ids > 0).any():
                _, _, roi_class_ids, *_ = _sample_rois(sample, settings, random_rois, rng)
                fractions.image_ids.append(image_id)
                fractions.fractions.append(float((roi_class_ids > 0).mean()))
            else:
                fractions.skipped[image_id] = "no objects"
        if progress:
            progress(done, len(ids))
    return fractions


def describe_array(name: str, array: object) -> str:
    """Describe an array in one line: its name, shape, range and dtype."""
    array = np.asarray(array)
    text = f"{name:25}shape: {str(array.shape):20}  "
    text += f"min: {array.min():10.5f}  max: {array.max():10.5f}" if array.size else f"min: {'':10}  max: {'':10}"
    return f"{text}  {array.dtype}"


def describe_anchors(settings: InspectionSettings) -> str:
    """Describe the anchors of all levels in one line, then those of each level in a line each."""
    levels = zip(settings.level_counts, settings.scales, settings.level_shapes, settings.strides, strict=True)
    lines = [f"level {ix}: {count:7} anchors of {scale} pixels on a map of {h} x {w}, {stride} pixels a cell"
             for ix, (count, scale, (h, w), stride) in enumerate(levels)]  # fmt: skip
    return "\n".join([describe_array("anchors", settings.targets.anchors), *lines])


def describe_batch(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> str:
    """Describe the arrays of a batch that `mrcnn.loading.generator.data_generator` yields, a line each."""
    named = [*zip(GENERATOR_INPUTS, inputs), *zip(GENERATOR_OUTPUTS, outputs)]
    return "\n".join(describe_array(name, array) for name, array in named)
