"""Classic facade: the names that projects import from `mrcnn.visualize`. The code is in `mrcnn.viz`.

`from mrcnn.visualize import *` also gives the modules that the classic module had imported: scripts use `plt` from there.
"""

import colorsys
import itertools
import os
import random
import sys
from typing import Any

import numpy as np
from matplotlib import lines, patches
from matplotlib import pyplot as plt
from matplotlib.patches import Polygon

from mrcnn import utils
from mrcnn.viz.colors import random_colors
from mrcnn.viz.draw import apply_mask, draw_box, draw_detections
from mrcnn.viz.evaluation import plot_overlaps, plot_precision_recall
from mrcnn.viz.figure import display_table
from mrcnn.viz.instances import display_differences, display_images, display_instances, display_top_masks, draw_boxes
from mrcnn.viz.layers import display_weight_stats
from mrcnn.viz.training_stages import draw_rois

ROOT_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))



def find_contours(*args: Any, **kwargs: Any) -> list[np.ndarray]:
    """Call `skimage.measure.find_contours`, which the classic module imported; scikit-image need not be installed otherwise."""
    from skimage.measure import find_contours

    return find_contours(*args, **kwargs)


__all__ = [
    "ROOT_DIR",
    "Polygon",
    "apply_mask",
    "colorsys",
    "display_differences",
    "display_images",
    "display_instances",
    "display_table",
    "display_top_masks",
    "display_weight_stats",
    "draw_box",
    "draw_boxes",
    "draw_detections",
    "draw_rois",
    "find_contours",
    "itertools",
    "lines",
    "np",
    "os",
    "patches",
    "plot_overlaps",
    "plot_precision_recall",
    "plt",
    "random",
    "random_colors",
    "sys",
    "utils",
]
