"""The files of an epoch: a checkpoint of the weights, and the training state, which exact resuming also needs.

The training state consists of the state of the optimizer (momentum, number of steps) and of the random generators that sample
ROIs. The order of the images follows from the seed and the epoch. The file holds only the newest epoch; it is as large as the
weights, or twice as large.
"""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from mrcnn.base.atomic_write import atomic_open
from mrcnn.io.hdf5 import Hdf5Error, open_hdf5
from mrcnn.weights import classic_h5

STATE_NAME = "training_state.h5"


class SaveEpoch(keras.callbacks.Callback):
    """Write the checkpoint and the training state of an epoch as soon as its steps are done.

    Both files exist before anything that can fail runs: validation, the evaluation of AP, users' callbacks. Keras validates
    before the epoch ends, so they are written when validation begins. Validation also draws random numbers; afterwards the
    random generators are restored, so that the next epoch draws the same numbers with and without validation, and after
    resuming.

    Args:
        pattern: path of a checkpoint with {epoch:04d}; epochs count from 1.
        state_path: path of the training state; see `save_state`.
        stage: `training_stage` of the model when it was compiled.
        kept: number of checkpoints to keep, the newest ones written by this callback; None keeps all.
        on_saved: called with the number of trained epochs after they are saved.
    """

    def __init__(self, pattern: str, state_path: Path | str, stage: dict[str, Any], kept: int | None = None,
                 on_saved: Callable[[int], object] | None = None) -> None:
        super().__init__()
        self.pattern = pattern
        self.state_path = state_path
        self.stage = stage
        self.kept = kept
        self.on_saved = on_saved
        self.written: deque[Path] = deque()
        self.trained = self.saved = 0  # epochs
        self.random_states: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch that the next files belong to."""
        self.trained = epoch + 1

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write both files, because the steps of the epoch are done."""
        self._save()
        self.random_states = [np.array(keras.ops.convert_to_numpy(v.value)) for v in _random_states(self.model)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write both files; or, after a validation, before which they were written, restore the random generators."""
        self.trained = epoch + 1
        if self.saved != self.trained:
            self._save()
            return
        for variable, value in zip(_random_states(self.model), self.random_states, strict=True):
            variable.assign(value)

    def _save(self) -> None:
        path = Path(self.pattern.format(epoch=self.trained))
        classic_h5.save(self.model, path)
        save_state(self.model, self.state_path, self.trained, self.stage)
        self.saved = self.trained
        if self.on_saved is not None:
            self.on_saved(self.trained)
        self.written.append(path)
        while self.kept is not None and len(self.written) > self.kept:
            self.written.popleft().unlink(missing_ok=True)


def training_stage(model: keras.Model) -> dict[str, Any]:
    """Return the optimizer and the trainable layers as JSON values. They must be equal for a training state to be restored.

    Call it as soon as the model is compiled. Callbacks such as keras.callbacks.ReduceLROnPlateau change the learning rate
    during a stage, but the stage is identified by the rate passed to `train`.

    Args:
        model: compiled.
    """
    optimizer = json.loads(json.dumps(keras.optimizers.serialize(model.optimizer), default=str))
    return {"optimizer": _comparable(optimizer), "trained": [[v.path, list(v.shape)] for v in model.trainable_variables]}


def save_state(model: keras.Model, path: Path | str, epoch: int, stage: dict[str, Any]) -> None:
    """Write the training state atomically.

    Args:
        model: compiled, with a built optimizer.
        path: the file.
        epoch: number of trained epochs.
        stage: see `training_stage`.
    """
    with atomic_open(path) as raw, h5py.File(raw, "w") as file:
        file.attrs["epoch"] = epoch
        file.attrs["stage"] = json.dumps(stage)
        for number, variable in enumerate(_state(model)):
            file[str(number)] = classic_h5.to_hdf5(variable)


def restore_state(model: keras.Model, path: Path | str, epoch: int, stage: dict[str, Any]) -> bool:
    """Restore the training state if the file belongs to this epoch and to the same stage: the same layers and optimizer.

    Args:
        model: compiled, with a built optimizer.
        path: a file that `save_state` wrote. It need not exist.
        epoch: number of trained epochs.
        stage: see `training_stage`.

    Returns:
        Whether the state was restored. If not, the optimizer starts afresh: there is no file, other layers are trained, or
        the optimizer, the learning rate passed to `train` or the epoch of the weights differs.

    Raises:
        ValueError: the file is damaged or does not fit. No variable is changed in this case.
    """
    if not Path(path).is_file():
        return False
    state = _state(model)
    try:
        with open_hdf5(path) as file:
            if int(file.attrs["epoch"]) != epoch or _comparable(json.loads(file.attrs["stage"])) != stage:
                return False
            values = [_value(file, number, variable) for number, variable in enumerate(state)]
    except (Hdf5Error, ValueError) as error:  # a stage that is not JSON is a ValueError
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a complete training state ({reason}). Remove the file: training then continues from "
                         "the checkpoint alone, with a fresh optimizer") from error
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return True


def _value(file: h5py.File, number: int, variable: Any) -> np.ndarray:
    """Return the stored value of a variable.

    Raises:
        KeyError: the file has no such value.
        ValueError: the value does not fit the variable.
    """
    stored = file[str(number)]
    if stored.shape != tuple(variable.shape) or stored.dtype.kind not in "biuf":
        raise ValueError(f"{variable.path} is {variable.dtype} {tuple(variable.shape)}, but the file has {stored.dtype} "
                         f"{stored.shape}")  # fmt: skip
    return stored[()]


def _state(model: keras.Model) -> list[Any]:
    """Return the variables that are not weights: those of the optimizer and the states of the random generators."""
    return [*model.optimizer.variables, *_random_states(model)]


def _random_states(model: keras.Model) -> list[Any]:
    """Return the states of the random generators."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def _comparable(values: Any) -> Any:
    """Remove the details in which equal optimizers differ: the module of the class, which depends on the backend, and the
    names, which Keras numbers within a process."""
    if not isinstance(values, dict):
        return values
    return {key: _comparable(value) for key, value in values.items() if key not in ("module", "registered_name", "name")}
