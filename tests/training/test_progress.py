"""The progress of training: lines per epoch in a log, a bar on a terminal."""
import io
import re

import keras
import pytest
from rich.console import Console

from mrcnn.config_rules import LOSS_NAMES
from mrcnn.training.progress import TrainingProgress


@pytest.fixture(autouse=True)
def backend_that_compiles(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")


def _train(terminal, logs, epochs=1):
    """Call the hooks for epochs of three steps with a validation of two steps, and return the output."""
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=terminal, width=100), validation_steps=2)
    progress.set_params({"epochs": 4, "steps": 3})
    for epoch in range(1, 1 + epochs):
        progress.on_epoch_begin(epoch)
        for batch in range(3):
            progress.on_train_batch_end(batch, {"loss": 2.5})
        progress.on_test_begin()
        for batch in range(2):
            progress.on_test_batch_end(batch)
        with progress.stage("scoring masks") as show:
            show(4, 5), show(5, 5)
        progress.on_epoch_end(epoch, logs)
    progress.on_train_end()
    return text.getvalue()


LOGS = {"loss": 1.75, **{name: 0.25 for name in LOSS_NAMES}, "val_loss": 2.0, "val_mask_AP": 0.125, "val_rpn_class_loss": 9.0}


def test_a_log_gets_three_lines_per_epoch_and_one_before_the_first():
    text = _train(False, LOGS, epochs=2)
    lines = text.splitlines()
    assert len(lines) == 7 and "\x1b" not in text and "\r" not in text and max(map(len, lines)) <= 80
    assert lines[0] == "compiling the first step, a minute or two ..."
    assert lines[1] == "Epoch 2/4: 0 s, loss 1.7500, 0:00:00 left"
    assert lines[2] == "    rpn_class 0.2500, rpn_bbox 0.2500, class 0.2500, bbox 0.2500, mask 0.2500"
    assert lines[3] == lines[6] == "    validation: loss 2.0000, mask_AP 0.1250" and lines[4].startswith("Epoch 3/4: ")


def test_the_time_left_is_that_of_the_run(monkeypatch):
    """Clock: a first step that ends at 60, then 2 s per step; validation takes 4 s. Two epochs of three steps, one run."""
    clock = {"now": 0.0}
    monkeypatch.setattr("mrcnn.training.progress.time.perf_counter", lambda: clock["now"])
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=False))
    progress.set_params({"epochs": 4, "steps": 3})
    left = []
    for epoch in (2, 3):
        progress.on_epoch_begin(epoch)
        for batch in range(3):
            clock["now"] = (60 if epoch == 2 else 70) + 2 * batch
            progress.on_train_batch_end(batch)
            left.append(progress._left(clock["now"]))
        clock["now"] += 4
        progress.on_epoch_end(epoch, {"loss": 1.0})
    # nothing is known after the first step; then 4 and 3 steps of 2 s; then (70 - 60) / 3 s a step for 2 steps
    assert left == [None, 8, 6, pytest.approx(20 / 3), pytest.approx(3), 0]
    # two steps and the validation took 8 s: 4 s a step, 3 steps
    lines = [line for line in text.getvalue().splitlines() if line.startswith("Epoch")]
    assert lines == ["Epoch 3/4: 68 s, loss 1.0000, 0:00:12 left", "Epoch 4/4: 10 s, loss 1.0000"]


def test_backend_without_compilation_prints_no_such_line(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert len(_train(False, LOGS).splitlines()) == 3
    assert "compiling" not in _train(True, LOGS)


def test_compilation_is_announced_before_the_first_step():
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=False))
    progress.set_params({"epochs": 1, "steps": 1})
    progress.on_epoch_begin(0)
    assert text.getvalue() == "compiling the first step, a minute or two ...\n"


def test_terminal_shows_the_elapsed_time_while_the_first_step_compiles():
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=True, width=80))
    progress.set_params({"epochs": 2, "steps": 2})
    progress.on_epoch_begin(0)
    progress.bar.refresh()
    assert "compiling the first step, a minute or two" in text.getvalue() and "0:00:00" in text.getvalue()
    assert "Epoch" not in text.getvalue() and "…" not in text.getvalue()
    progress.on_train_batch_end(0, {"loss": 1.0})
    before = len(text.getvalue())
    progress.bar.refresh()
    assert "Epoch 1/2" in text.getvalue()[before:] and "1/2" in text.getvalue()[before:]
    assert "compiling" not in text.getvalue()[before:]
    progress.on_epoch_begin(1)
    before = len(text.getvalue())
    progress.bar.refresh()
    assert "Epoch 2/2" in text.getvalue()[before:] and "compiling" not in text.getvalue()[before:]
    progress.close()


def test_first_step_is_excluded_from_the_rate(monkeypatch):
    clock = iter([100.0, 160.0, 162.0])  # a minute of compiling, then a step of two seconds
    progress = TrainingProgress(Console(file=io.StringIO(), force_terminal=True, width=100))
    progress.set_params({"epochs": 1, "steps": 3})
    monkeypatch.setattr("mrcnn.training.progress.time.perf_counter", lambda: next(clock))
    progress.on_epoch_begin(0)
    progress.on_train_batch_end(0)
    assert progress.bar.tasks[0].fields["rate"] == ""
    progress.on_train_batch_end(1)
    assert progress.bar.tasks[0].fields["rate"] == "2.00 s/step"
    progress.close()


def test_bars_of_validation_and_scoring_are_below_that_of_the_epoch():
    assert re.search(r"Epoch 2/4.* 3/3 .*\n.*validation.* 2/2 .*\n.*scoring masks.* 5/5 ", _train(True, LOGS))


def test_terminal_shows_the_steps_and_the_loss():
    text = _train(True, LOGS)
    assert "3/3" in text and "loss 2.5000" in text and "steps/s" in text and "Epoch 2/4: 0 s, loss 1.7500" in text


def test_no_color_removes_colours(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    colored = re.compile(r"\x1b\[[0-9;]*m")
    assert colored.search(_train(True, LOGS))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "3/3" in _train(True, LOGS) and not colored.search(_train(True, LOGS))


def test_epoch_without_validation_has_one_line():
    assert [line.split(":")[0] for line in _train(False, {"loss": 1.0}).splitlines()[1:]] == ["Epoch 2/4"]


@pytest.mark.parametrize("terminal", [False, True])
def test_error_in_an_epoch_leaves_no_bar(terminal):
    progress = TrainingProgress(Console(file=io.StringIO(), force_terminal=terminal))
    progress.close()
    progress.set_params({"epochs": 1, "steps": None})
    progress.on_epoch_begin(0)
    progress.close()
    assert not progress.bar.live.is_started


@pytest.mark.parametrize("installed", [False, True])
def test_notebook_has_a_bar_only_if_it_can_be_drawn(installed, monkeypatch):
    monkeypatch.setattr("mrcnn.training.progress.find_spec", lambda name: object() if installed else None)
    progress = TrainingProgress(Console(file=io.StringIO(), force_jupyter=True))
    monkeypatch.setattr("rich.progress.Progress.start", lambda self: None)
    progress.set_params({"epochs": 1, "steps": 1})
    progress.on_epoch_begin(0)
    assert progress.bar.disable is not installed
