"""A Keras model whose weight files may be classic ones."""

import os

import keras

from mrcnn.weights import classic_h5

KERAS_SUFFIX = ".weights.h5"


class ClassicModel(keras.Model):
    """A functional model that reads and writes the classic layout where a path does not ask for Keras's own.

    Classic notebooks end with `model.keras_model.save_weights("mask_rcnn_shapes.h5")`.
    """

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Write the weights: in Keras's layout to a path that ends with .weights.h5, in the classic one otherwise.

        Args:
            filepath: str or Path.
            overwrite: bool. False refuses a path that is taken.
            **kwargs: of keras.Model.save_weights, for Keras's layout.

        Raises:
            FileExistsError: the path is taken and `overwrite` is False.
        """
        if str(filepath).endswith(KERAS_SUFFIX):
            super().save_weights(filepath, overwrite=overwrite, **kwargs)
            return
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{filepath} is there already: give another path, or overwrite=True.")
        classic_h5.save(self, filepath)

    def load_weights(self, filepath, by_name=False, exclude=None, **kwargs):
        """Read weights in the layout that `save_weights` would write to this path.

        Args:
            filepath: str or Path.
            by_name, exclude: see `weights.classic_h5.load`, for the classic layout.
            **kwargs: of keras.Model.load_weights, for Keras's layout.

        Returns:
            LoadReport of the classic layout; None of Keras's.
        """
        if str(filepath).endswith(KERAS_SUFFIX):
            return super().load_weights(filepath, **kwargs)
        return classic_h5.load(self, filepath, by_name=by_name or bool(exclude), exclude=exclude)
