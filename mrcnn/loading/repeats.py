"""Repeat-factor sampling: images of rare classes are used several times in a pass over the data.

Source: A. Gupta et al., LVIS: A Dataset for Large Vocabulary Instance Segmentation, 2019, appendix B.

Shape letters: I images.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.splits import classes_on


def repeat_factors(dataset: Dataset, image_ids: Iterable[int], threshold: float) -> Float64[np.ndarray, " I"]:
    """Return how often each image is used in a pass: max(1, sqrt(threshold / f)) for the rarest of its classes.

    Args:
        dataset: prepared. The classes of every image are read; without num_instances and load_instances, its masks too.
        image_ids: indices in the data set.
        threshold: fraction of the images below which a class is rare. A class in a fraction f of the images is rare if
            f < threshold.

    Returns:
        At least 1 each. Images without objects have 1.
    """
    classes = [classes_on(dataset, image_id) for image_id in image_ids]
    images = Counter(class_id for on_image in classes for class_id in on_image)
    factor = {class_id: max(1.0, (threshold * len(classes) / count) ** 0.5) for class_id, count in images.items()}
    return np.array([max((factor[class_id] for class_id in on_image), default=1.0) for on_image in classes])


def repeat_images(
    image_ids: Int64[np.ndarray, " I"], factors: Float64[np.ndarray, " I"], count: int, rng: np.random.Generator
) -> Int64[np.ndarray, " count"]:
    """Return the images of a pass, shuffled, each about as often as its factor.

    Args:
        image_ids: indices in the data set.
        factors: see `repeat_factors`.
        count: number of samples in the pass. Each factor is scaled by count / sum, and rounded up or down at random, so that
            its mean over many passes is exact.
        rng: determines the pass.

    Differs: the paper rounds the factor of each image alone, and its passes differ in length. Here the fractions are rounded
    together (systematic sampling), so that all passes have the same number of steps.
    """
    shuffled = rng.permutation(len(image_ids))
    ends = np.cumsum(factors[shuffled])
    picked = np.searchsorted(ends, (rng.random() + np.arange(count)) * (ends[-1] / count), side="right")
    return rng.permutation(image_ids[shuffled[np.minimum(picked, len(ends) - 1)]])
