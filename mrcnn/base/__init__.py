"""Tools for every package: errors, text, progress, processes, atomic writes, memory. They depend on no other package."""
