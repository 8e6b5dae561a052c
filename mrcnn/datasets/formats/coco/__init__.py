"""COCO's instance annotations: a JSON file for all images.

dataset  opens a subset or a file, and holds its data set
layout   finds the files of a folder and their images, as the programs that export this format lay them out
"""

from mrcnn.datasets.formats.coco.dataset import (
    CocoDataset,
    check_size,
    index_entries,
    open_subset,
    read_annotations,
    recognise,
    subsets,
)
from mrcnn.datasets.formats.coco.layout import LISTS, has_lvis_fields, no_instances

__all__ = [
    "LISTS",
    "CocoDataset",
    "check_size",
    "has_lvis_fields",
    "index_entries",
    "no_instances",
    "open_subset",
    "read_annotations",
    "recognise",
    "subsets",
]
