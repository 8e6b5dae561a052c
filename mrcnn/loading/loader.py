"""The loader: batches of training arrays, each a function of (seed, step) alone.

Because `loader[step]` depends on nothing else, any worker may make any batch in any order, and an interrupted run resumes
exactly, with any number of workers.

Shape letters: B images, H W C network input, T sampled anchors, G ground-truth rows (padded), N instances, h w masks,
K classes with background.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Num, Shaped

from mrcnn.base.errors import DataError, warn_of_one_more
from mrcnn.base.random import choose
from mrcnn.base.types import Numbers
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.datasets.splits import DatasetView
from mrcnn.geometry.meta import META_FIELDS
from mrcnn.geometry.resize import SIDE_MULTIPLE
from mrcnn.loading.repeats import repeat_factors, repeat_images
from mrcnn.loading.sample import PasteSourceError, Sample, SampleSettings, load_checked_image, make_sample
from mrcnn.loading.targets.anchor_index import index_anchors
from mrcnn.loading.targets.rpn import NEGATIVE_IOU, POSITIVE_IOU, build_rpn_targets

logger = logging.getLogger(__name__)
# images whose instances are read for an error message
_LOOKED_AT = 100

# Random streams: one for the order of a pass, one for its samples.
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1

# A function (shape, dtype) -> uninitialised array, such as `np.empty`.
Take: TypeAlias = Callable[[tuple[int, ...], Any], np.ndarray]


class TrainingSample(NamedTuple):
    """A `Sample` of at most G instances, unpadded, with the targets of the region proposal network.

    Attributes:
        rpn_positions, rpn_labels, rpn_deltas: see `mrcnn.loading.targets.rpn.build_rpn_targets`.
        image, image_meta, class_ids, boxes, masks: see `mrcnn.loading.sample.Sample`.
    """

    image: Shaped[np.ndarray, "H W C"]
    image_meta: Float64[np.ndarray, " 12+K"]
    rpn_positions: Int32[np.ndarray, " T"]
    rpn_labels: Int32[np.ndarray, " T"]
    rpn_deltas: Float32[np.ndarray, "T 4"]
    class_ids: Int32[np.ndarray, " N"]
    boxes: Int32[np.ndarray, "N 4"]
    masks: Bool[np.ndarray, "N h w"]


@dataclass(frozen=True)
class Findings:
    """Images and annotations that a loader has skipped.

    Attributes:
        broken: image id -> reason, for images that cannot be used.
        empty: ids of images that are skipped because they have no instances.
        skipped: (where, reason) of each annotation that the reader of the data set has skipped.
    """

    broken: dict[int, str] = field(default_factory=dict)
    empty: set[int] = field(default_factory=set)
    skipped: list[tuple[object, str]] = field(default_factory=list)

    def since(self, earlier: "Findings") -> "Findings":
        """Return what was added since earlier findings of the same loader."""
        broken = {image_id: reason for image_id, reason in self.broken.items() if image_id not in earlier.broken}
        return Findings(broken, self.empty - earlier.empty, self.skipped[len(earlier.skipped) :])


@dataclass(frozen=True, eq=False)
class TargetSettings:
    """How the targets of a sample are made.

    Attributes:
        anchors: pixel boxes in the network's input.
        num_train_anchors: T, RPN_TRAIN_ANCHORS_PER_IMAGE.
        rpn_bbox_std_dev: 4 numbers.
        max_gt_instances: G.
        positive_iou, negative_iou: see `build_rpn_targets`.
        image_size: (H, W) that the anchors are for, multiples of 64; a sample of another size counts as broken. None accepts
            any size.
    """

    anchors: Num[np.ndarray, "A 4"]
    num_train_anchors: int
    rpn_bbox_std_dev: Numbers
    max_gt_instances: int
    positive_iou: float = POSITIVE_IOU
    negative_iou: float = NEGATIVE_IOU
    image_size: tuple[int, int] | None = None


class Loader:
    """Batches of a data set for any number of passes over it.

    `len(loader)` is the number of batches in a pass. `loader[step]`, for any step >= 0, is batch `step % len(loader)` of pass
    `step // len(loader)`; each pass has a different order. (An epoch of training may be shorter: see STEPS_PER_EPOCH.) If the
    images do not fill the last batch of a pass, it is padded with rows that the losses ignore, so all batches have the same
    shape and the model compiles once. A batch is a tuple of arrays:

        images: uint8 [B, H, W, C], or float32 for images of floats (see `mrcnn.io.images.to_channels`). The network
            subtracts the mean. All batches have the dtype of the first image; an image of the other dtype counts as broken.
        image_meta: float32 [B, 12 + K].
        rpn_positions: int32 [B, T]. Indices of the sampled anchors: positive, then negative, then padding (0).
        rpn_labels: int32 [B, T]. 1 positive, -1 negative, 0 padding.
        rpn_deltas: float32 [B, T, 4]. From each positive anchor to its box; 0 in the other rows.
        gt_class_ids: int32 [B, G]. Negative for crowds, 0 for padding.
        gt_boxes: int32 [B, G, 4]. Pixels; 0 for padding.
        gt_masks: bool [B, G, h, w]. Mini-masks, or masks of the size of the image; False for padding.

    An image that cannot be used is recorded in `broken`, and the next usable image of the pass replaces it. The first ten are
    logged; of more, only their number, each time that it has doubled.
    Several threads may use a loader. It can be pickled for other processes, whose findings `merge` adds.

    Args:
        dataset: prepared.
        sample_settings: how samples are made.
        target_settings: how their targets are made.
        batch_size: B.
        seed: seed of all random choices.
        shuffle: False keeps the order of the data set in every pass.
        augmentation: imgaug augmenter, `RandomFlip` or None.
        no_augmentation_sources: sources whose images are not augmented.
        keep_empty: whether to train on images without instances too. An image with only crowds counts as empty.
        repeat_threshold: fraction of the images below which a class is rare, whose images are repeated in a pass (see
            `repeat_factors`); None repeats none. It has no effect without shuffling.
        copy_paste: probability that objects of another image are pasted on an image.

    Attributes:
        broken: image id -> reason, for the images loaded so far.
        empty: ids of images that are skipped because they have no instances, as known from the start or found so far.
        take: allocates the large arrays of a batch. `np.empty`, except in a loader process.

    Raises:
        DataError: the data set has no images or is not prepared, or none of them has instances and keep_empty is False.
        ValueError: the data set has more classes than the settings, or the image size does not fit the pyramid.
    """

    def __init__(
        self,
        dataset: Dataset,
        sample_settings: SampleSettings,
        target_settings: TargetSettings,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        augmentation: Any = None,
        no_augmentation_sources: Iterable[str] | None = (),
        keep_empty: bool = False,
        repeat_threshold: float | None = None,
        copy_paste: float = 0.0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, but is {batch_size}")
        _check_sides(target_settings.image_size)
        self.dataset, self.batch_size = dataset, int(batch_size)
        self.sample_settings, self.target_settings = sample_settings, target_settings
        self.seed, self.shuffle = int(seed), shuffle
        self.augmentation, self.no_augmentation_sources = augmentation, tuple(no_augmentation_sources or ())
        self.keep_empty, self.copy_paste = keep_empty, copy_paste
        self.broken: dict[int, str] = {}
        self.empty: set[int] = set()
        self.take: Take = np.empty
        self._ids = self._usable_ids()
        self._factors: np.ndarray | None = None
        if repeat_threshold is not None and shuffle:
            self._factors = repeat_factors(dataset, self._ids.tolist(), float(repeat_threshold))
        # samples in a pass
        self._count = len(self._ids) if self._factors is None else math.ceil(self._factors.sum())
        self._anchor_index = index_anchors(target_settings.anchors)
        # the pass whose order was last requested, and its order
        self._order: tuple[int | None, np.ndarray] = (None, self._ids)
        self._expects_uint8: bool | None = None
        self._lock = threading.Lock()

    def _usable_ids(self) -> Int64[np.ndarray, " I"]:
        ids = np.asarray(self.dataset.image_ids, np.int64)
        if not len(ids):
            added = len(self.dataset.image_info)
            raise DataError(
                f"the data set has {added} images, but prepare() was not called after they were added"
                if added else "the data set has no images: check its folder and its subset"
            )  # fmt: skip
        if self.dataset.num_classes > self.sample_settings.num_classes:
            raise ValueError(
                f"the data set has {self.dataset.num_classes} classes with the background, but NUM_CLASSES is "
                f"{self.sample_settings.num_classes}: set it to {self.dataset.num_classes}"
            )
        if not self.keep_empty:
            count = getattr(self.dataset, "num_instances", lambda image_id: None)
            self.empty = {int(i) for i in ids if count(i) == 0}
            ids = np.array([i for i in ids if int(i) not in self.empty], np.int64)
            if not len(ids):
                # the first images suffice to tell crowds from images without annotations
                crowds = any(len(instances_of(self.dataset, i)[1]) for i in sorted(self.empty)[:_LOOKED_AT])
                reason = ", only crowds (iscrowd 1), which training ignores" if crowds else ""
                raise DataError(
                    f"none of the {len(self.empty)} images of the data set has an instance to train on{reason}: "
                    "check the annotations and the chosen classes, or set TRAIN_EMPTY_IMAGES=True to train on empty images too"
                )
        return ids

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        return -(-self._count // self.batch_size)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the lock, which cannot be pickled."""
        state = dict(self.__dict__)
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state and create a new lock."""
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def num_samples(self) -> int:
        """Number of samples in a pass."""
        return self._count

    def order(self, pass_ix: int) -> Int64[np.ndarray, " I"]:
        """Return the image ids of a pass in order."""
        if not self.shuffle:
            return self._ids
        cached_ix, cached = self._order
        if cached_ix == pass_ix:
            return cached
        rng = np.random.default_rng([self.seed, _ORDER_STREAM, pass_ix])
        factors = self._factors
        order = rng.permutation(self._ids) if factors is None else repeat_images(self._ids, factors, self._count, rng)
        self._order = (pass_ix, order)
        return order

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        """Make the batch of a step: the arrays that the class describes."""
        step = int(step)
        if step < 0:
            raise IndexError(f"a step must be at least 0, but is {step}")
        pass_ix, position = divmod(step, len(self))
        first = position * self.batch_size
        count = min(self.batch_size, self._count - first)
        # Each image is written directly into its row of the batch, which saves a copy and a short-lived allocation.
        size, channels = self.target_settings.image_size, self.sample_settings.num_channels
        images = self.take((count, *size, channels), np.uint8) if size else None
        samples = [self.sample(pass_ix, first + i, None if images is None else images[i]) for i in range(count)]
        return _fill_up(self._collate(samples, images), self.batch_size)

    def sample(self, pass_ix: int, position: int, out: np.ndarray | None = None) -> TrainingSample:
        """Make the sample at a position in the order of a pass, or the next usable one after it.

        Args:
            pass_ix: number of the pass.
            position: index in the order of the pass.
            out: memory for the image; see `make_sample`.

        Raises:
            DataError: no image of the data set can be used.
        """
        order = self.order(pass_ix)
        for offset in range(len(order)):
            place = (position + offset) % len(order)
            rng = np.random.default_rng([self.seed, _SAMPLE_STREAM, pass_ix, place])
            sample = self._try(int(order[place]), rng, out)
            if sample is not None:
                return sample
        reason = next(iter(self.broken.values()), None)
        raise DataError(
            f"none of the {len(order)} images of the data set can be trained on: {len(self.broken)} are broken and "
            f"{len(self.empty)} are without instances" + (f"; the first broken one: {reason}" if reason else "")
        )

    def _try(self, image_id: int, rng: np.random.Generator, out: np.ndarray | None) -> TrainingSample | None:
        """Make one sample; return None, and record the reason, if the image is broken or empty."""
        augmentation, sample_settings, pastes = self.augmentation, self.sample_settings, self.copy_paste > 0
        if self.dataset.image_info[image_id]["source"] in self.no_augmentation_sources:
            augmentation, sample_settings, pastes = None, replace(sample_settings, random_scale=None), False
        paste_from = self._draw_paste_source(rng) if pastes else None
        try:
            sample = self._make(image_id, sample_settings, augmentation, rng, out, paste_from)
            self._check_dtype(image_id, sample.image)
            self._check_size(image_id, sample.image)
        except DataError as error:
            self._report_broken(image_id, str(error))
            return None
        if not self.keep_empty and not (sample.class_ids > 0).any():
            # Objects that a crop, a scale or an augmentation moved out of the image may be visible in the next pass. If others
            # were pasted over them, the sample has those.
            if augmentation is None and sample_settings.random_scale is None and sample_settings.resize_mode != "crop":
                with self._lock:
                    self.empty.add(image_id)
            return None
        settings = self.target_settings
        rpn_targets = build_rpn_targets(
            self._anchor_index,
            sample.class_ids,
            sample.boxes,
            num_train_anchors=settings.num_train_anchors,
            positive_iou=settings.positive_iou,
            negative_iou=settings.negative_iou,
            bbox_std_dev=settings.rpn_bbox_std_dev,
            rng=rng,
        )
        kept = choose(rng, np.arange(len(sample.class_ids)), settings.max_gt_instances)
        truth = sample.class_ids[kept], sample.boxes[kept], sample.masks[kept]
        return TrainingSample(sample.image, sample.image_meta, *rpn_targets, *truth)

    def _draw_paste_source(self, rng: np.random.Generator) -> int | None:
        """Draw the image whose objects are pasted on another, or None for none."""
        if rng.random() >= self.copy_paste:
            return None
        return int(self._ids[rng.integers(len(self._ids))])

    def _make(
        self,
        image_id: int,
        settings: SampleSettings,
        augmentation: Any,
        rng: np.random.Generator,
        out: np.ndarray | None,
        paste_from: int | None,
    ) -> Sample:
        """Make one sample, without pasting if the image to paste from is broken, which is recorded."""
        try:
            return make_sample(self.dataset, image_id, settings, augmentation, rng, out, paste_from)
        except PasteSourceError as error:
            assert paste_from is not None
            self._report_broken(paste_from, str(error))
            return make_sample(self.dataset, image_id, settings, augmentation, rng, out)

    def _check_dtype(self, image_id: int, image: np.ndarray) -> None:
        """Check that an image has the dtype of the first one, because all batches of a run must have the same dtype."""
        expects_uint8 = self._expects_uint8
        if expects_uint8 is None:
            expects_uint8 = self._expects_uint8 = self._first_is_uint8()
        if expects_uint8 != (image.dtype == np.uint8):
            raise DataError(
                f"image {image_id} is {image.dtype}, but the first image of the data set {'is' if expects_uint8 else 'is not'} "
                "uint8: load_image must return all images in one dtype and range"
            )

    def _check_size(self, image_id: int, image: np.ndarray) -> None:
        size = self.target_settings.image_size
        if size is not None and image.shape[:2] != tuple(size):
            raise DataError(
                f"image {image_id} has {image.shape[0]} x {image.shape[1]} pixels (height x width) after resizing in "
                f"mode {self.sample_settings.resize_mode!r}, but the anchors are for images of {size[0]} x {size[1]} "
                "(IMAGE_SHAPE): set IMAGE_RESIZE_MODE=square or crop for training"
            )

    def _first_is_uint8(self) -> bool:
        """Return whether the first readable image is uint8, regardless of the order in which batches are made."""
        for image_id in self._ids:
            try:
                image = load_checked_image(self.dataset, int(image_id), self.sample_settings.num_channels)
                return image.dtype == np.uint8
            except DataError as error:
                logger.debug("the dtype of image %s is unknown: %s", image_id, error)
        return True

    def _report_broken(self, image_id: int, reason: str) -> None:
        with self._lock:
            if image_id in self.broken:
                return
            self.broken[image_id] = reason
            count = len(self.broken)
        warn_of_one_more(logger, count, reason)

    def findings(self) -> Findings:
        """Return what the loader has skipped so far."""
        skipped = [*self.dataset.skipped] if isinstance(self.dataset, AnnotatedDataset | DatasetView) else []
        with self._lock:
            return Findings(dict(self.broken), set(self.empty), skipped)

    def merge(self, findings: Findings) -> None:
        """Add the findings of a copy of this loader in another process."""
        for image_id, reason in findings.broken.items():
            self._report_broken(image_id, reason)
        with self._lock:
            self.empty |= findings.empty
        if isinstance(self.dataset, AnnotatedDataset | DatasetView):
            for where, reason in findings.skipped:
                self.dataset.skip(where, reason)

    def _collate(self, samples: Sequence[TrainingSample], whole_images: np.ndarray | None) -> tuple[np.ndarray, ...]:
        images = [sample.image for sample in samples]
        if any(image.dtype != np.uint8 for image in images):
            images = [image.astype(np.float32) for image in images]
        return (
            stack_images(images, whole_images),
            np.stack([sample.image_meta for sample in samples]).astype(np.float32),
            np.stack([sample.rpn_positions for sample in samples]),
            np.stack([sample.rpn_labels for sample in samples]),
            np.stack([sample.rpn_deltas for sample in samples]),
            *pad_ground_truth(samples, self.target_settings.max_gt_instances, self.take),
        )


def _check_sides(size: tuple[int, int] | None) -> None:
    if size is not None and (size[0] % SIDE_MULTIPLE or size[1] % SIDE_MULTIPLE):
        raise ValueError(
            f"IMAGE_SHAPE is {size[0]} x {size[1]} (height x width), which does not fit the pyramid: its sides must be "
            f"multiples of {SIDE_MULTIPLE} for training: set IMAGE_RESIZE_MODE=square, or pad the images"
        )


def stack_images(
    images: Sequence[Shaped[np.ndarray, "_ _ C"]], whole: Shaped[np.ndarray, "B _ _ C"] | None = None
) -> Shaped[np.ndarray, "B _ _ C"]:
    """Stack the images of a batch. A single image is not copied, and neither are images that are the rows of `whole`.

    Raises:
        ValueError: the images differ in size.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f"the images of a batch are of different sizes, {sorted(shapes)}: "
            "set IMAGE_RESIZE_MODE=square or crop to resize them to one size, or use batches of one image"
        )
    if whole is not None and all(image.base is whole for image in images):
        return whole
    return images[0][None] if len(images) == 1 else np.stack(images)


