"""Keras callbacks of training: checkpoints in the classic format, and COCO AP on the validation set."""

from collections import deque
from pathlib import Path

import keras

from mrcnn.weights import classic_h5


class ClassicCheckpoint(keras.callbacks.Callback):
    """Write the weights in the classic layout at the end of every epoch.

    Args:
        pattern: str. Path with {epoch:04d}, epochs counted from 1.
        kept: int, optional. Of the files that this callback writes only the newest so many stay; None keeps all.
    """

    def __init__(self, pattern, kept=None):
        super().__init__()
        self.pattern = pattern
        self.kept = kept
        self.written = deque()

    def on_epoch_end(self, epoch, logs=None):
        """Write the checkpoint; a file of that name is replaced only once the new one is whole."""
        path = Path(self.pattern.format(epoch=epoch + 1))
        classic_h5.save(self.model, path)
        self.written.append(path)
        while self.kept is not None and len(self.written) > self.kept:
            self.written.popleft().unlink(missing_ok=True)


class CocoValidation(keras.callbacks.Callback):
    """Compute COCO AP of boxes and masks with the weights as they are, and put it into the logs.

    The logs gain val_mask_AP, val_mask_AP50, val_box_AP and so on, so that a later callback such as
    keras.callbacks.ModelCheckpoint(monitor="val_mask_AP", mode="max") can act on them. In epochs without evaluation the
    last figures stand.

    Args:
        evaluate: callable () -> CocoResult.
        every: int. Epochs from one evaluation to the next.
    """

    def __init__(self, evaluate, every=1):
        super().__init__()
        self.evaluate = evaluate
        self.every = every
        self.figures = {}

    def on_epoch_end(self, epoch, logs=None):
        """Evaluate when it is time, and add the figures to `logs`."""
        if (epoch + 1) % self.every == 0:
            metrics = self.evaluate().metrics
            self.figures = {f"val_{name}": value for name, value in metrics.items() if value is not None}
        if logs is not None:
            logs.update(self.figures)


class History(keras.callbacks.CSVLogger):
    """Keras's table of an epoch a line, its epochs counted from 1 as the checkpoints count them."""

    def on_epoch_end(self, epoch, logs=None):
        """Write the line of an epoch."""
        super().on_epoch_end(epoch + 1, logs)
