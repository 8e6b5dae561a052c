"""What training shows: lines an epoch in a log, a bar on a terminal."""
import io
import re

import pytest
from rich.console import Console

from mrcnn.config import LOSS_NAMES
from mrcnn.engine.progress import TrainingProgress


def _train(terminal, logs):
    """Run the hooks of one epoch of three steps; return what was written."""
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=terminal, width=100))
    progress.set_params({"epochs": 4, "steps": 3})
    progress.on_epoch_begin(1)
    for batch in range(3):
        progress.on_train_batch_end(batch, {"loss": 2.5})
    progress.on_epoch_end(1, logs)
    progress.on_train_end()
    return text.getvalue()


LOGS = {"loss": 1.75, **{name: 0.25 for name in LOSS_NAMES}, "val_loss": 2.0, "val_mask_AP": 0.125, "val_rpn_class_loss": 9.0}


def test_a_log_gets_two_lines_an_epoch():
    lines = _train(False, LOGS).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 2/4: 0 s, loss 1.7500 (rpn_class 0.2500, ")
    assert lines[1] == "    validation: loss 2.0000, mask_AP 0.1250"


def test_a_terminal_sees_the_steps_and_the_loss():
    text = _train(True, LOGS)
    assert "3/3" in text and "loss 2.5000" in text and "steps/s" in text and "Epoch 2/4: 0 s, loss 1.7500" in text


def test_no_color_takes_the_colours_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    colored = re.compile(r"\x1b\[[0-9;]*m")
    assert colored.search(_train(True, LOGS))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "3/3" in _train(True, LOGS) and not colored.search(_train(True, LOGS))


def test_without_validation_there_is_one_line():
    assert len(_train(False, {"loss": 1.0}).splitlines()) == 1


@pytest.mark.parametrize("terminal", [False, True])
def test_an_error_in_an_epoch_leaves_no_bar(terminal):
    progress = TrainingProgress(Console(file=io.StringIO(), force_terminal=terminal))
    progress.close()
    progress.set_params({"epochs": 1, "steps": None})
    progress.on_epoch_begin(0)
    progress.close()
    assert not progress.bar.live.is_started


@pytest.mark.parametrize("installed", [False, True])
def test_a_notebook_has_a_bar_only_where_it_can_be_drawn(installed, monkeypatch):
    monkeypatch.setattr("mrcnn.engine.progress.find_spec", lambda name: object() if installed else None)
    progress = TrainingProgress(Console(file=io.StringIO(), force_jupyter=True))
    monkeypatch.setattr("rich.progress.Progress.start", lambda self: None)
    progress.set_params({"epochs": 1, "steps": 1})
    progress.on_epoch_begin(0)
    assert progress.bar.disable is not installed
