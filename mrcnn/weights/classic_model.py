"""Keras models whose weight files have the classic layout."""

import os
from collections.abc import Sequence
from typing import Any

from mrcnn.base.text import shorten_names
from mrcnn.weights import classic_h5
from mrcnn.weights.classic_h5 import KERAS_SUFFIX, LoadReport


class ClassicFiles:
    """A mixin for keras.Model: weight files have the classic layout unless their name ends with Keras' own suffix.

    Classic notebooks end with `model.keras_model.save_weights("mask_rcnn_shapes.h5")`.

    Attributes:
        unloaded_layers: Names of the layers that no loaded file gave weights; None before a file is loaded.
    """

    unloaded_layers: tuple[str, ...] | None = None

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """Write the weights, in Keras' layout if the path ends with .weights.h5, in the classic layout otherwise.

        Args:
            filepath: the file.
            overwrite: whether an existing file is replaced.
            **kwargs: for keras.Model.save_weights, for Keras' layout.

        Raises:
            FileExistsError: the file exists and `overwrite` is False.
        """
        if str(filepath).endswith(KERAS_SUFFIX):
            super().save_weights(filepath, overwrite=overwrite, **kwargs)  # type: ignore[misc]
            return
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{filepath} already exists: give another path, or overwrite=True.")
        classic_h5.save(self, filepath)

    def load_weights(self, filepath: str | os.PathLike[str], by_name: bool = False,
                     exclude: Sequence[str] | None = None, **kwargs: Any) -> LoadReport | None:
        """Read weights in the layout that `save_weights` writes to this path.

        Layers that the file lacks, and `exclude` does not name, are printed in one line. They keep their values.

        Args:
            filepath: the file.
            by_name: see `weights.classic_h5.load`. `exclude` implies it.
            exclude: see `weights.classic_h5.load`.
            **kwargs: for keras.Model.load_weights, for Keras' layout.

        Returns:
            LoadReport for the classic layout; None for Keras', which is complete.
        """
        if str(filepath).endswith(KERAS_SUFFIX):
            super().load_weights(filepath, **kwargs)  # type: ignore[misc]
            self.unloaded_layers = ()
            return None
        report = classic_h5.load(self, filepath, by_name=by_name or bool(exclude), exclude=exclude)
        self.unloaded_layers = tuple(report.unloaded_layers(self.unloaded_layers))
        if report.missing:
            print(f"{filepath}: no weights for {shorten_names(report.missing_layers)}; they keep their values.")
        return report
