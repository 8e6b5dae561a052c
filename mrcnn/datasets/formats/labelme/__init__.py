"""labelme: images with a JSON file of shapes beside each.

`file` reads and checks one JSON file, `shapes` turns its shapes into masks, `dataset` makes a Dataset of a folder.
"""

from mrcnn.datasets.formats.labelme.dataset import LabelmeDataset, open_subset, recognise, subsets

__all__ = ["LabelmeDataset", "open_subset", "recognise", "subsets"]
