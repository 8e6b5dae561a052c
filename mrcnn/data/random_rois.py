"""Batches with random regions, to train the heads before or without the region proposal network.

Shapes: B images, R random regions.
"""

import numpy as np

from mrcnn.targets.detection import generate_random_rois

# The regions have a random stream of their own, apart from the loader's streams 0 and 1.
_ROI_STREAM = 2


class WithRandomRois:
    """The batches of a loader, each with random regions of its images as the last array: a function of the step.

    Args:
        loader: Loader.
        num_rois: int. R.
    """

    def __init__(self, loader, num_rois):
        self.loader, self.num_rois = loader, num_rois

    def __call__(self, step):
        """Make the batch of a step. Returns: the loader's arrays, and int32 [B, R, 4] pixel boxes."""
        batch = self.loader[step]
        images, class_ids, boxes = batch[0], batch[4], batch[5]
        rng = np.random.default_rng([self.loader.seed, _ROI_STREAM, step])
        rois = [
            generate_random_rois(images.shape[1:], self.num_rois, *truth, rng)
            for truth in zip(class_ids, boxes, strict=True)
        ]
        return (*batch, np.stack(rois))
