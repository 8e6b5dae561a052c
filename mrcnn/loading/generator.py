"""The classic generator: endless batches in the layout that scripts and notebooks of the classic code unpack.

Training uses `mrcnn.loading.loader`. This module converts its samples to their classic form: RPN targets with a label for
every anchor, masks with the instances on the last axis, images with the mean subtracted, and optionally random ROIs and the
targets of the heads, computed outside the network.

`WithRandomRois` is not classic: it adds random ROIs to the loader's batches, to train the heads without the RPN.

Shape letters: B images, H W C network input, A anchors, T sampled anchors, G ground-truth rows (padded), h w masks,
R random ROIs, S sampled ROIs, K classes with background.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int32

from mrcnn.base.pixels import mold_image
from mrcnn.base.types import Numbers
from mrcnn.datasets.dataset import Dataset
from mrcnn.loading.loader import Loader, TargetSettings, TrainingSample, pad_ground_truth, stack_images
from mrcnn.loading.sample import SampleSettings
from mrcnn.loading.targets.random_rois import build_detection_targets, generate_random_rois

# The random stream of the ROIs; the loader uses streams 0 and 1.
_ROI_STREAM = 2

# (inputs, outputs) for the Keras models of the classic code.
ClassicBatch: TypeAlias = tuple[list[np.ndarray], list[np.ndarray]]


class WithRandomRois:
    """The batches of a loader, each with random ROIs of its images as the last array.

    Args:
        loader: makes the batches.
        num_rois: R.
    """

    def __init__(self, loader: Loader, num_rois: int) -> None:
        self.loader, self.num_rois = loader, num_rois

    def __call__(self, step: int) -> tuple[np.ndarray, ...]:
        """Return the batch of a step, which depends on the step alone: the loader's arrays and int32 [B, R, 4] pixel boxes."""
        batch = self.loader[step]
        images, _, _, _, _, class_ids, boxes, _ = batch
        rng = np.random.default_rng([self.loader.seed, _ROI_STREAM, step])
        rois = [
            generate_random_rois(images.shape[1:], self.num_rois, *truth, rng)
            for truth in zip(class_ids, boxes, strict=True)
        ]
        return (*batch, np.stack(rois))


@dataclass(frozen=True, eq=False)
class DetectionTargetSettings:
    """How the targets of the heads are made: arguments of `mrcnn.loading.targets.random_rois.build_detection_targets`."""

    rois_per_image: int
    positive_ratio: float
    num_classes: int
    bbox_std_dev: Numbers
    mask_shape: tuple[int, int]
    use_mini_mask: bool


def data_generator(
    dataset: Dataset,
    sample_settings: SampleSettings,
    target_settings: TargetSettings,
    *,
    batch_size: int = 1,
    shuffle: bool = True,
    augmentation: Any = None,
    no_augmentation_sources: Iterable[str] | None = (),
    keep_empty: bool = False,
    mean_pixel: Numbers = 0.0,
    random_rois: int = 0,
    detection: DetectionTargetSettings | None = None,
    seed: int | None = None,
) -> Iterator[ClassicBatch]:
    """Generate an endless sequence of batches. Broken and empty images are skipped, as by the loader.

    Args:
        dataset: prepared.
        sample_settings, target_settings: see `Loader`.
        batch_size: B.
        shuffle: whether each pass over the data has a different order.
        augmentation, no_augmentation_sources, keep_empty: see `Loader`.
        mean_pixel: C numbers, or one. Subtracted from the images.
        random_rois: R; 0 for none.
        detection: how to sample the random ROIs and make targets of the heads; None for neither.
        seed: seed of all random choices; None draws one from NumPy's global state.

    Yields:
        (inputs, outputs). Inputs: images float32 [B, H, W, C], image_meta float64 [B, 12 + K], rpn_match int32
        [B, A, 1] (1 positive, -1 negative, 0 neutral), rpn_bbox float64 [B, T, 4], gt_class_ids int32 [B, G], gt_boxes
        int32 [B, G, 4], gt_masks bool [B, h, w, G]; with random_rois also rpn_rois int32 [B, R, 4]; with detection also
        rois int32 [B, S, 4]. Outputs: with detection mrcnn_class_ids int32 [B, S, 1], mrcnn_bbox float32 [B, S, K, 4],
        mrcnn_mask float32 [B, S, mask height, mask width, K]; without it none.

    Raises:
        DataError: the data set has nothing to train on.
        ValueError: detection without random_rois, or images of different sizes in a batch.
    """
    if detection is not None and not random_rois:
        raise ValueError("detection_targets needs ROIs to build targets for: give random_rois too, such as 2000")
    loader = Loader(
        dataset,
        sample_settings,
        target_settings,
        batch_size,
        seed=np.random.randint(2**31) if seed is None else seed,
        shuffle=shuffle,
        augmentation=augmentation,
        no_augmentation_sources=no_augmentation_sources,
        keep_empty=keep_empty,
    )
    return _batches(loader, mean_pixel, random_rois, detection, np.random.default_rng([loader.seed, _ROI_STREAM]))


