"""The optimizer of a configuration.

Gradient descent with momentum in less memory.
"""

import keras


@keras.saving.register_keras_serializable(package="mrcnn")
class SGD(keras.optimizers.SGD):
    """Keras' SGD, in which TensorFlow updates a weight and its momentum by one operator, in place.

    Keras writes out the product of the momentum variable and the factor `momentum`, which waits for no gradient: TensorFlow
    makes that of every weight when a step begins and keeps it to the end, as much memory as the weights once more.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its momentum.

        Args:
            gradient: tensor, of the variable's shape.
            variable: the variable; on TensorFlow a tf.Variable.
            learning_rate: float32 scalar.
        """
        # the operator has no kernel for bfloat16 on a graphics card
        if keras.backend.backend() != "tensorflow" or not self.momentum or variable.dtype == "bfloat16":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        momentum = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle, accum=momentum.value.handle, lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype), momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov)  # fmt: skip


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
