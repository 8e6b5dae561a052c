"""Detection of any number of images of any sizes with one model.

Shapes: B images of a batch, H W C molded image, A anchors, D detections.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mrcnn.base.process_pool import available_cores
from mrcnn.geometry.boxes import norm_boxes
from mrcnn.geometry.resize import SIDE_MULTIPLE
from mrcnn.inference.mold import fit_inputs
from mrcnn.inference.unmold import paste_detections


class Predictor:
    """Fits images to the network, runs it, and pastes what it finds.

    Args:
        model: keras.Model as `Network.detection_model` returns it; for `run` alone also of `Network.inference_model`.
        batch_size: int. Most images run at a time. Fewer are filled up to a power of two: one image alone costs no more
            than one, and the model compiles for few sizes.
        mold_settings: dict. Keyword arguments of `inference.mold.fit_input`.
        pixel_anchors: callable (height, width, channels) -> [A, 4] anchors in pixels.

    Attributes:
        last_anchors: float [A, 4] or None. Pixel anchors of the images that were run last.
    """

    def __init__(self, model, batch_size, mold_settings, pixel_anchors):
        self.model = model
        self.batch_size = batch_size
        self.mold_settings = mold_settings
        self.pixel_anchors = pixel_anchors
        self.last_anchors = None
        self._anchors = {}

    def anchors(self, image_shape):
        """Return the normalised anchors of a molded image, kept by its shape: float32 [A, 4]."""
        shape = tuple(int(v) for v in image_shape)
        if shape not in self._anchors:
            pixels = self.pixel_anchors(shape)
            self._anchors[shape] = pixels, norm_boxes(pixels, shape[:2])
        self.last_anchors, normalised = self._anchors[shape]
        return normalised

    def run(self, molded, metas, min_confidence=0.0):
        """Run the network on images of one size.

        Args:
            molded: [B, H, W, C], B up to any number. Raw for the detection model, mean subtracted for the classic one.
            metas: [B, 12 + K].
            min_confidence: least score of a detection, for the detection model.

        Returns:
            list of the model's outputs as arrays.

        Raises:
            ValueError: a side that is no multiple of 64.
        """
        height, width = molded.shape[1:3]
        if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
            raise ValueError(f"an image of {height} x {width} pixels (height x width) does not fit the pyramid, whose "
                             f"sides must be multiples of {SIDE_MULTIPLE}: use IMAGE_RESIZE_MODE square or pad64, or "
                             "pad it before")
        anchors = self.anchors(molded.shape[1:])
        parts = []
        for start in range(0, len(molded), self.batch_size):
            images, meta = molded[start:start + self.batch_size], metas[start:start + self.batch_size]
            count = len(images)
            size = min(1 << (count - 1).bit_length(), self.batch_size)  # the power of two that holds them
            rows = np.minimum(np.arange(size), count - 1)  # the last image again where there are fewer
            others = {"input_anchors": np.broadcast_to(anchors, (size, *anchors.shape)),
                      "input_min_confidence": np.full((size, 1), min_confidence, np.float32)}
            inputs = [images[rows], np.asarray(meta, np.float32)[rows]]
            outputs = self.model.predict_on_batch(inputs + [others[tensor.name] for tensor in self.model.inputs[2:]])
            parts.append([np.asarray(output)[:count] for output in outputs])
        return [np.concatenate(output) for output in zip(*parts)]

    def detect(self, images, masks="dense", min_confidence=0.0):
        """Detect instances.

        Args:
            images: list of [h, w] or [h, w, channels] arrays, of any sizes.
            masks: "dense" or "rle".
            min_confidence: least score of a detection.

        Returns:
            list of dicts: rois int32 [N, 4] pixels (y1, x1, y2, x2); class_ids int32 [N]; scores float32 [N];
            masks bool [h, w, N], or N COCO RLE dicts.

        Raises:
            ValueError: an image that is none, by its position in the list.
        """
        fitted, metas, windows = fit_inputs(images, **self.mold_settings)
        names = ("rois", "class_ids", "scores", "masks")
        # Threads paste the masks of a batch's images, outside of the interpreter's lock, while the network sees the next batch.
        with ThreadPoolExecutor(available_cores()) as pool:
            pasted = {row: pool.submit(paste_detections, found, small_masks, np.shape(images[row]), fitted[row].shape,
                                       windows[row], masks=masks)
                      for row, found, small_masks in self._found(fitted, metas, min_confidence)}
            return [dict(zip(names, pasted[row].result())) for row in range(len(images))]

    def _found(self, fitted, metas, min_confidence):
        """Run the network on fitted images. Yields: (position, detections [D, 6], masks [D, M, M]) of each."""
        for rows in _alike(fitted, self.batch_size):
            batch = np.stack([fitted[i] for i in rows])
            yield from zip(rows, *self.run(batch, metas[rows], min_confidence))


def _alike(images, most):
    """Yield the positions of images of one shape and dtype, kind by kind, up to `most` at a time."""
    kinds = [(image.shape, image.dtype.str) for image in images]
    for kind in sorted(set(kinds)):
        rows = [i for i, k in enumerate(kinds) if k == kind]
        for start in range(0, len(rows), most):
            yield rows[start:start + most]
