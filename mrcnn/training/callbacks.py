"""Keras callbacks of training: checkpoint and training state, COCO AP on the validation set, speed, history.csv."""

import numbers
import time
from collections import deque
from pathlib import Path

import keras

from mrcnn.training.environment import peak_device_memory, peak_memory
from mrcnn.training.resume import save_state
from mrcnn.training.runs import read_history, write_history
from mrcnn.weights import classic_h5


class SaveEpoch(keras.callbacks.Callback):
    """Write the checkpoint and the training state of an epoch as soon as its steps are done.

    Both files exist before anything runs that can fail: validation, the evaluation of AP, users' callbacks. Keras validates
    before the epoch ends, so they are written when validation begins. The state is written again at the end of the epoch:
    validation draws random numbers too, and a resumed run draws the same ones as a run that was not interrupted.

    Args:
        pattern: str. Path of a checkpoint with {epoch:04d}; epochs count from 1.
        state_path: path of the training state; see `resume.save_state`.
        kept: int, optional. Only the newest so many of the checkpoints that this callback wrote are kept; None keeps all.
        on_saved: callable(int), optional. Called with the number of trained epochs once they are saved.
    """

    def __init__(self, pattern, state_path, kept=None, on_saved=None):
        super().__init__()
        self.pattern = pattern
        self.state_path = state_path
        self.kept = kept
        self.on_saved = on_saved
        self.written = deque()
        self.trained = self.saved = 0  # epochs

    def on_epoch_begin(self, epoch, logs=None):
        """Note which epoch the next files are of."""
        self.trained = epoch + 1

    def on_test_begin(self, logs=None):
        """Write both files: the steps of the epoch are done."""
        self._save()

    def on_epoch_end(self, epoch, logs=None):
        """Write both files, or after a validation the state alone."""
        self.trained = epoch + 1
        if self.saved == self.trained:
            save_state(self.model, self.state_path, self.trained)
        else:
            self._save()

    def _save(self):
        path = Path(self.pattern.format(epoch=self.trained))
        classic_h5.save(self.model, path)
        save_state(self.model, self.state_path, self.trained)
        self.saved = self.trained
        if self.on_saved is not None:
            self.on_saved(self.trained)
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


class Speed(keras.callbacks.Callback):
    """Put the speed of an epoch and the memory in use into the logs.

    The logs gain seconds (of the whole epoch, with validation and checkpoint), seconds_per_step and images_per_second (of
    training alone, from the end of the first step on, since that one compiles), peak_memory_mb (MiB, the most that this
    process has held so far) and, on an accelerator, peak_device_memory_mb. It costs two readings of a clock an epoch.

    Args:
        batch_size: int. Images of a step.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size
        self.began, self.steps, self.marks = 0.0, 0, []

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.began, self.steps, self.marks = time.perf_counter(), 0, []

    def on_train_batch_end(self, batch, logs=None):
        """Read the clock after the first step and after the last."""
        self.steps += 1
        if self.steps in (1, self.params.get("steps")):
            float((logs or {}).get("loss", 0))  # waits for a device that works on while Python goes ahead
            self.marks.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
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
    """Write the logs of each epoch to history.csv, epochs counted from 1 as the checkpoints count them.

    Lines of earlier epochs stay; those of this epoch and later, of training that was taken up again before them, go.

    Args:
        path: path of the table.
    """

    def __init__(self, path):
        super().__init__()
        self.path = Path(path)
        self.rows = []

    def on_train_begin(self, logs=None):
        """Read what is there.

        Raises:
            ValueError: it is no table of a run; told before anything is trained.
        """
        self.rows = read_history(self.path) if self.path.exists() else []

    def on_epoch_end(self, epoch, logs=None):
        """Write the table with the line of this epoch."""
        figures = {name: value for name, value in (logs or {}).items() if isinstance(value, numbers.Real)}
        self.rows = [row for row in self.rows if row["epoch"] <= epoch] + [{**figures, "epoch": epoch + 1}]
        write_history(self.path, self.rows)
