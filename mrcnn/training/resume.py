"""Going on with a run as if it had not stopped: what a checkpoint of weights leaves out, kept beside it.

That is the state of the optimizer (momentum, number of steps) and of the random generators that sample ROIs; the order of the
images follows from the seed and the epoch. The file holds the newest epoch alone: it is as large as the weights, or twice that.
"""

import json
from pathlib import Path

import h5py
import keras
import numpy as np

from mrcnn.base.atomic_write import atomic_open

STATE_NAME = "training_state.h5"


def save_state(model, path, epoch):
    """Write what training goes on from, whole or not at all.

    Args:
        model: keras.Model, compiled and its optimizer built.
        path: path.
        epoch: int. Epochs that are trained.
    """
    with atomic_open(path) as raw, h5py.File(raw, "w") as file:
        file.attrs["epoch"] = epoch
        file.attrs["stage"] = json.dumps(_stage(model))
        for number, variable in enumerate(_state(model)):
            file[str(number)] = np.asarray(keras.ops.convert_to_numpy(variable.value))


def restore_state(model, path, epoch):
    """Take up the state of an epoch, where the file has it and training is of the same layers in the same way.

    Args:
        model: keras.Model, compiled and its optimizer built.
        path: path that `save_state` wrote, or of no file.
        epoch: int. Epochs that are trained.

    Returns:
        bool. False: the optimizer starts anew, as it does for other layers, another optimizer or learning rate, or the
        weights of another epoch.

    Raises:
        ValueError: the file is damaged.
    """
    if not Path(path).is_file():
        return False
    state = _state(model)
    try:
        with h5py.File(path, "r") as file:
            if int(file.attrs["epoch"]) != epoch or _bare(json.loads(file.attrs["stage"])) != _stage(model):
                return False
            values = [file[str(number)][()] for number in range(len(state))]
    except (OSError, KeyError, TypeError, ValueError) as error:  # a stage that is no JSON is a ValueError
        raise ValueError(f"{path}: is no whole file of the state of training ({error}): remove it, and training goes on "
                         "from the checkpoint alone, with a fresh optimizer") from error
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return True


def _state(model):
    """The variables that are no weights: those of the optimizer, and the states of random generators."""
    return [*model.optimizer.variables, *(v for v in model.variables if v.name == "seed_generator_state")]


def _stage(model):
    """What has to be alike for an optimizer's state to be taken up: dict that JSON holds."""
    optimizer = json.loads(json.dumps(keras.optimizers.serialize(model.optimizer), default=str))
    return {"optimizer": _bare(optimizer), "trained": [[v.path, list(v.shape)] for v in model.trainable_variables]}


def _bare(values):
    """Leave out what differs between optimizers that do the same: where a class comes from, which is another on each backend,
    and names, in which Keras counts the optimizers of a process."""
    if not isinstance(values, dict):
        return values
    return {key: _bare(value) for key, value in values.items() if key not in ("module", "registered_name", "name")}
