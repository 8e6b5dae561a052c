"""COCO's panoptic annotations, and the TFRecord shards made from them.

annotations  the JSON of segments and the PNGs that draw them; the panoptic map of an image
shards       TFRecord files of images and panoptic maps: their names, their manifest, their records
pipeline     the shards as a `tf.data` pipeline
"""
