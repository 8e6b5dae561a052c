"""Layers as a model of Keras gives them, without Keras."""
import types


class Layer:
    """A name, weights with names, and their values."""

    def __init__(self, name, **weights):
        self.name, self.values = name, list(weights.values())
        self.weights = [types.SimpleNamespace(name=key) for key in weights]

    def get_weights(self):
        return self.values


def model_of(*layers):
    """Return what stands for a model of these layers."""
    return types.SimpleNamespace(get_trainable_layers=lambda: list(layers))
