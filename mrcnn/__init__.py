"""Mask R-CNN on Keras 3: train, evaluate and detect on TensorFlow, JAX or PyTorch, with the classic API.

Importing the package loads nothing heavy; import `mrcnn.config`, `mrcnn.model`, `mrcnn.utils` or `mrcnn.visualize`.
"""

__version__ = "0.1.0"
