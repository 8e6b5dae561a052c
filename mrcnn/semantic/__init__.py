"""Batches of images and class maps for semantic segmentation, out of a data set of any format."""
