"""Readers of data set formats, each a `mrcnn.data.dataset.Dataset`."""
