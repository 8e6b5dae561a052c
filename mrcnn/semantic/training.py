"""Batches of images and class maps for `model.fit` of any Keras segmentation model."""

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np
from jaxtyping import Float32, Int32, Integer

from mrcnn.datasets.dataset import Dataset
from mrcnn.semantic.batches import SemanticBatches, filter_images


class _EpochLength(int):
    """The number of batches per epoch in the form that Keras gets: no number of steps reaches it.

    With `steps_per_epoch`, Keras takes the steps of all epochs from one iterator, counts them, and cuts the epoch short in
    which the count reaches the length. Here the batches of the next pass follow, so that nothing has to be cut short.
    """

    def __le__(self, steps: int, /) -> bool:
        """Return False; Keras asks whether `steps >= length`, which Python turns into `length <= steps`."""
        return False


class SemanticGenerator(keras.utils.PyDataset):
    """Batches (images, masks) from a data set in any format; each image occurs once per epoch.

        train = SemanticGenerator("coco", ["laptop", "tv"], "train", input_size=(192, 256), batch_size=8,
                                  mask_type="normal", augmentation={"rotation_range": 10, "horizontal_flip": True})
        model.fit(train, epochs=5)

    Images are float32 [B, h, w, 3] with values 0..1, and masks int32 [B, h, w, 1]; see `SemanticBatches`. The order and
    augmentation of an epoch depend only on the seed and the epoch number, not on the workers or the backend.

    With `steps_per_epoch` or `validation_steps`, an epoch has that number of batches, and the next epoch starts at the batch
    after them: each image still occurs once per pass over the data.

    Args:
        source: path of a data set in any format that `mrcnn.datasets.open` reads, or a prepared Dataset.
        classes: names; images with at least one of them are used, and only these classes appear in the masks. None for all
            images and all classes.
        mode: subset of the data set at a path, such as "train" or "val".
        input_size: (height, width) in pixels, to which images are resized regardless of aspect ratio.
        mask_type: "binary" (1 for any of the classes) or "normal" (k for the k-th class); 0 is background.
        image_ids: indices in a prepared Dataset; None selects images by class.
        augmentation: `mrcnn.semantic.augment.SemanticAugmentation`, a dict of its arguments, or None.
        shuffle: False keeps every epoch in the same order, as for validation.
        initial_epoch: number of the first epoch, to resume training.
        workers: number of threads that make the samples of a batch.
        ignore_label: value of unlabelled pixels in the masks; see `SemanticBatches`.
        **options: of `mrcnn.datasets.open`, such as format or year.

    Attributes:
        batches: the SemanticBatches.
        epoch: number of the pass with which the next call of `fit` starts; Keras advances it.

    Raises:
        DataError: the data cannot be opened, a class is unknown, or no image has one of the classes.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        source: Dataset | PathLike[str] | str,
        classes: Sequence[str] | str | None = None,
        mode: str | None = None,
        *,
        input_size: Sequence[object],
        batch_size: int,
        mask_type: str = "binary",
        image_ids: Sequence[int] | Integer[np.ndarray, " n"] | None = None,
        augmentation: object = None,
        shuffle: bool = True,
        seed: int = 0,
        initial_epoch: int = 0,
        workers: int = 1,
        ignore_label: int | None = None,
        **options: Any,
    ) -> None:
        # Keras' own workers prefetch batches when Keras peeks at the first one, and return them in the next epoch: some images
        # would be used twice, others never
        super().__init__(workers=1)
        if image_ids is None:
            source, image_ids = filter_images(source, classes, mode, seed=seed, **options)
        elif mode is not None or options or not isinstance(source, Dataset):
            raise ValueError("image_ids are indices in a prepared Dataset: pass it as source, without mode and options")
        self.batches = SemanticBatches(
            source, input_size, batch_size, classes=classes, mask_type=mask_type, image_ids=image_ids,
            augmentation=augmentation, shuffle=shuffle, seed=seed, workers=workers,
            ignore_label=ignore_label,
        )  # fmt: skip
        self.epoch = int(initial_epoch)
        self._started = self._may_start = False
        # last position that Keras has requested in its current epoch
        self._furthest = -1
        # step of `batches` at position 0
        self._first = self.epoch * len(self)

    @property
    def dataset(self) -> Dataset:
        """The data set of the images."""
        return self.batches.dataset

    @property
    def class_names(self) -> list[str]:
        """Names by number in the masks, "background" first."""
        return self.batches.class_names

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return len(self.batches)

    @property
    def num_batches(self) -> int | None:
        """Number of batches per epoch.

        None the first time in an epoch of Keras, when it may start an iterator: one whose batches do not end with the epoch.
        A batch that was requested says nothing about that, since the iterator of the epoch before prefetches for a while.
        """
        starts, self._may_start = self._may_start, False
        return None if starts else _EpochLength(len(self))

    def __iter__(self) -> Iterator[tuple[Float32[np.ndarray, "B h w 3"], Int32[np.ndarray, "B h w 1"]]]:
        """Iterate over the batches of one epoch."""
        first = self.epoch * len(self)
        return (self.batches[first + position] for position in range(len(self)))

    def __getitem__(self, position: int) -> tuple[Float32[np.ndarray, "B h w 3"], Int32[np.ndarray, "B h w 1"]]:
        """Make a batch of the current epoch; from position `len(self)` on, one of the passes after it."""
        if position < 0:
            raise IndexError(f"there is no batch {position}: expected 0 or more")
        if position == 0:  # a new iterator
            self._first = self.epoch * len(self)
        self._furthest = max(self._furthest, int(position))
        return self.batches[self._first + int(position)]

    def on_epoch_begin(self) -> None:
        """Record that an epoch has started."""
        self._started, self._may_start, self._furthest = True, True, -1

    def on_epoch_end(self) -> None:
        """Advance to the next epoch, unless Keras only peeked at the first batch, after which it also calls this."""
        if self._started and self._furthest >= len(self) - 1:
            self.epoch += 1
        self._started = self._may_start = False
