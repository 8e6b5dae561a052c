"""The loader: batches of training arrays, each a function of (seed, step) alone.

Any worker may make any batch in any order: what `loader[step]` returns depends on nothing else, so that a run goes on
after a stop as if it had not stopped, with any number of workers.

Shape letters: B images, H W C network input, A anchors, T anchors trained on, G ground-truth rows (padded), h w
masks, K classes.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Shaped

from mrcnn.base.errors import DataError
from mrcnn.base.random import choose
from mrcnn.geometry.meta import META_FIELDS
from mrcnn.loading.sample import make_sample
from mrcnn.loading.targets.anchor_index import index_anchors
from mrcnn.loading.targets.rpn import build_rpn_targets

logger = logging.getLogger(__name__)

# what a random stream is for, so that the order of a pass and its samples never share one
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1


# Gives memory of any contents for an array of a shape and a dtype, as `np.empty` does.
Take: TypeAlias = Callable[[tuple[int, ...], type], np.ndarray]


class TrainingSample(NamedTuple):
    """A `Sample` with the targets of the region proposal network, at most G instances, and no padding of these.

    Attributes:
        rpn_positions, rpn_labels, rpn_deltas: See `mrcnn.loading.targets.rpn.build_rpn_targets`.
        The rest: See `mrcnn.loading.sample.Sample`.
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
    """What a loader found out about the images that it met.

    Attributes:
        broken: Image id -> reason, for images that cannot be used.
        empty: Ids of images that are left out because they have no instances.
        skipped: (where, reason) of annotations that the reader of the data set left out while it loaded images.
    """

    broken: dict[int, str] = field(default_factory=dict)
    empty: set[int] = field(default_factory=set)
    skipped: list[tuple[object, str]] = field(default_factory=list)

    def since(self, earlier: "Findings") -> "Findings":
        """Return what earlier findings of the same loader do not have yet."""
        broken = {image_id: reason for image_id, reason in self.broken.items() if image_id not in earlier.broken}
        return Findings(broken, self.empty - earlier.empty, self.skipped[len(earlier.skipped) :])


@dataclass(frozen=True, eq=False)
class TargetSettings:
    """What is computed of a sample beside its pixels.

    Attributes:
        anchors: float [A, 4]. Pixel boxes in the network's input.
        num_train_anchors: int. T, RPN_TRAIN_ANCHORS_PER_IMAGE.
        rpn_bbox_std_dev: [4].
        max_gt_instances: int. G.
        image_size: (H, W) that the anchors are for; a sample of another size counts as broken. None takes any.
    """

    anchors: np.ndarray
    num_train_anchors: int
    rpn_bbox_std_dev: np.ndarray
    max_gt_instances: int
    image_size: tuple | None = None


