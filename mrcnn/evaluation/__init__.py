"""How good detections are: COCO's and LVIS's metrics of a data set, metrics and matches of one image, kinds of mistakes."""
