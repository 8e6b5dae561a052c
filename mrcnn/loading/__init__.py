"""From a data set to training batches: samples, augmentation, targets, the loader and the classic generator."""
