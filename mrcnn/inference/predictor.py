"""Detection in any number of images of any size with one model.

Shape letters: B images of a batch, H W C network input, A anchors, D detections, M side of a mask.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float32, Float64, Int, Num, Shaped

from mrcnn.base.process_pool import available_cores
from mrcnn.geometry.boxes import norm_boxes
from mrcnn.geometry.resize import SIDE_MULTIPLE
from mrcnn.inference.mold import MoldSettings, batches_of_one_size, fit_inputs
from mrcnn.inference.unmold import Instances, paste_detections
from mrcnn.io.images import to_channels

Item = TypeVar("Item")
Result = TypeVar("Result")

# Models run one at a time. Threads that run models with the same weights at once make TensorFlow and JAX fail, and would not be
# faster.
RUN_LOCK = threading.RLock()
# Number of batches of network input prepared in advance while the network runs.
AHEAD = 1
# Numbers of input shapes whose anchors are kept (12 MB for 1024 x 1024 pixels), and for which the model is compiled.
MAX_ANCHORS, MAX_COMPILED = 4, 64
# The keys of a result of `detect`, in the order of `paste_detections`.
INSTANCE_KEYS = ("rois", "class_ids", "scores", "masks")


class Predictor:
    """Fits images to the network, runs it, and pastes the detections.

    Args:
        model: keras.Model of `Network.detection_model`; `run` also takes that of `Network.inference_model`.
        batch_size: maximum number of images run at once. Smaller batches are padded to a power of two, so that a single
            image costs no more than one and the model compiles for few sizes.
        pixel_anchors: function (height, width, channels) -> anchors in pixels.

    Attributes:
        last_anchors: pixel anchors of the last images that were run, or None.
    """

    def __init__(self, model: Any, batch_size: int, mold_settings: MoldSettings,
                 pixel_anchors: Callable[[tuple[int, ...]], Num[np.ndarray, "A 4"]]) -> None:
        self.model = model
        self.batch_size = batch_size
        self.mold_settings = mold_settings
        self.pixel_anchors = pixel_anchors
        self.last_anchors: Num[np.ndarray, "A 4"] | None = None
        self._anchors_for = lru_cache(MAX_ANCHORS)(self._make_anchors)
        self._compiled: set[tuple[int, ...]] = set()  # shapes of the images for which the model may be compiled

    def anchors(self, image_shape: Sequence[int] | Int[np.ndarray, " _"]) -> Float32[np.ndarray, "A 4"]:
        """Return the normalised anchors for network input of this shape; those of the last shapes are kept."""
        self.last_anchors, normalised = self._anchors_for(tuple(int(v) for v in image_shape))
        return normalised

    def _make_anchors(self, shape: tuple[int, ...]) -> tuple[Num[np.ndarray, "A 4"], Float32[np.ndarray, "A 4"]]:
        pixels = self.pixel_anchors(shape)
        return pixels, norm_boxes(pixels, shape[:2], self.mold_settings.continuous)

    def run(self, images: Shaped[np.ndarray, "B H W C"], metas: Num[np.ndarray, "B meta"],
            min_confidence: float = 0.0) -> list[Float[np.ndarray, "B ..."]]:
        """Run the network on any number of images of one size.

        Args:
            images: raw for the detection model, with the mean subtracted for the classic one.
            min_confidence: minimum score of a detection, for the detection model.

        Returns:
            The outputs of the model.

        Raises:
            ValueError: a side is not a multiple of 64.
        """
        _check_sides(images.shape[1:3])
        anchors = self.anchors(images.shape[1:])
        parts = []
        for start in range(0, len(images), self.batch_size):
            count = min(self.batch_size, len(images) - start)
            size = min(1 << (count - 1).bit_length(), self.batch_size)  # the power of two that holds them
            rows = start + np.minimum(np.arange(size), count - 1)  # the last image is repeated
            others = {"input_anchors": np.broadcast_to(anchors, (size, *anchors.shape)),
                      "input_min_confidence": np.full((size, 1), min_confidence, np.float32)}
            inputs = [images[rows], np.asarray(metas, np.float32)[rows]]
            inputs += [others[tensor.name] for tensor in self.model.inputs[2:]]
            with RUN_LOCK:
                self._limit_compiled(inputs[0].shape)
                outputs = self.model.predict_on_batch(inputs)
            parts.append([np.asarray(output)[:count] for output in outputs])
        return [np.concatenate(output) for output in zip(*parts)]

    def _limit_compiled(self, shape: tuple[int, ...]) -> None:
        """Discard what was compiled for earlier shapes if there are too many of them."""
        self._compiled.add(shape)
        if len(self._compiled) > MAX_COMPILED:
            self.model.make_predict_function(force=True)
            self._compiled = {shape}

    def check(self, image: npt.ArrayLike) -> None:
        """Check that `detect` can process an image, without running the network.

        Raises:
            ValueError: the image cannot be processed.
        """
        settings = self.mold_settings
        _check_sides(settings.plan(to_channels(image, len(settings.mean_pixel))).size)

    def detect(self, images: Sequence[npt.ArrayLike], masks: str = "dense",
               min_confidence: float = 0.0) -> list[dict[str, Any]]:
        """Detect instances batch by batch, with only a few batches of network input in memory at a time.

        Args:
            images: [h, w] or [h, w, channels] arrays of any size.
            masks: "dense" or "rle".
            min_confidence: minimum score of a detection.

        Returns:
            For each image: rois int32 [N, 4] pixels (y1, x1, y2, x2); class_ids int32 [N]; scores float32 [N];
            masks bool [h, w, N], or N COCO RLE dicts.

        Raises:
            ValueError: an image is invalid. The message gives its index.
        """
        batches = batches_of_one_size(images, self.mold_settings, self.batch_size)
        pasted: dict[int, Future[Instances]] = {}
        # While the network runs, threads prepare the next batches and paste the masks of earlier ones, releasing the GIL.
        with ThreadPoolExecutor(available_cores()) as pool:
            fitted = _computed_ahead(pool, partial(self._fit, images), batches)
            for positions, (batch, metas, windows) in zip(batches, fitted):
                detections, small_masks = self.run(batch, metas, min_confidence)
                for row, position in enumerate(positions):
                    pasted[position] = pool.submit(
                        paste_detections, detections[row], small_masks[row], np.shape(images[position]), batch.shape[1:],
                        windows[row], self.mold_settings.continuous, masks, self.mold_settings.paste)
            return [dict(zip(INSTANCE_KEYS, pasted[position].result())) for position in range(len(images))]

    def _fit(self, images: Sequence[npt.ArrayLike], positions: list[int]) -> tuple[
            Shaped[np.ndarray, "B H W C"], Float64[np.ndarray, "B meta"], Int[np.ndarray, "B 4"]]:
        """Convert the images of a batch to network input, and stack them."""
        fitted, metas, windows = fit_inputs(images, self.mold_settings, positions, padded=True)
        return np.stack(fitted), metas, windows


def _check_sides(size: Sequence[int]) -> None:
    height, width = size
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
        raise ValueError(f"an image of {height} x {width} pixels (height x width) does not fit the pyramid, whose "
                         f"sides must be multiples of {SIDE_MULTIPLE}: set IMAGE_RESIZE_MODE=square or pad64, or "
                         "pad it before")


def _computed_ahead(pool: Executor, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield function(item) for each item, in order. While the caller uses one result, threads compute the next AHEAD ones."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
