"""A run of one layer that can be killed: python -m tests.training.killed_run FOLDER EPOCHS KILL_AT [BEGIN TARGET]."""
import os
import signal
import sys

import keras
import numpy as np

from mrcnn.training.callbacks import History
from mrcnn.training.checkpoints import SaveEpoch, restore_state, saved_rows, training_stage
from mrcnn.training.run_lock import held_run
from mrcnn.training.runs import newest_checkpoint, parse_checkpoint, state_path
from mrcnn.weights import classic_h5

X = np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)


def train(folder, epochs, begin=None, target=1.0):
    """Train up to an epoch, from the newest whole checkpoint in the folder, and return the weights.

    Args:
        begin: epoch to resume from instead.
        target: what the layer learns to add.
    """
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")], name="toys")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    stage = training_stage(model)
    with held_run(str(folder), is_new=False):
        checkpoint, epoch = newest_checkpoint(folder), 0
        if begin is not None:
            checkpoint = f"{folder}/mask_rcnn_toys_{begin:04d}.h5"
        if checkpoint is not None:
            epoch = parse_checkpoint(checkpoint)[1]
            classic_h5.load(model, checkpoint)
            assert restore_state(model, state_path(folder, epoch), epoch, stage)
        history = History(f"{folder}/history.csv", saved_rows(state_path(folder, epoch), epoch))
        save = SaveEpoch(f"{folder}/mask_rcnn_toys_{{epoch:04d}}.h5", stage, rows=history.rows_with,
                         record=history.on_epoch_end)
        model.fit(X, X.sum(axis=1) + target, verbose=0, shuffle=False, initial_epoch=epoch, epochs=epochs,
                  validation_data=(X, X.sum(axis=1)), callbacks=[save, history])
    return model.get_weights()


def _die_at(call):
    """Make the process kill itself instead of its n-th renaming of a finished file."""
    rename, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    os.replace = replace


if __name__ == "__main__":
    _die_at(int(sys.argv[3]))
    train(sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[4:]))
