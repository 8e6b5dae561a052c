"""Evaluation of detections: COCO and LVIS metrics of a data set, metrics and matches of one image, and kinds of mistakes."""
