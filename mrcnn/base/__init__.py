"""Utilities for all packages: errors, text, progress, processes, atomic writes, memory. They import no other package."""
