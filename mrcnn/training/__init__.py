"""MaskRCNN and the training loop: checkpoints, resuming, callbacks, run folders. Only this package reads Config."""
