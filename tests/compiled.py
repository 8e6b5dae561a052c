"""One program for a whole function on JAX, which would else compile each of its operations by itself."""
import keras


def compiled(function):
    """Return a function of tensors that JAX compiles as one, and that runs as it is elsewhere."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