def pad_ground_truth(
    samples: Sequence[TrainingSample], rows: int, take: Take = np.empty
) -> tuple[Int32[np.ndarray, "B G"], Int32[np.ndarray, "B G 4"], Bool[np.ndarray, "B G h w"]]:
    """Stack the class ids, boxes and masks of samples, each padded with zeros.

    Args:
        samples: samples of at most `rows` instances each.
        rows: G.
        take: allocates the masks; see `Loader`.
    """
    gt_class_ids = np.zeros((len(samples), rows), np.int32)
    gt_boxes = np.zeros((len(samples), rows, 4), np.int32)
    gt_masks = take((len(samples), rows, *samples[0].masks.shape[1:]), bool)
    for i, sample in enumerate(samples):
        count = len(sample.class_ids)
        gt_class_ids[i, :count] = sample.class_ids
        gt_boxes[i, :count] = sample.boxes
        gt_masks[i, :count], gt_masks[i, count:] = sample.masks, False
    return gt_class_ids, gt_boxes, gt_masks


def _fill_up(batch: tuple[np.ndarray, ...], size: int) -> tuple[np.ndarray, ...]:
    """Pad a batch with rows that the losses ignore: the last image again, without targets or active classes."""
    count = len(batch[0])
    if count == size:
        return batch
    images, metas, *targets = (array[np.minimum(np.arange(size), count - 1)] for array in batch)
    metas[count:, META_FIELDS["active_class_ids"]] = 0
    for array in targets:
        array[count:] = 0
    return images, metas, *targets
