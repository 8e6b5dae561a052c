"""Images and class maps for `model.fit` of any Keras segmentation model."""

import keras

from mrcnn.semantic.batches import SemanticBatches, filter_images


class SemanticGenerator(keras.utils.PyDataset):
    """Batches (images, masks) out of a data set of any format, one pass over its images an epoch.

        train = SemanticGenerator("coco", ["laptop", "tv"], "train", input_size=(192, 256), batch_size=8,
                                  mask_type="normal", augmentation={"rotation_range": 10, "horizontal_flip": True})
        model.fit(train, epochs=5, shuffle=False)

    Images are float32 [B, h, w, 3] in [0, 1] and masks int32 [B, h, w, 1]; `SemanticBatches` says what they hold. The
    images of an epoch, their order and their augmentation follow from the seed and the number of the epoch, whatever
    the workers and the backend. Keras would shuffle the batches again, by Python's own generator: `shuffle=False` in
    `fit` leaves them in this order.

    Args:
        source: path of a data set in any format of `mrcnn.datasets.open`, or a prepared Dataset.
        classes: list of class names: the images that hold one of them, and masks of these. None for all images and all
            classes.
        mode: str. The part of a folder: "train", "val", ...
        input_size: (height, width) that images are stretched to, in pixels.
        batch_size: int.
        mask_type: "binary" (any of the classes: 0 or 1) or "normal" (0 background, k for the k-th class).
        image_ids: int [n]. Other images of a prepared Dataset than those that `classes` finds.
        augmentation: `mrcnn.semantic.augment.SemanticAugmentation`, a dict of its arguments, or None.
        shuffle: bool. False for validation: each epoch in one order.
        seed: int.
        initial_epoch: int. The first epoch's number, to go on after a stop.
        workers: int. Threads that make the samples of a batch.
        ignore_label: int. The number in the masks where the data say nothing; see `SemanticBatches`.
        **options: of `mrcnn.datasets.open`, such as format or year.

    Attributes:
        batches: SemanticBatches.
        epoch: int. The number of the epoch whose batches are asked for now; Keras moves it on.

    Raises:
        DataError: the data cannot be opened, a class is unknown, or no image holds one of them.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        source,
        classes=None,
        mode=None,
        *,
        input_size,
        batch_size,
        mask_type="binary",
        image_ids=None,
        augmentation=None,
        shuffle=True,
        seed=0,
        initial_epoch=0,
        workers=1,
        ignore_label=None,
        **options,
    ):
        # Keras' own workers keep what they read ahead when it looks at a first batch, and hand it out in the epoch after:
        # some images would then come twice, and others not at all
        super().__init__(workers=1)
        if image_ids is None:
            source, image_ids = filter_images(source, classes, mode, seed=seed, **options)
        elif mode is not None or options:
            raise ValueError("image_ids are positions in a prepared Dataset, and go with no mode and no options")
        self.batches = SemanticBatches(
            source, input_size, batch_size, classes=classes, mask_type=mask_type, image_ids=image_ids,
            augmentation=augmentation, shuffle=shuffle, seed=seed, workers=workers,
            ignore_label=ignore_label,
        )  # fmt: skip
        self.epoch = int(initial_epoch)
        self._has_begun, self._asked_for = False, set()

    @property
    def dataset(self):
        """The Dataset that the images are of."""
        return self.batches.dataset

    @property
    def class_names(self):
        """What the numbers of the masks mean: list of str, "background" first."""
        return self.batches.class_names

    def __len__(self):
        """Number of batches of an epoch."""
        return len(self.batches)

    def __getitem__(self, position):
        """Make a batch of the present epoch. Args: position: int. Returns: (images, masks)."""
        if not 0 <= position < len(self):
            raise IndexError(f"an epoch has the batches 0 to {len(self) - 1}, and {position} was asked for")
        self._asked_for.add(int(position))
        return self.batches[self.epoch * len(self) + position]

    def on_epoch_begin(self):
        """Note that an epoch begins."""
        self._has_begun = True

    def on_epoch_end(self):
        """Go on to the next epoch once each batch was asked for: Keras also calls this when it only looked at the first."""
        if self._has_begun and len(self._asked_for) == len(self):
            self.epoch += 1
            self._asked_for = set()
        self._has_begun = False
