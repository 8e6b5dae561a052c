"""Fake Keras layers."""
import types


class Layer:
    """A layer with a name and named weights."""

    def __init__(self, name, **weights):
        self.name, self.values = name, list(weights.values())
        self.weights = [types.SimpleNamespace(name=key) for key in weights]

    def get_weights(self):
        return self.values


def model_of(*layers):
    """Return a fake model with these layers."""
    return types.SimpleNamespace(get_trainable_layers=lambda: list(layers))
