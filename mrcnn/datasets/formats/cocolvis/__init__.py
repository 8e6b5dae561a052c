"""COCO+LVIS for interactive segmentation: objects, their parts, and stuff.

`files` reads the annotations and layers of a part, `dataset` makes a Dataset of them.
"""

from mrcnn.datasets.formats.cocolvis.dataset import CocoLvisDataset, open_subset, recognise, subsets

__all__ = ["CocoLvisDataset", "open_subset", "recognise", "subsets"]
