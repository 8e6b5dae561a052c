"""Ring 0 training targets of the region proposal network and of the detection heads, in NumPy."""
