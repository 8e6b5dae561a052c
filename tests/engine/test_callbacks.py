"""AP in the logs, and checkpoints by their epoch."""
import types

import keras
import numpy as np
import pytest

from mrcnn.engine.callbacks import ClassicCheckpoint, CocoValidation
from mrcnn.weights import classic_h5

NAMES = ("mask_AP", "mask_AP50", "box_AP", "box_AP50")


def _evaluations(*values):
    """An evaluation whose figures are these, one after another."""
    values = iter(values)
    return lambda: types.SimpleNamespace(metrics=dict.fromkeys(NAMES, next(values)))


def test_figures_stand_until_the_next_evaluation():
    callback = CocoValidation(_evaluations(0.25, 0.5), every=2)
    seen = []
    for epoch in range(5):
        logs = {"loss": 1.0}
        callback.on_epoch_end(epoch, logs)
        seen.append(logs.get("val_mask_AP"))
        assert logs["loss"] == 1.0
    assert seen == [None, 0.25, 0.25, 0.5, 0.5]


def test_a_set_without_objects_does_not_stop_training():
    callback, logs = CocoValidation(_evaluations(*[float("nan")] * 2)), {}
    callback.on_epoch_end(0, logs)
    assert np.isnan(logs["val_mask_AP"])
    callback.on_epoch_end(0, None)


@pytest.mark.parametrize("epoch", [0, 9999])
def test_a_checkpoint_counts_epochs_from_one(tmp_path, epoch):
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(image))
    callback = ClassicCheckpoint(str(tmp_path / "mask_rcnn_toys_{epoch:04d}.h5"))
    callback.set_model(model)
    callback.on_epoch_end(epoch)
    (path,) = tmp_path.iterdir()
    assert path.name == f"mask_rcnn_toys_{epoch + 1:04d}.h5"
    assert {tensor for _, tensor, _ in classic_h5.layout(path)} == {"dense/kernel:0", "dense/bias:0"}


def test_only_the_newest_of_its_own_checkpoints_stay(tmp_path):
    image = keras.Input((2,))
    callback = ClassicCheckpoint(str(tmp_path / "mask_rcnn_toys_{epoch:04d}.h5"), kept=2)
    callback.set_model(keras.Model(image, keras.layers.Dense(1)(image)))
    (tmp_path / "mask_rcnn_toys_0001.h5").touch()  # of an earlier run
    for epoch in (1, 2, 3, 4):
        callback.on_epoch_end(epoch)
    assert sorted(path.name[-7:] for path in tmp_path.iterdir()) == ["0001.h5", "0004.h5", "0005.h5"]
