"""Tensor arithmetic on fixed shapes, written with keras.ops."""
