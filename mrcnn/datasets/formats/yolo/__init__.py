"""YOLO segmentation labels: a text file per image, a line per instance.

dataset  opens a data set, and holds it
files    finds the images, the label files and the class names, and reads a label file
"""

from mrcnn.datasets.formats.yolo.dataset import YoloDataset, open_subset, recognise, subsets

__all__ = ["YoloDataset", "open_subset", "recognise", "subsets"]
