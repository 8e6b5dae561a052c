"""The moving average of the weights: what a run with EMA_MOMENTUM validates, saves and detects with.

Keras' optimizers have `use_ema`, which is not used: its momentum is fixed, so that after a hundred steps at 0.999 the average
is still close to the initial weights; it leaves out batch-norm statistics; and it reaches the model only after the last epoch.

Source: B. Polyak and A. Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992; the ramp of the momentum is that
of TensorFlow's ExponentialMovingAverage (`num_updates`).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from mrcnn.training.trainable import leaf_layers

Logs = dict[str, Any] | None


class WeightAverage:
    """The moving average of some variables of a model, updated at each step by `AveragedModel`.

    It is updated before the optimizer changes the weights, so it leaves out the last step.

    Args:
        variables: floating-point variables. The average starts at their values.
        momentum: share that the average keeps in a step, above 0 and below 1; less in the first steps, see `ramp`.
        every: number of steps whose gradients are accumulated. The average moves only in one of them.

    Attributes:
        values: the average of each of the variables; or, while `in_use`, the weights with which training continues.
        steps: number of training steps.
        in_use: whether the variables hold the average.
    """

    def __init__(self, variables: Sequence[keras.Variable], momentum: float, every: int = 1) -> None:
        self.variables = list(variables)
        self.momentum = momentum
        self.every = every
        self.values = [keras.Variable(ops.convert_to_numpy(v), dtype=v.dtype, trainable=False, name=f"average_{number}")
                       for number, v in enumerate(variables)]  # fmt: skip
        self.steps = keras.Variable(0, dtype="int", trainable=False, name="average_steps")
        self.in_use = True

    @property
    def state(self) -> list[keras.Variable]:
        """The variables of the average: the number of steps, then the values."""
        return [self.steps, *self.values]

    def update(self) -> None:
        """Move the average towards the variables, as a part of a training step."""
        kept = ops.where(self.steps % self.every == 0, ramp(self.momentum, self.steps // self.every), 1.0)
        for variable, average in zip(self.variables, self.values, strict=True):
            share = ops.cast(kept, average.dtype)
            average.assign(share * average + (1.0 - share) * ops.stop_gradient(ops.convert_to_tensor(variable)))
        self.steps.assign_add(1)

    def use(self, average: bool) -> None:
        """Exchange the values with those of the variables, so that these hold the average, or the weights in training."""
        if average == self.in_use:
            return
        for variable, value in zip(self.variables, self.values, strict=True):
            before = np.array(ops.convert_to_numpy(variable))
            variable.assign(ops.convert_to_numpy(value))
            value.assign(before)
        self.in_use = average


def ramp(momentum: float, step: Any) -> KerasTensor:
    """Return the momentum of a step, counted from 0: (1 + step) / (10 + step), and no more than `momentum`."""
    step = ops.cast(step, "float32")
    return ops.minimum(momentum, (1.0 + step) / (10.0 + step))


def average_of(model: keras.Model) -> WeightAverage | None:
    """Return the average of the weights of a model, None if there is none."""
    return getattr(model, "average", None)


def start_average(model: keras.Model, momentum: float, every: int = 1) -> WeightAverage:
    """Return a new average of the weights that training may change: those of trainable layers, batch-norm statistics too."""
    return WeightAverage([v for layer in leaf_layers(model) if layer.trainable for v in layer.weights], momentum, every)


class AveragedModel:
    """A mixin for a training model: `average`, if it is set, is updated in every training step.

    Attributes:
        average: None averages nothing.
    """

    average: WeightAverage | None = None

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """Variables that a step changes without a gradient, which Keras passes through a step on JAX."""
        variables: list[keras.Variable] = super().non_trainable_variables  # type: ignore[misc]
        return [*variables, *(self.average.state if self.average is not None else ())]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> KerasTensor:
        """Return the loss of the model, and update the average."""
        if training and self.average is not None:
            self.average.update()
        return super().compute_loss(x, y, y_pred, sample_weight, training)  # type: ignore[misc]


class UseAverage(keras.callbacks.Callback):
    """Replace the weights by their average between epochs: for validation and for the other callbacks.

    It must run before callbacks that save or evaluate. After training, the weights remain the average.
    """

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Restore the weights with which training continues."""
        self.model.average.use(False)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Use the average for the validation at the end of the epoch."""
        self.model.average.use(True)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Use the average, if there was no validation."""
        self.model.average.use(True)
