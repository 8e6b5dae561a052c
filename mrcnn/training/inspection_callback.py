"""Pictures of the training pipeline in TensorBoard, while the network learns."""

import io
import os
import time

import keras
from matplotlib import pyplot as plt

from mrcnn.training.settings import inspection_settings
from mrcnn.viz.training_stages import inspect_sample

FOLDER = "inspection"
_DOTS_AN_INCH = 80


class InspectSamples(keras.callbacks.Callback):
    """Draw samples from image to prediction every few epochs, into TensorBoard.

        model.train(..., custom_callbacks=[InspectSamples(model, dataset_val, image_ids=[0, 7], every=5)])

    The pictures go to the folder "inspection" of the run; `tensorboard --logdir` of the run shows them beside the curves.
    TensorBoard's own writer is used, so that this works on every backend.

    Args:
        model: MaskRCNN that trains.
        dataset: Dataset, prepared. Most telling are images that are not trained on.
        image_ids: list of ints. Positions in the data set.
        every: int. Epochs from one drawing to the next.

    Raises:
        ValueError: `every` is below 1, or an image is not in the data set.
        ImportError: when training begins, where TensorBoard is not installed.
    """

    def __init__(self, model, dataset, image_ids=(0,), every=1):
        super().__init__()
        if every < 1:
            raise ValueError(f"every is {every}: it counts epochs, from 1 on")
        lost = [image_id for image_id in image_ids if not 0 <= image_id < len(dataset.image_ids)]
        if lost:
            raise ValueError(f"image_ids: {lost[0]} is not in the data set, whose images are 0 to {len(dataset.image_ids) - 1}")
        # keras.callbacks.Callback has a `model` of its own, the keras.Model
        self.detector, self.dataset, self.image_ids, self.every = model, dataset, list(image_ids), every
        self.settings = inspection_settings(model.config)
        self.writer = None

    def on_train_begin(self, logs=None):
        """Open the file of events."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.writer = EventFileWriter(os.path.join(self.detector.log_dir, FOLDER))

    def on_epoch_end(self, epoch, logs=None):
        """Draw the samples when it is time."""
        if (epoch + 1) % self.every:
            return
        for image_id in self.image_ids:
            figure, _ = inspect_sample(self.dataset, image_id, self.settings, self.detector.detect)
            self._write(f"sample {image_id}", figure, epoch + 1)
            plt.close(figure)
        self.writer.flush()

    def on_train_end(self, logs=None):
        """Close the file of events."""
        self.writer.close()

    def _write(self, tag, figure, step):
        """Write a figure as a PNG under a tag and the number of the epoch."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=_DOTS_AN_INCH)
        width, height = (int(side * _DOTS_AN_INCH) for side in figure.get_size_inches())
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png.getvalue())
        value = Summary.Value(tag=tag, image=image)
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
