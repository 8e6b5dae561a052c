"""How good the detections are: matching and AP of one image, COCO evaluation of a whole set."""
