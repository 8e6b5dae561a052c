"""Batches of images and class maps for semantic segmentation, from a data set in any format."""
