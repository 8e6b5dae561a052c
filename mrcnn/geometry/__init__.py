"""Boxes, masks, polygons, RLE, anchors, resizing and image meta, with NumPy and OpenCV. `boxes` defines the coordinates."""
