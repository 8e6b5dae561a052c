"""The Keras layers of the detector, each with a single task."""
