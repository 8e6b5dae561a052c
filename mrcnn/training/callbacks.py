"""Keras callbacks for training: COCO AP on the validation set, the best epoch, speed and memory, history.csv."""

import logging
import math
import numbers
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from mrcnn.base.text import printable
from mrcnn.evaluation.coco import CocoResult
from mrcnn.training.runs import peak_device_memory, peak_memory, read_history, write_history
from mrcnn.weights import classic_h5

logger = logging.getLogger(__name__)

Logs = dict[str, Any] | None


class CocoValidation(keras.callbacks.Callback):
    """Compute COCO AP of boxes and masks with the current weights, and add it to the logs.

    It adds val_mask_AP, val_mask_AP50, val_box_AP and so on, so that a later callback such as
    keras.callbacks.ModelCheckpoint(monitor="val_mask_AP", mode="max") can use them. Nothing is added in epochs without an
    evaluation.

    Args:
        evaluate: function that evaluates the current weights.
        every: number of epochs from one evaluation to the next. The last epoch is always evaluated.
    """

    def __init__(self, evaluate: Callable[[], CocoResult], every: int = 1) -> None:
        super().__init__()
        self.evaluate = evaluate
        self.every = every

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Evaluate if this epoch is due, and add the metrics to `logs`."""
        if (epoch + 1) % self.every and epoch + 1 != (self.params or {}).get("epochs"):
            return
        result = self.evaluate()
        left_out = result.info["left_out"]
        if left_out:
            logger.warning("validation AP is computed on %d images; skipped: %d, the first: %s", result.info["images"],
                           len(left_out), printable(next(iter(left_out.values()))))  # fmt: skip
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in result.metrics.items() if value is not None})


class BestEpoch(keras.callbacks.Callback):
    """Keep the weights of the epoch with the highest val_mask_AP, and stop when it no longer rises.

    Epochs without val_mask_AP, or with nan (no objects), change nothing.

    Args:
        path: the file of the best weights; None keeps none.
        patience: number of evaluations without a new highest AP after which training stops; None never stops.
        earlier: val_mask_AP of the evaluations before this call of `train`, in their order. They do not count if `path` does
            not exist yet.
    """

    def __init__(self, path: Path | None, patience: int | None, earlier: Sequence[float] = ()) -> None:
        super().__init__()
        self.path = path
        self.patience = patience
        measured = [ap for ap in earlier if math.isfinite(ap)] if path is None or path.is_file() else []
        self.best = max(measured, default=-math.inf)
        self.since = len(measured) - 1 - measured.index(self.best) if measured else 0  # evaluations since the best one

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare the AP of this epoch with the best, and write the weights if it is higher."""
        ap = (logs or {}).get("val_mask_AP", math.nan)
        if ap > self.best:
            self.best, self.since = ap, 0
            if self.path is not None:
                classic_h5.save(self.model, self.path)
        elif math.isfinite(ap):
            self.since += 1
            if self.patience is not None and self.since >= self.patience:
                self.model.stop_training = True
                print(f"Stopping early: no better mask AP than {self.best:.4f} in {self.since} evaluations.")


class Speed(keras.callbacks.Callback):
    """Add the speed of an epoch and the memory in use to the logs.

    It adds seconds (of the whole epoch, including validation and checkpoint), seconds_per_step and images_per_second (of
    training alone, measured from the end of the first step, which compiles), peak_memory_mb (MiB, the peak of this process so
    far) and, on an accelerator, peak_device_memory_mb.

    Args:
        batch_size: images per step.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.began, self.steps = 0.0, 0
        self.marks: list[float] = []  # end times of the first and the last step

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start the clock."""
        self.began, self.steps, self.marks = time.perf_counter(), 0, []

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Read the clock after the first step and after the last."""
        self.steps += 1
        if self.steps in (1, self.params.get("steps")):
            float((logs or {}).get("loss", 0))  # waits for the device, which runs asynchronously
            self.marks.append(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Add the figures to `logs`."""
        if logs is None or not self.marks:
            return
        seconds = self.marks[-1] - self.marks[0] if len(self.marks) > 1 else self.marks[0] - self.began
        step = seconds / max(self.steps - 1, 1)
        figures = {"seconds": time.perf_counter() - self.began, "seconds_per_step": step,
                   "images_per_second": self.batch_size / step, "peak_memory_mb": peak_memory(),
                   "peak_device_memory_mb": peak_device_memory()}  # fmt: skip
        logs.update({name: round(value, 4) for name, value in figures.items() if value is not None})


class History(keras.callbacks.Callback):
    """Write the logs of each epoch to history.csv. Epochs count from 1, as in the names of the checkpoints.

    Rows of earlier epochs are kept. Rows of this epoch and later ones, from before the run was resumed, are replaced.

    Args:
        path: of the file.
        saved: rows in the training state that the run resumes from. Those of epochs that the file lacks are added to it.
    """

    def __init__(self, path: Path | str, saved: Sequence[dict[str, float]] = ()) -> None:
        super().__init__()
        self.path = Path(path)
        self.saved = saved
        self.rows: list[dict[str, float]] = []

    def read(self) -> list[dict[str, float]]:
        """Return the rows of the file and the saved ones that it lacks, by epoch.

        Raises:
            ValueError: the file is not the history of a run.
        """
        rows = read_history(self.path) if self.path.exists() else []
        found = {row["epoch"] for row in rows}
        return sorted([*rows, *(row for row in self.saved if row["epoch"] not in found)], key=lambda row: row["epoch"])

    def on_train_begin(self, logs: Logs = None) -> None:
        """Read the rows of earlier epochs.

        Raises:
            ValueError: the file is not the history of a run. Raised before training starts.
        """
        self.rows = self.read()

    def rows_with(self, epoch: int, logs: Logs) -> list[dict[str, float]]:
        """Return the rows up to an epoch, counted from 0, whose row has these logs."""
        figures: dict[str, Any] = {name: value for name, value in (logs or {}).items() if isinstance(value, numbers.Real)}
        return [row for row in self.rows if row["epoch"] <= epoch] + [{**figures, "epoch": epoch + 1}]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Add the row of this epoch, or replace it, and write the file."""
        self.rows = self.rows_with(epoch, logs)
        write_history(self.path, self.rows)
