"""What training shows: a bar with the time left on a terminal or in a notebook, and two lines an epoch anywhere."""

import time
from importlib.util import find_spec

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mrcnn.config import LOSS_NAMES

# what is shown of the validation's figures; all of them are in history.csv
VALIDATION_FIGURES = ("val_loss", "val_mask_AP", "val_mask_AP50", "val_box_AP")


class TrainingProgress(keras.callbacks.Callback):
    """Show steps, rate, time left and the loss while an epoch runs, and its figures at the end.

    The bar is drawn on terminals, and in notebooks where ipywidgets is installed; a log file gets the lines of each epoch.

    Args:
        console: rich.console.Console, optional. Standard output when None.
    """

    def __init__(self, console=None):
        super().__init__()
        self.console = console or Console()
        self.bar = self.task = self.started = None

    def on_epoch_begin(self, epoch, logs=None):
        """Start the bar of an epoch."""
        self.started = time.perf_counter()
        # without ipywidgets rich would warn at every epoch, and draw nothing
        moves = self.console.is_terminal or (self.console.is_jupyter and find_spec("ipywidgets") is not None)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True), TextColumn("{task.fields[loss]}"), console=self.console,
            transient=True, disable=not moves)  # fmt: skip
        self.task = self.bar.add_task(self._title(epoch), total=self.params.get("steps"), rate="", loss="")
        self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar one step on."""
        if self.bar.disable:
            return
        seconds = (time.perf_counter() - self.started) / (batch + 1)
        rate = f"{seconds:.2f} s/step" if seconds >= 0.1 else f"{1 / seconds:.0f} steps/s"
        self.bar.update(self.task, advance=1, rate=rate, loss=f"loss {float((logs or {}).get('loss', float('nan'))):.4f}")

    def on_epoch_end(self, epoch, logs=None):
        """Take the bar away and print the epoch's figures."""
        self._stop()
        logs = logs or {}
        seconds = time.perf_counter() - self.started
        parts = ", ".join(f"{name.removesuffix('_loss')} {logs[name]:.4f}" for name in LOSS_NAMES if name in logs)
        self._print(f"{self._title(epoch)}: {seconds:.0f} s, loss {logs.get('loss', float('nan')):.4f} ({parts})")
        shown = [f"{name.removeprefix('val_')} {logs[name]:.4f}" for name in VALIDATION_FIGURES if name in logs]
        if shown:
            self._print(f"    validation: {', '.join(shown)}")

    def on_train_end(self, logs=None):
        """Leave no bar behind."""
        self._stop()

    def close(self):
        """Take the bar away when training ends with an error, which calls no other hook."""
        self._stop()

    def _stop(self):
        if self.bar is not None:
            self.bar.stop()

    def _title(self, epoch):
        return f"Epoch {epoch + 1}/{self.params.get('epochs', '?')}"

    def _print(self, text):
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