def _batches(
    loader: Loader,
    mean_pixel: Numbers,
    random_rois: int,
    detection: DetectionTargetSettings | None,
    rng: np.random.Generator,
) -> Iterator[ClassicBatch]:
    done = 0
    while True:
        # Every batch is full: if a pass ends within a batch, the batch continues with the next pass.
        samples = [loader.sample(*divmod(done + i, loader.num_samples)) for i in range(loader.batch_size)]
        done += loader.batch_size
        yield classic_batch(loader, samples, mean_pixel, random_rois, detection, rng)


def classic_batch(
    loader: Loader,
    samples: Sequence[TrainingSample],
    mean_pixel: Numbers,
    random_rois: int,
    detection: DetectionTargetSettings | None,
    rng: np.random.Generator,
) -> ClassicBatch:
    """Make a batch of samples in the classic layout, with random ROIs and targets of the heads if requested.

    Args:
        loader: the loader that made the samples.
        samples: B samples.
        mean_pixel, random_rois, detection: see `data_generator`, which yields what this returns.
        rng: draws the ROIs.
    """
    inputs, outputs = _classic_inputs(loader, samples, mean_pixel), []
    if random_rois:
        parts = [_draw_rois(sample, random_rois, detection, rng) for sample in samples]
        stacked = [np.stack(arrays) for arrays in zip(*parts, strict=True)]
        inputs += stacked[:2]
        if detection is not None:
            outputs = [stacked[2][:, :, None], *stacked[3:]]
    return inputs, outputs


def _classic_inputs(loader: Loader, samples: Sequence[TrainingSample], mean_pixel: Numbers) -> list[np.ndarray]:
    """Make the first seven inputs of a classic batch."""
    num_anchors = len(loader.target_settings.anchors)
    matches = [dense_rpn_match(sample.rpn_positions, sample.rpn_labels, num_anchors) for sample in samples]
    class_ids, boxes, masks = pad_ground_truth(samples, loader.target_settings.max_gt_instances)
    return [
        mold_image(stack_images([sample.image for sample in samples]), mean_pixel),
        np.stack([sample.image_meta for sample in samples]),
        np.stack(matches)[:, :, None],
        np.stack([sample.rpn_deltas for sample in samples]).astype(np.float64),
        class_ids,
        boxes,
        np.ascontiguousarray(np.moveaxis(masks, 1, -1)),
    ]


def dense_rpn_match(
    positions: Int32[np.ndarray, " T"], labels: Int32[np.ndarray, " T"], num_anchors: int
) -> Int32[np.ndarray, " A"]:
    """Convert the RPN's targets to the classic form: 1 for a positive anchor, -1 for a negative one, 0 for all others.

    Args:
        positions, labels: see `mrcnn.loading.targets.rpn.build_rpn_targets`.
        num_anchors: A.
    """
    match = np.zeros(num_anchors, np.int32)
    valid = labels != 0
    match[positions[valid]] = labels[valid]
    return match


def _draw_rois(
    sample: TrainingSample, random_rois: int, detection: DetectionTargetSettings | None, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Draw random ROIs for one image; with `detection` sample some: (rpn_rois, rois, class_ids, deltas, masks)."""
    truth = sample.class_ids, sample.boxes
    rpn_rois = generate_random_rois(sample.image.shape, random_rois, *truth, rng)
    if detection is None:
        return (rpn_rois,)
    return (rpn_rois, *build_detection_targets(rpn_rois, *truth, sample.masks, **vars(detection), rng=rng))
