"""Tensor mathematics on fixed shapes (ring 1: keras.ops with explicit keyword arguments)."""
