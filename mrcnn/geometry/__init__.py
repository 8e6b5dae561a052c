"""Ring 0 geometry: boxes, masks, polygons, anchors, resizing and image meta, in NumPy alone."""
