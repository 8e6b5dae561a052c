"""The files of an epoch: a checkpoint of the weights, and the training state, which exact resuming also needs.

The training state consists of the state of the optimizer (momentum, number of steps) and of the random generators that sample
ROIs. The order of the images follows from the seed and the epoch. Its file is as large as the weights, or twice as large.
With EMA_MOMENTUM, the checkpoint holds the average of the weights, and the training state also the weights in training.
The rows of the history are in it too, so that a resumed run has them even if history.csv lost some.

The two are a unit: the checkpoint is written last, so that whatever kills the process, a checkpoint has its state and its
row in the history. For the same reason, the checkpoint that a run resumed from an earlier epoch replaces is removed first. Each
file is on the disk before it gets its name, and holds a digest.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from mrcnn.base.atomic_write import atomic_open
from mrcnn.io.hdf5 import Hdf5Error, digest_fault, open_hdf5, seal
from mrcnn.training.runs import run_checkpoints, state_path
from mrcnn.training.weight_average import average_of
from mrcnn.weights import classic_h5

# Number of training states kept: the newest, and the one that is needed if the newest checkpoint or state is damaged.
STATES_KEPT = 2
_ROWS = "history"  # name of their data set in a training state
# The parts of a stage (see `training_stage`) in words.
_STAGE = {"optimizer": "the optimizer or its learning rate", "trained": "the trained layers", "average": "EMA_MOMENTUM"}
Rows = Sequence[dict[str, float]]  # of the history, see `runs.read_history`


class SaveEpoch(keras.callbacks.Callback):
    """Write the training state, the row of the history and the checkpoint of an epoch as soon as its steps are done.

    The files exist before anything that can fail runs: validation, the evaluation of AP, users' callbacks. Keras validates
    before the epoch ends, so they are written when validation begins. Validation also draws random numbers; afterwards the
    random generators are restored, so that the next epoch draws the same numbers with and without validation, and after
    resuming.

    Args:
        pattern: path of a checkpoint with {epoch:04d}; epochs count from 1.
        stage: `training_stage` of the model when it was compiled.
        kept: number of checkpoints of the run to keep, the newest ones; None keeps all.
        rows: called with the epoch, counted from 0, and its training losses; returns the rows of the history up to it, for
            the training state.
        record: called with the same, before the checkpoint is written.
        on_saved: called with the number of trained epochs after they are saved.
    """

    def __init__(self, pattern: str, stage: dict[str, Any], kept: int | None = None,
                 rows: Callable[[int, dict[str, Any]], Rows] | None = None,
                 record: Callable[[int, dict[str, Any]], object] | None = None,
                 on_saved: Callable[[int], object] | None = None) -> None:
        super().__init__()
        self.pattern = pattern
        self.folder = Path(pattern).parent
        self.stage = stage
        self.kept = kept
        self.rows = rows
        self.record = record
        self.on_saved = on_saved
        self.trained = self.saved = 0  # epochs
        self.losses: dict[str, Any] = {}
        self.random_states: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch that the next files belong to."""
        self.trained = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the losses, which are means over the epoch so far."""
        self.losses = logs or {}

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Write the files, because the steps of the epoch are done."""
        self._save()
        self.random_states = [np.array(keras.ops.convert_to_numpy(v.value)) for v in _random_states(self.model)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the files; or, after a validation, before which they were written, restore the random generators."""
        self.trained = epoch + 1
        if self.saved != self.trained:
            self._save()
            return
        for variable, value in zip(_random_states(self.model), self.random_states, strict=True):
            variable.assign(value)

    def _save(self) -> None:
        """Write the files of an epoch.

        Raises:
            OSError: a file cannot be written. The message names the last checkpoint, which is unchanged.
            WeightsError: the weights are not finite numbers.
        """
        try:
            classic_h5.refuse_nan(self.model)
            _refuse_nan_in_training(self.model)
            Path(self.pattern.format(epoch=self.trained)).unlink(missing_ok=True)  # it does not belong to the new state
            rows = self.rows(self.trained - 1, self.losses) if self.rows is not None else ()
            save_state(self.model, state_path(self.folder, self.trained), self.trained, self.stage, rows)
            if self.record is not None:
                self.record(self.trained - 1, self.losses)
            classic_h5.save(self.model, self.pattern.format(epoch=self.trained))
        except (OSError, classic_h5.WeightsError) as error:
            kind = OSError if isinstance(error, OSError) else classic_h5.WeightsError
            raise kind(f"epoch {self.trained} is not saved: {error}. {saved_epochs(self.pattern, self.trained - 1)}") from error
        self.saved = self.trained
        if self.on_saved is not None:
            self.on_saved(self.trained)
        self._remove_old()

    def _remove_old(self) -> None:
        """Remove the checkpoints and the training states that are not kept. Those of later epochs, of before the run was
        resumed from an earlier one, do not count."""
        checkpoints = run_checkpoints(self.folder)
        written = [epoch for epoch in checkpoints if epoch <= self.trained]
        for epoch in written[: -self.kept] if self.kept else []:
            checkpoints[epoch].unlink(missing_ok=True)
        for epoch in range(self.trained - STATES_KEPT, 0, -1):
            if not state_path(self.folder, epoch).exists():
                break
            state_path(self.folder, epoch).unlink()


def saved_epochs(pattern: str, epoch: int) -> str:
    """Say which checkpoint of a run is the last one that was saved, in a sentence.

    Args:
        pattern: path of a checkpoint with {epoch:04d}.
        epoch: number of epochs that were saved.
    """
    path = Path(pattern.format(epoch=epoch))
    return f"The checkpoint of epoch {epoch} is intact: {path}." if epoch and path.exists() else "No epoch has been saved yet."


def training_stage(model: keras.Model) -> dict[str, Any]:
    """Return the optimizer and the trainable layers as JSON values. They must be equal for a training state to be restored.

    Call it as soon as the model is compiled. Callbacks such as keras.callbacks.ReduceLROnPlateau change the learning rate
    during a stage, but the stage is identified by the rate passed to `train`.

    Args:
        model: compiled.
    """
    optimizer = json.loads(json.dumps(keras.optimizers.serialize(model.optimizer), default=str))
    stage = {"optimizer": _comparable(optimizer), "trained": [[v.path, list(v.shape)] for v in model.trainable_variables]}
    average = average_of(model)
    return stage if average is None else {**stage, "average": average.momentum}


def save_state(model: keras.Model, path: Path | str, epoch: int, stage: dict[str, Any], rows: Rows = ()) -> None:
    """Write the training state atomically.

    Args:
        model: compiled, with a built optimizer.
        path: the file.
        epoch: number of trained epochs.
        stage: see `training_stage`.
        rows: of the history, up to this epoch.
    """
    values = [classic_h5.to_hdf5(variable) for variable in _state(model)]
    size = sum(value.nbytes for value in values)
    with atomic_open(path, "w+b", durable=True, size=size) as raw, h5py.File(raw, "w") as file:
        file.attrs["epoch"] = epoch
        file.attrs["stage"] = json.dumps(stage)
        for number, value in enumerate(values):
            file[str(number)] = value
        # bytes in a data set: an attribute holds 64 KiB at most
        file[_ROWS] = np.frombuffer(json.dumps([dict(row) for row in rows], default=float).encode(), np.uint8)
        seal(file)


def stage_begin(path: Path | str, epoch: int) -> int:
    """Return the epoch after which the stage of a training state began, if it has one and belongs to `epoch`; else `epoch`.

    A learning rate that follows a schedule over the whole stage must resume in the middle of it.
    """
    if not Path(path).is_file():
        return epoch
    try:
        with open_hdf5(path) as file:
            begun = json.loads(file.attrs["stage"]).get("begun", epoch) if int(file.attrs["epoch"]) == epoch else epoch
    except (OSError, Hdf5Error, KeyError, TypeError, ValueError, AttributeError):  # `restore_state` reports a damaged file
        return epoch
    return begun if isinstance(begun, int) and 0 <= begun <= epoch else epoch


def saved_rows(path: Path | str, epoch: int) -> list[dict[str, float]]:
    """Return the rows of the history in a training state, if it belongs to `epoch` and has any; else an empty list.

    The newest row has no figures of validation, which follows the checkpoint.

    Args:
        path: a file that `save_state` wrote. It need not exist, and one without rows was written by an earlier version.
        epoch: number of trained epochs.
    """
    if not Path(path).is_file():
        return []
    try:
        with open_hdf5(path) as file:
            stored = file[_ROWS]
            if int(file.attrs["epoch"]) != epoch or stored.nbytes > Path(path).stat().st_size or digest_fault(file) is not None:
                return []
            rows = [{name: float(number) for name, number in row.items()} for row in json.loads(bytes(stored[()]))]
            return [row for row in rows if 1 <= row["epoch"] <= epoch and row["epoch"].is_integer()]
    except (OSError, Hdf5Error, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return []  # `restore_state` reports a damaged file


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
            fault = digest_fault(file)
            if fault is None:
                if int(file.attrs["epoch"]) != epoch or _comparable(json.loads(file.attrs["stage"])) != stage:
                    return False
                fault = _misfit(file, state)
            values = [] if fault else [file[str(number)][()] for number in range(len(state))]
    except (OSError, Hdf5Error) as error:
        fault = str(error).removeprefix(f"{path}: ")
    if fault:
        raise ValueError(f"{path}: not a complete training state ({fault}). Remove the file: training then continues from the "
                         "checkpoint alone, with a fresh optimizer")
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return True


def why_not_restored(path: Path, epoch: int, stage: dict[str, Any]) -> str:
    """Return in words why `restore_state` has not restored a training state.

    Args:
        path, epoch, stage: as given to it.
    """
    if not path.is_file():
        return f"there is no {path.name}"
    with open_hdf5(path) as file:
        if int(file.attrs["epoch"]) != epoch:
            return f"{path.name} is of epoch {int(file.attrs['epoch'])}"
        stored = _comparable(json.loads(file.attrs["stage"]))
    changed = [words for part, words in _STAGE.items() if stored.get(part) != stage.get(part)]
    # A longer run with a schedule of the same length differs in nothing but the epoch in which its stage began.
    return f"{' and '.join(changed) or 'the number of epochs'} changed"


def _misfit(file: h5py.File, variables: list[Any]) -> str | None:
    """Return the first variable whose stored value has another shape or is not a number, in words; None if all fit."""
    for number, variable in enumerate(variables):
        value = file[str(number)]
        if value.shape != tuple(variable.shape) or value.dtype.kind not in "biuf":
            return f"{variable.path} is {variable.dtype} {tuple(variable.shape)}, but the file has {value.dtype} {value.shape}"
    return None


def _state(model: keras.Model) -> list[Any]:
    """Return the variables that are not weights: those of the optimizer, the states of the random generators, and what the
    average of the weights keeps, which is the weights in training while the model holds the average."""
    average = average_of(model)
    return [*model.optimizer.variables, *_random_states(model), *(average.state if average is not None else ())]


def _refuse_nan_in_training(model: keras.Model) -> None:
    """Refuse to save weights in training that are NaN or infinite while the average, without the last step, is not."""
    average = average_of(model)
    for variable, value in zip(average.variables, average.values, strict=True) if average is not None else ():
        if not np.isfinite(keras.ops.convert_to_numpy(value)).all():
            raise classic_h5.WeightsError(f"the weights {variable.path} became NaN or infinite in the last step")


def _random_states(model: keras.Model) -> list[Any]:
    """Return the states of the random generators."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def _comparable(values: Any) -> Any:
    """Remove the details in which equal optimizers differ: the module of the class, which depends on the backend, and the
    names, which Keras numbers within a process."""
    if not isinstance(values, dict):
        return values
    return {key: _comparable(value) for key, value in values.items() if key not in ("module", "registered_name", "name")}
