"""Mask R-CNN on Keras 3: train, evaluate and detect on TensorFlow, JAX or PyTorch, under the classic API.

Importing the package loads nothing heavy: `mrcnn.config`, `mrcnn.model`, `mrcnn.utils` and `mrcnn.visualize` are
imported by name, by those who use them.
"""

__version__ = "0.1.0"
