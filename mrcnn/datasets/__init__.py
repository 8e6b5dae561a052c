"""Opening data sets in any format, dividing them, and the base class for your own.

`open(path)` detects the format and returns a prepared `Dataset`. For data in any other format, subclass `dataset.Dataset`.

    dataset            the base class: classes, images, instances
    annotated_dataset  the base of the readers: instances as COCO annotations
    annotation_checks  which annotations can be used, and why others cannot
    catalog            the formats by name, and `open`
    formats/           the readers, one module per format; its docstring says how to add one
    panoptic/          COCO's panoptic annotations, and TFRecord shards made from them
    splits             train, val and test subsets; folds; a selection of images as a data set
    coco_names, class_names, folders
                       COCO's categories; class names from the user; subsets and files in folders

Nothing here imports Keras or a backend, so that loader processes, converters and notebooks start quickly.
"""

from mrcnn.datasets.catalog import open_dataset as open

__all__ = ["open"]
