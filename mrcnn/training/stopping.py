"""Training that ends early and says what is saved: stopped from outside, by Ctrl-C or SIGTERM, or diverged."""

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import keras
import numpy as np

from mrcnn.config_rules import LOSS_NAMES
from mrcnn.datasets.dataset import Dataset
from mrcnn.loading.loader import Loader
from mrcnn.loading.sample import name_image

Logs = dict[str, Any] | None


@contextlib.contextmanager
def stop_reported(saved: Callable[[], str]) -> Iterator[None]:
    """Print what is saved if the block is stopped by Ctrl-C or by SIGTERM, which schedulers send before they kill a process.

    SIGTERM then ends the process like an exit with code 143, so that files and loader processes are closed. A handler of the
    user's for SIGTERM stays, and so does the default in any thread but the main one, where Python allows no handler.

    Args:
        saved: returns a sentence about what is saved.
    """
    try:
        with _exit_on_sigterm():
            yield
    except (KeyboardInterrupt, SystemExit):
        print(f"\nTraining was stopped. {saved()}", flush=True)
        raise


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


class TrainingDiverged(ValueError):
    """A loss became NaN or infinite, and with it the weights. No file of the run holds such weights."""


class StopAtNan(keras.callbacks.Callback):
    """Stop training with an error at the first step whose loss is NaN or infinite.

    The gradients of that step have already changed the weights in memory, so going on would only waste time. The logs that a
    callback receives are running means of the epoch, which show a NaN from the step on in which it arose; Keras has already
    fetched them from the device, so this check costs microseconds.

    Args:
        loader: the batches of training.
        saved: describes what is saved, for the message.
    """

    def __init__(self, loader: Loader, saved: Callable[[], str]) -> None:
        super().__init__()
        self.loader = loader
        self.saved = saved
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Record the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Check the loss of a step.

        Raises:
            TrainingDiverged: it is not finite. The message names the step, the images of its batch and the losses.
        """
        logs = logs or {}
        if math.isfinite(logs.get("loss", 0.0)):
            return
        steps = self.params["steps"]
        losses = ", ".join(f"{name} {logs[name]:.4g}" for name in LOSS_NAMES if name in logs)
        images = "; ".join(batch_images(self.loader, self.epoch * steps + batch))
        raise TrainingDiverged(
            f"the loss became {logs['loss']} in step {batch + 1} of {steps} of epoch {self.epoch + 1}. Means of the losses of "
            f"this epoch: {losses}. Images of the batch: {images}. {self.saved()} The weights in memory are useless now: load "
            "a checkpoint or start again, with a lower learning rate. If it happens with the same images again, look at their "
            "pixels and annotations (mrcnn inspect data).")  # fmt: skip


def batch_images(loader: Loader, step: int) -> list[str]:
    """Return the names of the images of a batch, which is a function of its step alone."""
    image_ids = np.unique(loader[step][1][:, 0].astype(int))
    dataset: Dataset = loader.dataset
    return [name_image(dataset, image_id) for image_id in image_ids]
