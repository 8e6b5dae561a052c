"""Data sets: reading, writing, converting and checking them, and the samples and batches made of them.

Begin with `open(path)`, which finds out the format and gives a `Dataset`; `catalog` lists the formats. For data of your
own in no known format, subclass `dataset.Dataset`.

    formats/      the readers, a module a format          sample, loader    one training sample; order and batches
    writers/      COCO JSON, YOLO and labelme             splits            train, val and test; folds
    converters/   whole data sets, in processes           checks/           the doctor, `mrcnn check`
    panoptic/     COCO's panoptic annotations, shards     semantic/         batches of images and class maps
    tfrecord/     TFRecord files without TensorFlow       pickles/          reading pickles without running them

Nothing here imports Keras or a backend: workers, converters and notebooks start quickly.
"""

from mrcnn.datasets.catalog import open_dataset as open

__all__ = ["open"]
