"""The optimizer of a configuration with its weight decay, and the learning rate over the steps of a run, for `fitting.py`.

On TensorFlow, gradient descent with momentum needs less memory than Keras's.
"""

import numbers
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import keras
from keras import KerasTensor, ops

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


@keras.saving.register_keras_serializable(package="mrcnn")
class L2SGD(SGD):
    """SGD whose gradients include the L2 penalty: decay * weight is added to each gradient after clipping.

    Args:
        decay: applies to the variables for which `is_decayed` is True.

    Source: torch.optim.SGD (`weight_decay`), which torchvision and detectron2 train with.
    """

    def __init__(self, *args: Any, decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.decay = decay
        self._decayed: frozenset[Any] = frozenset()

    def build(self, variables: list[Any]) -> None:
        """Create a momentum variable for each of the variables, and note which of them decay."""
        super().build(variables)
        on_tensorflow = keras.backend.backend() == "tensorflow"  # it passes a tf.Variable to `update_step`
        self._decayed = frozenset(v.value.ref() if on_tensorflow else id(v) for v in variables if is_decayed(v))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its momentum; see `SGD`."""
        key = variable.ref() if keras.backend.backend() == "tensorflow" else id(variable)
        if key in self._decayed:
            gradient = gradient + ops.cast(self.decay, gradient.dtype) * ops.cast(variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "decay": self.decay}


def is_decayed(variable: keras.Variable) -> bool:
    """Return whether weight decay applies to a variable: to kernels, but not to biases and the scales of normalisation."""
    return len(variable.shape) > 1


def exclude_from_decay(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> None:
    """Exclude the variables for which `is_decayed` is False from an optimizer's decoupled weight decay.

    Args:
        optimizer: not built yet.
        variables: those that it will train.
    """
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_decayed(v)])


def make_optimizer(config: Config, learning_rate: LearningRate, momentum: float) -> keras.optimizers.Optimizer:
    """Return the optimizer that a configuration specifies.

    Args:
        config: OPTIMIZER, GRADIENT_CLIP_NORM, GRADIENT_ACCUMULATION, WEIGHT_DECAY and WEIGHT_DECAY_KIND are read.
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
    options: dict[str, Any] = {"global_clipnorm": config.GRADIENT_CLIP_NORM or None}
    if config.GRADIENT_ACCUMULATION > 1:
        options["gradient_accumulation_steps"] = config.GRADIENT_ACCUMULATION
    if config.WEIGHT_DECAY_KIND == "l2":
        return L2SGD(learning_rate, momentum=float(momentum), decay=float(config.WEIGHT_DECAY), **options)
    if config.WEIGHT_DECAY_KIND == "decoupled":
        options["weight_decay"] = float(config.WEIGHT_DECAY)
    if choice == "sgd":
        # JAX does not need this SGD, and on PyTorch, Keras' SGD updates all weights at once.
        kind = SGD if keras.backend.backend() == "tensorflow" else keras.optimizers.SGD
        return kind(learning_rate, momentum=float(momentum), **options)
    try:
        plain = keras.optimizers.get(choice)
    except ValueError as error:
        raise ValueError(f'OPTIMIZER is {choice!r}: give "sgd", the name of a Keras optimizer such as "adamw", or a '
                         "callable (learning_rate, config) -> optimizer.") from error
    return type(plain)(learning_rate=learning_rate, **options)


def batch_scaled_rate(config: Config, learning_rate: LearningRate) -> LearningRate:
    """Return a learning rate that was chosen for LEARNING_RATE_BATCH images in proportion to the images of an update.

    Args:
        config: LEARNING_RATE_BATCH, BATCH_SIZE and GRADIENT_ACCUMULATION are read.
        learning_rate: a number; a Keras schedule is returned as it is.

    Source: P. Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.1 (the linear scaling rule).
    """
    if config.LEARNING_RATE_BATCH is None or not isinstance(learning_rate, numbers.Real):
        return learning_rate
    return float(learning_rate) * config.BATCH_SIZE * config.GRADIENT_ACCUMULATION / config.LEARNING_RATE_BATCH


def scheduled_rate(config: Config, learning_rate: LearningRate, steps: int, epochs: int = 1) -> LearningRate:
    """Return the learning rate over a number of steps, by LEARNING_RATE_SCHEDULE.

    Args:
        config: LEARNING_RATE_SCHEDULE, LEARNING_RATE_STEPS, LEARNING_RATE_WARMUP and LEARNING_RATE_WARMUP_FACTOR are read.
        learning_rate: the peak of the schedule; a Keras schedule is returned as it is.
        steps: number of steps, at least 1.
        epochs: number of epochs that these steps make.

    Source: I. Loshchilov and F. Hutter, SGDR, 2017 (cosine); P. Goyal et al., Accurate, Large Minibatch SGD, 2017 (warm-up).
    """
    if config.LEARNING_RATE_SCHEDULE == "constant" or not isinstance(learning_rate, numbers.Real):
        return learning_rate
    peak, factor = float(learning_rate), config.LEARNING_RATE_WARMUP_FACTOR
    warmup = min(config.LEARNING_RATE_WARMUP, steps // 10)
    if config.LEARNING_RATE_SCHEDULE == "step":
        boundaries = [round(at * (steps if at < 1 else steps / epochs)) for at in config.LEARNING_RATE_STEPS]
        return StepDecay(peak, boundaries, warmup, factor)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(peak, steps, alpha=0.01)
    return keras.optimizers.schedules.CosineDecay(peak * factor, steps - warmup, alpha=0.01, warmup_target=peak,
                                                  warmup_steps=warmup)  # fmt: skip


@keras.saving.register_keras_serializable(package="mrcnn")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a constant rate, divided by ten at some steps.

    Args:
        peak: the rate between the warm-up and the first boundary.
        boundaries: steps, counted from 0, from which on the rate is a tenth of that before.
        warmup_steps: number of steps of the warm-up, 0 for none. Boundaries count from its beginning.
        warmup_factor: the rate of the first step is this times the rate without a warm-up.

    Source: R. Girshick et al., Detectron, 2018 (`steps_with_decay`, linear warm-up); detectron2's WarmupMultiStepLR.
    """

    def __init__(self, peak: float, boundaries: Sequence[int], warmup_steps: int = 0, warmup_factor: float = 1.0,
                 name: str = "step") -> None:  # fmt: skip
        super().__init__()
        self.peak, self.boundaries = peak, sorted(boundaries)
        self.warmup_steps, self.warmup_factor, self.name = warmup_steps, warmup_factor, name

    def __call__(self, step: Any) -> KerasTensor:
        step = ops.cast(step, "float32")
        rate = ops.convert_to_tensor(self.peak, "float32")
        for boundary in self.boundaries:
            rate = ops.where(step >= boundary, rate * 0.1, rate)
        if not self.warmup_steps:
            return rate
        return rate * (self.warmup_factor + (1.0 - self.warmup_factor) * ops.minimum(step / self.warmup_steps, 1.0))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "boundaries": self.boundaries, "warmup_steps": self.warmup_steps,
                "warmup_factor": self.warmup_factor, "name": self.name}  # fmt: skip
