"""The classic generator: batches without end, in the layout that scripts and notebooks of the classic code unpack.

Training itself uses `mrcnn.loading.loader`; this one is for those who want the regions and head targets made outside the
network too.

Shape letters: B images, H W C network input, A anchors, T anchors trained on, G ground-truth rows (padded), h w
masks, R random regions, S regions sampled, K classes with background.

Batches with random regions, to train the heads before or without the region proposal network.

Shapes: B images, R random regions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from mrcnn.base.pixels import mold_image
from mrcnn.loading.loader import Loader, pad_ground_truth, stack_images
from mrcnn.loading.targets.detection import build_detection_targets, generate_random_rois

# The regions have a random stream of their own, apart from the loader's streams 0 and 1.
_ROI_STREAM = 2


class WithRandomRois:
    """The batches of a loader, each with random regions of its images as the last array: a function of the step.

    Args:
        loader: Loader.
        num_rois: int. R.
    """

    def __init__(self, loader, num_rois):
        self.loader, self.num_rois = loader, num_rois

    def __call__(self, step):
        """Make the batch of a step. Returns: the loader's arrays, and int32 [B, R, 4] pixel boxes."""
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
    """How head targets are made; the fields are the keywords of `mrcnn.loading.targets.detection.build_detection_targets`."""

    rois_per_image: int
    positive_ratio: float
    num_classes: int
    bbox_std_dev: np.ndarray
    mask_shape: tuple
    use_mini_mask: bool


def data_generator(
    dataset,
    sample_settings,
    target_settings,
    *,
    batch_size=1,
    shuffle=True,
    augmentation=None,
    no_augmentation_sources=(),
    keep_empty=False,
    mean_pixel=0.0,
    random_rois=0,
    detection=None,
    seed=None,
):
    """Generate batches without end; an image that is broken or empty is passed over, as in the loader.

    Args:
        dataset: Dataset, prepared.
        sample_settings: SampleSettings.
        target_settings: TargetSettings.
        batch_size: int. B.
        shuffle: bool. A new order in each pass.
        augmentation, no_augmentation_sources, keep_empty: see `Loader`.
        mean_pixel: [C]. Subtracted from the images.
        random_rois: int. R; 0 for none.
        detection: DetectionTargetSettings, to sample the random regions and compute head targets too; or None.
        seed: int; None draws one from NumPy's global state.

    Yields:
        (inputs, outputs), two lists. Inputs: images float32 [B, H, W, C], image_meta float64 [B, 12 + K], rpn_match
        int32 [B, A, 1], rpn_bbox float64 [B, T, 4], gt_class_ids int32 [B, G], gt_boxes int32 [B, G, 4], gt_masks
        bool [B, h, w, G]; with random_rois also rpn_rois int32 [B, R, 4]; with detection also rois int32 [B, S, 4].
        Outputs: with detection, mrcnn_class_ids int32 [B, S, 1], mrcnn_bbox float32 [B, S, K, 4], mrcnn_mask float32
        [B, S, mask height, mask width, K]; else empty.

    Raises:
        DataError: the data set has nothing to train on.
        ValueError: detection without random_rois, or images of different sizes in a batch.
    """
    if detection is not None and not random_rois:
        raise ValueError("detection_targets needs regions to make targets of: give random_rois too, such as 2000")
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
    rng = np.random.default_rng([loader.seed, 2])
    return _batches(loader, mean_pixel, random_rois, detection, rng)


def _batches(loader, mean_pixel, random_rois, detection, rng):
    taken = 0
    while True:
        # a batch is always full: where a pass ends in its middle, the next one goes on
        samples = [loader.sample(*divmod(taken + i, loader.num_samples)) for i in range(loader.batch_size)]
        taken += loader.batch_size
        yield classic_batch(loader, samples, mean_pixel, random_rois, detection, rng)


def classic_batch(loader, samples, mean_pixel, random_rois, detection, rng):
    """Put samples into the classic arrays, with random regions and their targets when asked for.

    Args:
        loader: Loader that made the samples.
        samples: list of what `Loader.sample` gives.
        mean_pixel, random_rois, detection: see `data_generator`.
        rng: np.random.Generator.

    Returns:
        (inputs, outputs), as `data_generator` yields them.
    """
    inputs, outputs = _classic_inputs(loader, samples, mean_pixel), []
    if random_rois:
        parts = [_regions(sample, random_rois, detection, rng) for sample in samples]
        stacked = [np.stack(arrays) for arrays in zip(*parts, strict=True)]
        inputs += stacked[:2]
        if detection is not None:
            outputs = [stacked[2][:, :, None], *stacked[3:]]
    return inputs, outputs


def _regions(sample, random_rois, detection, rng):
    """Random regions of one image, and head targets of some: (rpn_rois, rois, class_ids, deltas, masks)."""
    truth = sample.class_ids, sample.boxes
    rpn_rois = generate_random_rois(sample.image.shape, random_rois, *truth, rng)
    if detection is None:
        return (rpn_rois,)
    return (rpn_rois, *build_detection_targets(rpn_rois, *truth, sample.masks, **vars(detection), rng=rng))


def _classic_inputs(loader, samples, mean_pixel):
    """Collate samples in the classic layout: dense RPN matches, masks with their instances on the last axis."""
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
    """Write RPN targets as the classic match: 1 for a positive anchor, -1 for a negative one, 0 for all others."""
    match = np.zeros(num_anchors, np.int32)
    valid = labels != 0
    match[positions[valid]] = labels[valid]
    return match