class Loader:
    """Batches of a data set, pass after pass.

    `len(loader)` is the number of batches of one pass over the data set. Where the images do not fill the last one, rows
    that count nothing stand behind them, so that every batch has one shape and a run compiles once. `loader[step]`
    for any step >= 0 is batch `step % len(loader)` of pass `step // len(loader)`; each pass has its own order. It
    gives a tuple of arrays:

        images: uint8 [B, H, W, C] if the image files are uint8, else float32. The mean is not subtracted: the network does
            that. All batches have the dtype of the first image; an image of the other dtype counts as broken.
        image_meta: float32 [B, 12 + K].
        rpn_positions: int32 [B, T]. Anchors to train on: positive ones, then negative ones, then padding (0).
        rpn_labels: int32 [B, T]. 1 positive, -1 negative, 0 padding.
        rpn_deltas: float32 [B, T, 4]. From each positive anchor to its box; zero in the other rows.
        gt_class_ids: int32 [B, G]. Negative for crowds, 0 for padding.
        gt_boxes: int32 [B, G, 4]. Pixels; padding is zero.
        gt_masks: bool [B, G, h, w]. Mini-masks, or masks of the size of the image.

    A sample that is not usable is logged once and kept in `broken`; the next good one of the pass stands in for it.
    It may be used from several threads, and pickled for processes, whose `broken` and `empty` `hear` takes in.

    Args:
        dataset: Dataset, prepared.
        sample_settings: SampleSettings.
        target_settings: TargetSettings.
        batch_size: int. B.
        seed: int.
        shuffle: bool. False keeps the data set's order in each pass.
        augmentation: imgaug augmenter, `RandomFlip` or None.
        no_augmentation_sources: sources whose images are not augmented.
        keep_empty: bool. True trains on images without instances too. Images with crowds alone count as empty.

    Attributes:
        broken: dict image id -> reason, of the samples met so far.
        empty: set of image ids left out for having no instances; those known beforehand, and those met so far.
        take: callable (shape, dtype) -> array of any contents, the memory of the large arrays of a batch: `np.empty`, but
            in a loader process.

    Raises:
        DataError: the data set has no images or is not prepared, or none of them has instances and keep_empty is False.
        ValueError: the data set has more classes than the settings.
    """

    def __init__(
        self,
        dataset,
        sample_settings,
        target_settings,
        batch_size,
        *,
        seed=0,
        shuffle=True,
        augmentation=None,
        no_augmentation_sources=(),
        keep_empty=False,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, and is {batch_size}")
        self.dataset, self.batch_size = dataset, int(batch_size)
        self.sample_settings, self.target_settings = sample_settings, target_settings
        self.seed, self.shuffle = int(seed), shuffle
        self.augmentation, self.no_augmentation_sources = augmentation, tuple(no_augmentation_sources or ())
        self.keep_empty = keep_empty
        self.broken, self.empty, self.take = {}, set(), np.empty
        self._ids = self._usable_ids()
        self._anchor_index = index_anchors(target_settings.anchors)
        self._order = (None, None)
        self._raw = None
        self._lock = threading.Lock()

    def _usable_ids(self):
        ids = np.asarray(self.dataset.image_ids, np.int64)
        if not len(ids):
            added = len(self.dataset.image_info)
            raise DataError(
                f"the data set has {added} images, but prepare() was not called after they were added"
                if added else "the data set has no images: check its folder and its subset"
            )  # fmt: skip
        if self.dataset.num_classes > self.sample_settings.num_classes:
            raise ValueError(
                f"the data set has {self.dataset.num_classes} classes with the background, and NUM_CLASSES is "
                f"{self.sample_settings.num_classes}: set it to {self.dataset.num_classes}"
            )
        if not self.keep_empty:
            count = getattr(self.dataset, "num_instances", lambda image_id: None)
            self.empty = {int(i) for i in ids if count(i) == 0}
            ids = np.array([i for i in ids if int(i) not in self.empty], np.int64)
            if not len(ids):
                raise DataError(
                    f"none of the {len(self.empty)} images of the data set has an instance to train on: "
                    "check the annotations and the chosen classes, or train on empty images too (TRAIN_EMPTY_IMAGES)"
                )
        return ids

    def __len__(self):
        """Number of batches of one pass."""
        return -(-len(self._ids) // self.batch_size)

    def __getstate__(self):
        """Leave the lock behind when pickled."""
        state = dict(self.__dict__)
        del state["_lock"]
        return state

    def __setstate__(self, state):
        """Take a new lock when unpickled."""
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def order(self, pass_ix):
        """Give the image ids of one pass in their order. Args: pass_ix: int. Returns: int64 [number of images]."""
        if not self.shuffle:
            return self._ids
        kept_ix, kept = self._order
        if kept_ix == pass_ix:
            return kept
        order = np.random.default_rng([self.seed, _ORDER_STREAM, pass_ix]).permutation(self._ids)
        self._order = (pass_ix, order)
        return order

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        """Make the batch of a step: the arrays that the class describes."""
        step = int(step)
        if step < 0:
            raise IndexError(f"a step must be at least 0, and is {step}")
        pass_ix, position = divmod(step, len(self))
        first = position * self.batch_size
        count = min(self.batch_size, len(self._ids) - first)
        # Each sample is written into its row of one array: that saves a copy, and large allocations that are freed at once.
        size, channels = self.target_settings.image_size, self.sample_settings.num_channels
        images = self.take((count, *size, channels), np.uint8) if size and channels else None
        samples = [self.sample(pass_ix, first + i, None if images is None else images[i]) for i in range(count)]
        return _filled_up(self._collate(samples, images), self.batch_size)

    def sample(self, pass_ix: int, position: int, out: np.ndarray | None = None) -> TrainingSample:
        """Make the sample at a position of a pass, or the next usable one after it.

        Args:
            pass_ix: Number of the pass.
            position: Position of the image in the order of the pass.
            out: Memory for the image; see `make_sample`.

        Raises:
            DataError: no image of the data set is usable.
        """
        order = self.order(pass_ix)
        for offset in range(len(order)):
            place = (position + offset) % len(order)
            rng = np.random.default_rng([self.seed, _SAMPLE_STREAM, pass_ix, place])
            sample = self._try(int(order[place]), rng, out)
            if sample is not None:
                return sample
        reason = next(iter(self.broken.items()), None)
        raise DataError(
            f"none of the {len(order)} images of the data set can be trained on: {len(self.broken)} are broken and "
            f"{len(self.empty)} are without instances" + (f"; the first broken one: {reason[1]}" if reason else "")
        )

    def _try(self, image_id, rng, out):
        """Make one sample with its targets; None, reported, when it is broken or empty."""
        augmentation = self.augmentation
        if augmentation is not None and self.dataset.image_info[image_id]["source"] in self.no_augmentation_sources:
            augmentation = None
        try:
            image, meta, class_ids, boxes, masks = make_sample(
                self.dataset, image_id, self.sample_settings, augmentation, rng, out
            )
            self._check_kind(image_id, image)
            self._check_size(image_id, image)
        except DataError as error:
            self._report_broken(image_id, str(error))
            return None
        if not self.keep_empty and not (class_ids > 0).any():
            # what a crop or an augmentation moved out of sight may be back in the next pass
            if augmentation is None and self.sample_settings.resize_mode != "crop":
                with self._lock:
                    self.empty.add(image_id)
            return None
        settings = self.target_settings
        rpn_targets = build_rpn_targets(
            self._anchor_index,
            class_ids,
            boxes,
            num_train_anchors=settings.num_train_anchors,
            bbox_std_dev=settings.rpn_bbox_std_dev,
            rng=rng,
        )
        kept = choose(rng, np.arange(len(class_ids)), settings.max_gt_instances)
        return TrainingSample(image, meta, *rpn_targets, class_ids[kept], boxes[kept], masks[kept])

    def _check_kind(self, image_id, image):
        """Hold an image against the first one: a batch of floats among batches of bytes would be read as bytes."""
        raw = self._raw
        if raw is None:
            raw = self._raw = self._first_is_raw()
        if raw != (image.dtype == np.uint8):
            raise DataError(
                f"image {image_id} is {image.dtype}, and the first image of the data set {'is' if raw else 'is not'} "
                "uint8: load_image must give all images in one dtype and range"
            )

    def _check_size(self, image_id, image):
        size = self.target_settings.image_size
        if size is not None and image.shape[:2] != tuple(size):
            raise DataError(
                f"image {image_id} is of {image.shape[0]} x {image.shape[1]} pixels (height x width) after resizing by "
                f"mode {self.sample_settings.resize_mode!r}, and the anchors are of images of {size[0]} x {size[1]} "
                "(IMAGE_SHAPE): train with IMAGE_RESIZE_MODE 'square' or 'crop'"
            )

    def _first_is_raw(self):
        """Tell whether the first image that can be read is uint8, whatever the order in which batches are made."""
        for image_id in self._ids:
            try:
                return np.asarray(self.dataset.load_image(int(image_id))).dtype == np.uint8
            except Exception as error:
                logger.debug("image %s does not tell its dtype: %s", image_id, error)
        return True

    def _report_broken(self, image_id, reason):
        with self._lock:
            if image_id in self.broken:
                return
            self.broken[image_id] = reason
        logger.warning("left out of training: %s", reason)

    def findings(self) -> Findings:
        """Return what is known of the images so far."""
        skipped = list(self.dataset.skipped) if hasattr(self.dataset, "leave_out") else []
        with self._lock:
            return Findings(dict(self.broken), set(self.empty), skipped)

    def merge(self, findings: Findings) -> None:
        """Add what a copy of this loader found out in another process."""
        for image_id, reason in findings.broken.items():
            self._report_broken(image_id, reason)
        with self._lock:
            self.empty |= findings.empty
        for where, reason in findings.skipped:
            self.dataset.leave_out(where, reason)

    @property
    def num_samples(self):
        """Number of samples of one pass."""
        return len(self._ids)

    def _collate(self, samples, whole_images):
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


def stack_images(images: Sequence[Shaped[np.ndarray, "H W C"]], whole: np.ndarray | None = None) -> np.ndarray:
    """Stack the images of a batch [B, H, W, C] without copying a single one, nor those that are the rows of `whole`.

    Raises:
        ValueError: the images differ in size.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f"the images of a batch are of different sizes, {sorted(shapes)}: "
            "resize them to one size (IMAGE_RESIZE_MODE 'square' or 'crop'), or take batches of one image"
        )
    if whole is not None and all(image.base is whole for image in images):
        return whole
    return images[0][None] if len(images) == 1 else np.stack(images)


def pad_ground_truth(
    samples: Sequence[TrainingSample], rows: int, take: Take = np.empty
) -> tuple[Int32[np.ndarray, "B G"], Int32[np.ndarray, "B G 4"], Bool[np.ndarray, "B G h w"]]:
    """Stack class ids, boxes and masks of samples, each padded to `rows` instances with zeros.

    Args:
        samples: At most `rows` instances each.
        rows: G.
        take: Gives the memory of the masks; see `Loader.take`.
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


def _filled_up(batch, size):
    """Bring a batch to a size with rows that no loss counts: the last image again, without targets and active classes."""
    count = len(batch[0])
    if count == size:
        return batch
    images, metas, *targets = (array[np.minimum(np.arange(size), count - 1)] for array in batch)
    metas[count:, META_FIELDS["active_class_ids"]] = 0
    for array in targets:
        array[count:] = 0
    return images, metas, *targets
