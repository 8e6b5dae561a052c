"""The callbacks that record AP, speed and history."""
import types

import keras
import numpy as np
import pytest

from mrcnn.training import callbacks
from mrcnn.training.callbacks import BestEpoch, CocoValidation, History, Speed
from mrcnn.training.runs import read_history
from mrcnn.weights import classic_h5

NAMES = ("mask_AP", "mask_AP50", "box_AP", "box_AP50")


def _evaluations(*values):
    """Return a replacement for `evaluate` that returns `values` as its metrics, one after another."""
    values = iter(values)
    return lambda: types.SimpleNamespace(metrics=dict.fromkeys(NAMES, next(values)), info={"images": 1, "left_out": {}})


def test_an_epoch_without_an_evaluation_has_no_ap_and_the_last_one_is_evaluated():
    callback = CocoValidation(_evaluations(0.25, 0.5, 0.75), every=2)
    callback.set_params({"epochs": 5})
    seen = []
    for epoch in range(5):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        seen.append(logs.get("val_mask_AP"))
        assert logs["loss"] == 1.0
    assert seen == [None, 0.25, None, 0.5, 0.75]


def _small_network():
    """A model with one weight, whose value is the epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, name="only")])
    model.stop_training = False
    return model


def _best(path, patience, *values, earlier=()):
    """Play epochs with these APs (None: no evaluation); return the callback, the epochs played and the kept weight."""
    callback = BestEpoch(path, patience, earlier)
    callback.set_model(_small_network())
    played = 0
    for epoch, ap in enumerate(values):
        callback.model.set_weights([np.full((1, 1), float(epoch))])
        callback.on_epoch_end(epoch, {"loss": 1.0} if ap is None else {"val_mask_AP": ap})
        played += 1
        if callback.model.stop_training:
            break
    kept = None
    if path is not None and path.exists():
        other = _small_network()
        classic_h5.load(other, path)
        kept = other.get_weights()[0].item()
    return callback, played, kept


def test_the_weights_of_the_highest_ap_are_kept(tmp_path):
    path = tmp_path / "best.h5"
    nan = float("nan")
    callback, played, kept = _best(path, None, nan, None, 0.25, None, 0.5, 0.5, 0.25)
    assert (played, kept, callback.best, callback.since) == (7, 4, 0.5, 2)


def test_training_stops_after_evaluations_without_a_better_one(tmp_path, capsys):
    # epochs without an evaluation do not count
    callback, played, kept = _best(tmp_path / "best.h5", 2, 0.5, None, 0.25, None, None, 0.375, 0.75)
    assert (played, kept) == (6, 0)
    assert capsys.readouterr().out == "Stopping early: no better mask AP than 0.5000 in 2 evaluations.\n"


def test_a_resumed_run_knows_its_earlier_evaluations(tmp_path):
    path = tmp_path / "best.h5"
    assert _best(path, 3, 0.1, earlier=(0.5, 0.25))[2] == 0, "without a file, the earlier best weights are lost"
    callback, played, kept = _best(path, 3, 0.375, 0.5, 0.75, earlier=(0.5, 0.25))
    assert (played, kept) == (2, 0) and callback.since == 3
    assert _best(None, 1, 0.5, 0.4, earlier=(0.25,))[1:] == (2, None)


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
