"""The optimizer of a configuration."""

import keras

from mrcnn.engine.sgd import SGD


def make_optimizer(config, learning_rate, momentum):
    """Return the optimizer that a configuration asks for.

    Args:
        config: Config. OPTIMIZER and GRADIENT_CLIP_NORM are read.
        learning_rate: float, or keras.optimizers.schedules.LearningRateSchedule.
        momentum: float. For "sgd".

    Returns:
        keras.optimizers.Optimizer.

    Raises:
        ValueError: a name that Keras does not know.

    Source: the classic code's Keras 2.0 clips the norm of the whole gradient, hence `global_clipnorm`.
    """
    choice = config.OPTIMIZER
    if callable(choice):
        return choice(learning_rate, config)
    clip = config.GRADIENT_CLIP_NORM or None
    if choice == "sgd":
        # JAX needs no other, and PyTorch would lose what Keras has for it: all weights updated at once.
        kind = SGD if keras.backend.backend() == "tensorflow" else keras.optimizers.SGD
        return kind(learning_rate, momentum=momentum, global_clipnorm=clip)
    try:
        plain = keras.optimizers.get(choice)
    except ValueError as error:
        raise ValueError(f'OPTIMIZER is {choice!r}: give "sgd", the name of a Keras optimizer such as "adamw", or a '
                         "callable (learning_rate, config) -> optimizer.") from error
    return type(plain)(learning_rate=learning_rate, global_clipnorm=clip)
