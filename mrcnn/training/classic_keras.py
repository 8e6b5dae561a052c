"""Methods of `keras_model` that projects written for Keras 2 call, and that Keras 3 no longer has.

Shape letters: B images, A anchors, T sampled anchors, G ground-truth rows (padded), h w masks.
"""

from collections.abc import Sequence
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from jaxtyping import Float, Float32, Int32, Integer

from mrcnn.base.pixels import raw_pixels
from mrcnn.geometry.rle import encode_mask
from mrcnn.inference.predictor import INSTANCE_KEYS

# the position of `rpn_match` in a classic batch: its last axis of 1 distinguishes the batch from one of the training model
_RPN_MATCH = 2
_CLASSIC_INPUTS = 7


class ClassicPredict:
    """A mixin for keras.Model: what servers call before they detect in threads."""

    def _make_predict_function(self) -> None:
        """Do nothing: Keras 2 needed this call before other threads could predict."""


class ClassicBatches(keras.utils.PyDataset):
    """Batches of the classic data generator by index, which `fit` of a training model takes."""


class ClassicFit(ClassicPredict):
    """A mixin for the training model: `fit` also takes batches of the classic data generator, and there is `fit_generator`."""

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does; `x` and `validation_data` may also yield classic batches, (inputs, [])."""
        if "validation_data" in kwargs:
            kwargs["validation_data"] = self._training_data(kwargs["validation_data"])
        return super().fit(self._training_data(x), *args, **kwargs)  # type: ignore[misc]

    def fit_generator(self, generator: Any, steps_per_epoch: int | None = None, epochs: int = 1, verbose: int | str = 1,
                      callbacks: Sequence[keras.callbacks.Callback] | None = None, validation_data: Any = None,
                      validation_steps: int | None = None, **kwargs: Any) -> keras.callbacks.History:
        """Train as Keras 2's `fit_generator` did. How it loaded the batches (`workers` and so on) has no effect."""
        for name in ("max_queue_size", "workers", "use_multiprocessing", "max_q_size", "pickle_safe"):
            kwargs.pop(name, None)
        return self.fit(generator, steps_per_epoch=steps_per_epoch, epochs=epochs, verbose=verbose, callbacks=callbacks,
                        validation_data=validation_data, validation_steps=validation_steps, **kwargs)

    def _training_data(self, data: Any) -> Any:
        mean_pixel, num_inputs = self.get_layer("image_settings").values["mean_pixel"], len(self.inputs)  # type: ignore[attr-defined]
        if isinstance(data, GeneratorType):
            return (training_batch(batch, mean_pixel, num_inputs) for batch in data)
        return _Converted(data, mean_pixel, num_inputs) if isinstance(data, ClassicBatches) else data


class _Converted(keras.utils.PyDataset):
    """Classic batches in the form of the training model."""

    def __init__(self, data: ClassicBatches, mean_pixel: Any, num_inputs: int) -> None:
        super().__init__(workers=data.workers, use_multiprocessing=data.use_multiprocessing,
                         max_queue_size=data.max_queue_size)  # fmt: skip
        self.data, self.mean_pixel, self.num_inputs = data, mean_pixel, num_inputs

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> Any:
        return training_batch(self.data[position], self.mean_pixel, self.num_inputs)

    def on_epoch_end(self) -> None:
        self.data.on_epoch_end()


def training_batch(batch: Any, mean_pixel: Any, num_inputs: int) -> Any:
    """Convert a classic batch into a batch of the training model.

    Args:
        batch: (inputs, outputs) of `mrcnn.model.data_generator`, without outputs. Anything else is returned as it is.
        mean_pixel: the mean that was subtracted from its images.
        num_inputs: number of inputs of the training model; more than eight take the ROIs of the batch.

    Returns:
        (inputs,), with the inputs that `Network.training_model` lists.

    Raises:
        ValueError: the model needs ROIs, and the batch has none.
    """
    if not _is_classic(batch):
        return batch
    images, image_meta, rpn_match, rpn_bbox, class_ids, boxes, masks, *rois = batch[0]
    inputs = [
        raw_pixels(np.asarray(images), mean_pixel), np.asarray(image_meta, np.float32),
        *_rpn_targets(np.asarray(rpn_match)[..., 0], np.asarray(rpn_bbox)), class_ids, boxes,
        np.ascontiguousarray(np.moveaxis(np.asarray(masks, bool), -1, 1)),
    ]  # fmt: skip
    if num_inputs > len(inputs):
        if not rois:
            raise ValueError("with USE_RPN_ROIS = False the model trains on given ROIs: give data_generator random_rois too")
        inputs.append(rois[0])
    return (tuple(inputs),)


def _is_classic(batch: Any) -> bool:
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[0], tuple | list):
        return False
    inputs = batch[0]
    return len(inputs) >= _CLASSIC_INPUTS and np.ndim(inputs[_RPN_MATCH]) == 3 and np.shape(inputs[_RPN_MATCH])[2] == 1


def _rpn_targets(
    match: Integer[np.ndarray, "B A"], bbox: Float[np.ndarray, "B T 4"]
) -> tuple[Int32[np.ndarray, "B T"], Int32[np.ndarray, "B T"], Float32[np.ndarray, "B T 4"]]:
    """Return positions and labels of the sampled anchors: positive ones first, as the rows of the deltas are."""
    positions, labels = (np.zeros(bbox.shape[:2], np.int32) for _ in range(2))
    for row, of_image in enumerate(match):
        for label in (1, -1):
            found = np.flatnonzero(of_image == label)[: bbox.shape[1] - np.count_nonzero(labels[row])]
            first = np.count_nonzero(labels[row])
            positions[row, first : first + len(found)], labels[row, first : first + len(found)] = found, label
    return positions, labels, bbox.astype(np.float32)


def detect_with_keras_model(model: Any, images: Sequence[Any], masks: str = "dense") -> list[dict[str, Any]]:
    """Detect as the classic code did: `keras_model` runs, and `unmold_detections` maps its output onto each image.

    Args:
        model: MaskRCNN in inference mode, whose `keras_model` has the inputs and outputs of the classic inference model.
        images: [H, W, channels] arrays, run one by one.
        masks: see `MaskRCNN.detect`.

    Returns:
        See `MaskRCNN.detect`; the values are those that `unmold_detections` returns.
    """
    results = []
    for image in map(np.asarray, images):
        molded, metas, windows = model.mold_inputs([image])
        anchors = model.get_anchors(molded.shape[1:])[None]
        inputs = [molded, np.asarray(metas, np.float32), anchors]
        detections, _, _, small_masks, *_ = model.keras_model.predict(inputs, verbose=0)
        found = model.unmold_detections(detections[0], small_masks[0], image.shape, molded.shape[1:], windows[0])
        results.append(dict(zip(INSTANCE_KEYS, found, strict=False)))
        if masks == "rle":
            dense = np.asarray(results[-1]["masks"], bool)
            results[-1]["masks"] = [encode_mask(dense[:, :, i]) for i in range(dense.shape[2])]
    return results
