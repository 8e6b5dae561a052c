"""Pictures of the training pipeline in TensorBoard during training."""

import io
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mrcnn.datasets.dataset import Dataset
from mrcnn.training.settings import inspection_settings
from mrcnn.viz.training_stages import inspect_sample

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

FOLDER = "inspection"
_DOTS_PER_INCH = 80


class InspectSamples(keras.callbacks.Callback):
    """Write pictures of samples, from image to prediction, to TensorBoard every few epochs.

        model.train(..., custom_callbacks=[InspectSamples(model, dataset_val, image_ids=[0, 7], every=5)])

    The pictures are written to the folder "inspection" of the run folder; `tensorboard --logdir` of the run folder shows them
    next to the curves. TensorBoard's writer is used directly, so that this works on every backend.

    Args:
        model: the training model.
        dataset: prepared. Images that are not in the training set are the most informative.
        image_ids: indices in the data set.
        every: number of epochs from one picture to the next.

    Raises:
        ValueError: `every` is below 1, or an image is not in the data set.
        ImportError: TensorBoard is not installed. Raised when training begins.
    """

    def __init__(self, model: "MaskRCNN", dataset: Dataset, image_ids: Sequence[int] = (0,), every: int = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every is {every}: it must be a number of epochs, at least 1")
        unknown = [image_id for image_id in image_ids if not 0 <= image_id < len(dataset.image_ids)]
        if unknown:
            raise ValueError(f"image_ids: {unknown[0]} is not in the data set, whose images are 0 to "
                             f"{len(dataset.image_ids) - 1}")
        # `model` of a keras.callbacks.Callback is the keras.Model
        self.detector, self.dataset, self.image_ids, self.every = model, dataset, list(image_ids), every
        self.settings = inspection_settings(model.config)
        self.writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the event file."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        assert self.detector.log_dir is not None
        self.writer = EventFileWriter(os.path.join(self.detector.log_dir, FOLDER))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw the samples if this epoch is due."""
        if (epoch + 1) % self.every:
            return
        for image_id in self.image_ids:
            figure, _ = inspect_sample(self.dataset, image_id, self.settings, self.detector.detect)
            self._write(f"sample {image_id}", figure, epoch + 1)
            plt.close(figure)
        self.writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the event file."""
        self.writer.close()

    def _write(self, tag: str, figure: Figure, epoch: int) -> None:
        """Write a figure as a PNG under a tag, with the epoch as its step."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=_DOTS_PER_INCH)
        width, height = (int(side * _DOTS_PER_INCH) for side in figure.get_size_inches())
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png.getvalue())
        value = Summary.Value(tag=tag, image=image)
        self.writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=[value])))
