"""Weight files: the classic HDF5 layout, and published weights."""
