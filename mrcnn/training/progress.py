"""Training progress: bars with the time left on a terminal or in a notebook, and three lines per epoch everywhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.progress import Task as BarTask
from rich.text import Text

from mrcnn.base.progress import Show
from mrcnn.base.terminal import Clock, clock_text, speed_text
from mrcnn.config_rules import LOSS_NAMES

# shown while the backend compiles the graph, in the first step
COMPILING = "compiling the first step, a minute or two"
# the validation metrics that are shown; history.csv has all of them
VALIDATION_FIGURES = ("val_loss", "val_mask_AP", "val_mask_AP50", "val_box_AP")

Logs = dict[str, Any] | None


def first_step() -> str | None:
    """Return the text to show before the first step; None on PyTorch, which does not compile."""
    return None if keras.backend.backend() == "torch" else COMPILING


class RunClock(Clock):
    """The time left of the whole run, for the bar of an epoch, whose field "left" holds the seconds; else a `Clock`."""

    def render(self, task: BarTask) -> Text:
        """Return the time of a task as text."""
        left = task.fields.get("left")
        return super().render(task) if left is None else Text(f"{clock_text(left)} left", style="progress.remaining")


class TrainingProgress(keras.callbacks.Callback):
    """Show steps, rate, loss and the time left of the run during an epoch, and its losses and metrics at the end.

    Bars are drawn on terminals, and in notebooks if ipywidgets is installed. A log file gets the lines of each epoch, and one
    line before the first step, which compiles the graph.

    Args:
        console: None for standard output.
        validation_steps: number of validation steps per epoch.
    """

    def __init__(self, console: Console | None = None, validation_steps: int | None = None) -> None:
        super().__init__()
        self.console = console or Console()
        self.validation_steps = validation_steps
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.title, self.started = "", 0.0
        self.show_validation: Show | None = None
        # the step and the time from which the rate is measured: after the very first step, which compiles
        self.pace = 0, 0.0
        # the same for the time left of the run: steps of this call of `train`
        self.run_pace: tuple[int, float] | None = None
        self.steps_done = self.steps_left = 0
        # what is shown until the first step is done
        self.first = first_step()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start the bar of an epoch, or print that the graph is compiled first."""
        self.started = time.perf_counter()
        self.pace = 0, self.started
        self.steps_left = (self.params.get("epochs", 0) - epoch) * (self.params.get("steps") or 0)
        # without ipywidgets, rich would warn in every epoch and draw nothing
        moves = self.console.is_terminal or (self.console.is_jupyter and find_spec("ipywidgets") is not None)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"), RunClock(), TextColumn("{task.fields[loss]}"), console=self.console,
            transient=True, disable=not moves)  # fmt: skip
        self.title = self._title(epoch)
        self.task = _add_task(self.bar, self.first or self.title)
        if self.first and not moves:
            self._print(f"{self.first} ...")
        self.bar.start()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Advance the bar by a step."""
        done, total, now = batch + 1, self.params.get("steps"), time.perf_counter()
        if self.first:
            self.first, self.pace = None, (done, now)
        self.steps_done, self.steps_left = self.steps_done + 1, self.steps_left - 1
        if self.run_pace is None:
            self.run_pace = self.steps_done, now
        if self.bar is None or self.bar.disable:
            return
        self.bar.update(self.task, description=self.title, completed=done, total=total, count=f"{done}/{total or '?'}",
                        rate=self._rate(done, now), left=self._left(now),
                        loss=f"loss {float((logs or {}).get('loss', float('nan'))):.4f}")  # fmt: skip

    def on_test_begin(self, logs: Logs = None) -> None:
        """Start the validation bar."""
        self.show_validation = self._stage_bar("validation")

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Advance the validation bar by a step."""
        if self.show_validation is not None:
            self.show_validation(batch + 1, self.validation_steps or 0)

    @contextmanager
    def stage(self, what: str) -> Iterator[Show | None]:
        """Show a stage of work within an epoch below its bar. This is a `Stages` of `mrcnn.base.progress`."""
        yield self._stage_bar(what)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Remove the bar and print the losses and metrics of the epoch."""
        self.close()
        logs = logs or {}
        seconds = time.perf_counter() - self.started
        left = self._left(time.perf_counter()) if self.steps_left else None
        self._print(f"{self._title(epoch)}: {seconds:.0f} s, loss {logs.get('loss', float('nan')):.4f}"
                    + (f", {clock_text(left)} left" if left is not None else ""))
        parts = [f"{name.removeprefix('mrcnn_').removesuffix('_loss')} {logs[name]:.4f}" for name in LOSS_NAMES if name in logs]
        if parts:
            self._print(f"    {', '.join(parts)}")
        shown = [f"{name.removeprefix('val_')} {logs[name]:.4f}" for name in VALIDATION_FIGURES if name in logs]
        if shown:
            self._print(f"    validation: {', '.join(shown)}")

    def on_train_end(self, logs: Logs = None) -> None:
        """Remove the bar."""
        self.close()

    def close(self) -> None:
        """Remove the bar. Needed if training ends with an error, because Keras then calls no other hook."""
        if self.bar is not None:
            self.bar.stop()

    def _stage_bar(self, what: str) -> Show | None:
        """Add a bar below that of the epoch."""
        bar = self.bar
        if bar is None:
            return None
        task = _add_task(bar, what)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, count=f"{done}/{total or '?'}")
            bar.update(task, rate=speed_text(bar.tasks[task].speed))

        return show

    def _left(self, now: float) -> float | None:
        """Return the seconds left of the run, validation included; None before the second step, and of an unknown length."""
        if self.run_pace is None or self.steps_left < 0:
            return None
        first, began = self.run_pace
        if self.steps_done == first:
            return None
        return (now - began) / (self.steps_done - first) * self.steps_left

    def _rate(self, done: int, now: float) -> str:
        """Return the rate of the steps since `pace`, "" before the first one."""
        first, began = self.pace
        if done == first:
            return ""
        seconds = (now - began) / (done - first)
        return f"{seconds:.2f} s/step" if seconds >= 0.1 else f"{1 / seconds:.0f} steps/s"

    def _title(self, epoch: int) -> str:
        return f"Epoch {epoch + 1}/{self.params.get('epochs', '?')}"

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _add_task(bar: Progress, what: str) -> TaskID:
    return bar.add_task(what, total=None, count="", rate="", loss="")
