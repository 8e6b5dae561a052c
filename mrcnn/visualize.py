"""Classic facade: the names that projects import from `mrcnn.visualize`. The code is in `mrcnn.viz`."""

import os

from mrcnn.viz.colors import random_colors
from mrcnn.viz.draw import apply_mask, draw_box, draw_detections
from mrcnn.viz.evaluation import plot_overlaps, plot_precision_recall
from mrcnn.viz.figure import display_table
from mrcnn.viz.instances import display_differences, display_images, display_instances, display_top_masks, draw_boxes
from mrcnn.viz.layers import display_weight_stats
from mrcnn.viz.training_stages import draw_rois

ROOT_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

__all__ = [
    "ROOT_DIR",
    "apply_mask",
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
    "plot_overlaps",
    "plot_precision_recall",
    "random_colors",
]
