"""COCO+LVIS for interactive segmentation: objects, their parts, and stuff.

dataset  opens a subset, and holds its data set
files    reads the hierarchy of a subset and the masks of an image
"""

from mrcnn.datasets.formats.cocolvis.dataset import CocoLvisDataset, open_subset, recognise, subsets

__all__ = ["CocoLvisDataset", "open_subset", "recognise", "subsets"]
