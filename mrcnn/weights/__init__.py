"""Weight files: the classic layer-grouped HDF5 layout, and weights trained by others."""
