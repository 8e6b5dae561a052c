"""The optimizer of a configuration, and gradient descent with momentum that needs less memory on TensorFlow."""

import numbers
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import keras

from mrcnn.config import Config

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="mrcnn")
class SGD(keras.optimizers.SGD):
    """Keras' SGD, with TensorFlow's operator that updates a weight and its momentum in place.

    Keras multiplies the momentum variables by `momentum`. Because this depends on no gradient, TensorFlow computes all of
    these products at the start of a step and holds them until its end, which needs as much memory as the weights (250 MiB for
    a ResNet-101).
    """

    # By the reference of the tf.Variable. Read-only: TensorFlow would track a plain dict, and cannot save one with such keys.
    _momentum_of: Mapping[Any, Any] = MappingProxyType({})

    def build(self, variables: list[Any]) -> None:
        """Create a momentum variable for each of the variables."""
        super().build(variables)
        if keras.backend.backend() == "tensorflow" and self.momentum:
            pairs = zip(variables, self.momentums, strict=True)
            self._momentum_of = MappingProxyType({variable.value.ref(): momentum for variable, momentum in pairs})

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its momentum.

        Args:
            gradient: tensor of the variable's shape.
            variable: on TensorFlow a tf.Variable.
            learning_rate: float32 scalar.
        """
        momentum = self._momentum_of.get(variable.ref()) if self._momentum_of else None
        # The operator has no bfloat16 kernel on a GPU. tf.distribute passes copies of the variables, which have no entry.
        if momentum is None or variable.dtype == "bfloat16":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle, accum=momentum.value.handle, lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype), momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov)  # fmt: skip


def make_optimizer(config: Config, learning_rate: LearningRate, momentum: float) -> keras.optimizers.Optimizer:
    """Return the optimizer that a configuration specifies.

    Args:
        config: OPTIMIZER and GRADIENT_CLIP_NORM are read.
        learning_rate: a number or a Keras schedule.
        momentum: for "sgd".

    Raises:
        ValueError: OPTIMIZER is a name that Keras does not know.

    Source: the classic code's Keras 2.0 clips the norm of the whole gradient, hence `global_clipnorm`.
    """
    if isinstance(learning_rate, numbers.Real):
        learning_rate = float(learning_rate)  # Keras refuses integers and np.float32, here and as momentum
    choice = config.OPTIMIZER
    if callable(choice):
        return choice(learning_rate, config)
    clip = config.GRADIENT_CLIP_NORM or None
    if choice == "sgd":
        # JAX does not need this SGD, and on PyTorch, Keras' SGD updates all weights at once.
        kind = SGD if keras.backend.backend() == "tensorflow" else keras.optimizers.SGD
        return kind(learning_rate, momentum=float(momentum), global_clipnorm=clip)
    try:
        plain = keras.optimizers.get(choice)
    except ValueError as error:
        raise ValueError(f'OPTIMIZER is {choice!r}: give "sgd", the name of a Keras optimizer such as "adamw", or a '
                         "callable (learning_rate, config) -> optimizer.") from error
    return type(plain)(learning_rate=learning_rate, global_clipnorm=clip)


def scheduled_rate(config: Config, learning_rate: LearningRate, steps: int) -> LearningRate:
    """Return the learning rate over a number of steps, by LEARNING_RATE_SCHEDULE.

    Args:
        config: LEARNING_RATE_SCHEDULE and LEARNING_RATE_WARMUP are read.
        learning_rate: the peak of the schedule; a Keras schedule is returned as it is.
        steps: number of steps, at least 1.

    Source: I. Loshchilov and F. Hutter, SGDR, 2017 (cosine); P. Goyal et al., Accurate, Large Minibatch SGD, 2017 (warm-up).
    """
    if config.LEARNING_RATE_SCHEDULE == "constant" or not isinstance(learning_rate, numbers.Real):
        return learning_rate
    peak, warmup = float(learning_rate), min(config.LEARNING_RATE_WARMUP, steps // 10)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(peak, steps, alpha=0.01)
    return keras.optimizers.schedules.CosineDecay(peak / 20, steps - warmup, alpha=0.01, warmup_target=peak,
                                                  warmup_steps=warmup)  # fmt: skip
