"""labelme: images with a JSON file of shapes next to each.

dataset  opens a folder, and holds its data set
file     reads and checks one JSON file
shapes   turns its shapes into masks
"""

from mrcnn.datasets.formats.labelme.dataset import LabelmeDataset, open_subset, recognise, subsets

__all__ = ["LabelmeDataset", "open_subset", "recognise", "subsets"]
