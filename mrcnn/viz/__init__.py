"""Visualisation of images, instances and the stages of the network, with NumPy and matplotlib."""
