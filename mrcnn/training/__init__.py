"""MaskRCNN and the training loop: checkpoints, resuming, callbacks, run folders. This package reads Config for the others."""
