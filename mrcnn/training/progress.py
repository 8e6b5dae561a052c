"""What training shows: bars with the time left on a terminal or in a notebook, and two lines an epoch anywhere."""

import time
from contextlib import contextmanager
from importlib.util import find_spec

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mrcnn.base.terminal import Clock, speed_text
from mrcnn.config import LOSS_NAMES

# said at the start of the first step, in which a backend compiles the graph
COMPILING = "compiling the first step, a minute or two"


def first_step():
    """Say how the first step begins, with Keras's backend as it is: str, or None on PyTorch, which compiles nothing."""
    import keras

    return None if keras.backend.backend() == "torch" else COMPILING


# what is shown of the validation's figures; all of them are in history.csv
VALIDATION_FIGURES = ("val_loss", "val_mask_AP", "val_mask_AP50", "val_box_AP")


class TrainingProgress(keras.callbacks.Callback):
    """Show steps, rate, time left and the loss while an epoch runs, and its figures at the end.

    The bars are drawn on terminals, and in notebooks where ipywidgets is installed; a log file gets the lines of each epoch,
    and one when the first step begins, which compiles the graph.

    Args:
        console: rich.console.Console, optional. Standard output when None.
        validation_steps: int, optional. Steps of the validation of an epoch.
    """

    def __init__(self, console=None, validation_steps=None):
        super().__init__()
        self.console = console or Console()
        self.validation_steps = validation_steps
        self.bar = self.task = self.title = self.started = self.show_validation = None
        # the step and the time from which the speed is taken: the first step of all is none to go by
        self.pace = None
        # what the first step begins with, until it is done
        self.first = first_step()

    def on_epoch_begin(self, epoch, logs=None):
        """Start the bar of an epoch, or say that the graph is compiled first."""
        self.started = time.perf_counter()
        self.pace = 0, self.started
        # without ipywidgets rich would warn at every epoch, and draw nothing
        moves = self.console.is_terminal or (self.console.is_jupyter and find_spec("ipywidgets") is not None)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"), Clock(), TextColumn("{task.fields[loss]}"), console=self.console,
            transient=True, disable=not moves)  # fmt: skip
        self.title = self._title(epoch)
        self.task = self._add(self.first or self.title)
        if self.first and not moves:
            self._print(f"{self.first} ...")
        self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar one step on."""
        done, total = batch + 1, self.params.get("steps")
        if self.first:
            self.first, self.pace = None, (done, time.perf_counter())
        if self.bar.disable:
            return
        self.bar.update(self.task, description=self.title, completed=done, total=total, rate=self._rate(done),
                        count=f"{done}/{total or '?'}", loss=f"loss {float((logs or {}).get('loss', float('nan'))):.4f}")

    def on_test_begin(self, logs=None):
        """Start the bar of the validation."""
        self.show_validation = self._shown("validation")

    def on_test_batch_end(self, batch, logs=None):
        """Move the bar of the validation one step on."""
        self.show_validation(batch + 1, self.validation_steps)

    @contextmanager
    def stage(self, what):
        """Show work that belongs to an epoch below its bar: a maker of stages, as of `mrcnn.base.progress`."""
        yield self._shown(what)

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

    def _add(self, what):
        return self.bar.add_task(what, total=None, count="", rate="", loss="")

    def _shown(self, what):
        """Add a bar below that of the epoch: function (done, total)."""
        bar, task = self.bar, self._add(what)

        def show(done, total):
            bar.update(task, completed=done, total=total, count=f"{done}/{total or '?'}")
            bar.update(task, rate=speed_text(bar.tasks[task].speed))

        return show

    def _rate(self, done):
        """Say how fast the steps go since those of `pace`: str."""
        first, began = self.pace
        if done == first:
            return ""
        seconds = (time.perf_counter() - began) / (done - first)
        return f"{seconds:.2f} s/step" if seconds >= 0.1 else f"{1 / seconds:.0f} steps/s"

    def _title(self, epoch):
        return f"Epoch {epoch + 1}/{self.params.get('epochs', '?')}"

    def _print(self, text):
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
