"""Panoptic annotations: what COCO stores, maps of them, and the TFRecord shards that hold both with the images."""
