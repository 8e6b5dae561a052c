"""The callbacks that record AP, speed and history."""
import types

import numpy as np
import pytest

from mrcnn.training import callbacks
from mrcnn.training.callbacks import CocoValidation, History, Speed
from mrcnn.training.runs import read_history

NAMES = ("mask_AP", "mask_AP50", "box_AP", "box_AP50")


def _evaluations(*values):
    """Return a replacement for `evaluate` that returns `values` as its metrics, one after another."""
    values = iter(values)
    return lambda: types.SimpleNamespace(metrics=dict.fromkeys(NAMES, next(values)), info={"images": 1, "left_out": {}})


def test_metrics_are_kept_until_the_next_evaluation():
    callback = CocoValidation(_evaluations(0.25, 0.5), every=2)
    logged = []
    for epoch in range(5):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        logged.append(logs.get("val_mask_AP"))
        assert logs["loss"] == 1.0
    assert logged == [None, 0.25, 0.25, 0.5, 0.5]


def test_data_set_without_objects_does_not_stop_training():
    callback, logs = CocoValidation(_evaluations(*[float("nan")] * 2)), {}
    callback.on_epoch_end(0, logs)
    assert np.isnan(logs["val_mask_AP"])
    callback.on_epoch_end(0, None)


def test_speed_is_measured_over_the_steps_after_the_first(monkeypatch):
    """The epoch begins at 10 s, its first step, which compiles, ends at 40 s, the third at 44 s, the epoch at 50 s."""
    clock = iter([10.0, 40.0, 44.0, 50.0])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    speed, logs = Speed(batch_size=8), {"loss": 1.0}
    speed.set_params({"steps": 3})
    speed.on_epoch_begin(0)
    for step in range(3):
        speed.on_train_batch_end(step, {"loss": 1.0})
    speed.on_epoch_end(0, logs)
    assert (logs["seconds"], logs["seconds_per_step"], logs["images_per_second"]) == (40, 2, 4)
    assert logs["peak_memory_mb"] > 10


def test_speed_of_an_epoch_with_a_single_step(monkeypatch):
    clock = iter([10.0, 14.0, 15.0])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    speed, logs = Speed(batch_size=2), {}
    speed.set_params({"steps": 1})
    speed.on_epoch_begin(0)
    speed.on_train_batch_end(0, None)
    speed.on_epoch_end(0, logs)
    assert (logs["seconds"], logs["seconds_per_step"], logs["images_per_second"]) == (5, 4, 0.5)


def _write(path, *epochs):
    """Call a new History with epochs (index, logs)."""
    history = History(path)
    history.on_train_begin()
    for epoch, logs in epochs:
        history.on_epoch_end(epoch, logs)


def test_history_is_continued_by_a_resumed_run(tmp_path):
    path = tmp_path / "history.csv"
    _write(path, (0, {"loss": 3.0}), (1, {"loss": 2.0}), (2, {"loss": 9.0, "note": "odd"}))
    _write(path, (2, {"loss": 1.0, "val_loss": 4.0}))  # resumed after the second epoch, with validation
    assert path.read_text().splitlines() == ["epoch,loss,val_loss", "1,3.0,", "2,2.0,", "3,1.0,4.0"]
    _write(path, (0, {"loss": 5.0}))  # started again
    assert read_history(path) == [{"epoch": 1, "loss": 5}]


def test_damaged_history_is_an_error_before_training(tmp_path):
    (tmp_path / "history.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column named epoch"):
        History(tmp_path / "history.csv").on_train_begin()
