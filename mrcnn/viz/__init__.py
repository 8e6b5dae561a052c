"""Pictures of images, instances and the stages of the network, in NumPy and matplotlib."""
