"""Boxes, masks, polygons, RLE, anchors, resizing and image meta, in NumPy and OpenCV. `boxes` defines the coordinates."""
