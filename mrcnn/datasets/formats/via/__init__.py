"""The VGG Image Annotator, versions 1 to 3: a file of regions for the images of a folder.

dataset  opens a folder or file, and holds its data set
file     reads the files of all versions
regions  turns regions into outlines and classes
"""

from mrcnn.datasets.formats.via.dataset import ViaDataset, open_subset, recognise, subsets

__all__ = ["ViaDataset", "open_subset", "recognise", "subsets"]
