"""Keras layers of the detector, one job each."""
