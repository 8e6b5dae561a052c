"""Training targets of the region proposal network and of the heads, in NumPy."""
