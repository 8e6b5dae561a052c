"""Readers of data set formats, each a `mrcnn.datasets.dataset.Dataset`."""
