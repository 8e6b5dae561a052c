"""ROI features, sampled from the pyramid level that matches the size of each ROI.

Shape letters: B images, R rois, C channels.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from mrcnn.network.ops.boxes import image_size
from mrcnn.network.ops.roi_align import averaged_roi_align, pyramid_roi_align

# An ROI whose side is this many pixels is sampled from P4; halving (doubling) the side moves down (up) one level.
CANONICAL_SIZE = 224.0
CANONICAL_LEVEL = 4
FIRST_LEVEL = 2


@keras.saving.register_keras_serializable(package="mrcnn")
class PyramidROIAlign(keras.layers.Layer):
    """Sample each ROI from the level among P2 to P5 that matches its size.

    Args:
        pool_shape: (height, width) of the ROI features.

    `call([boxes, image_meta, P2, P3, P4, P5])`:
        boxes: float [B, R, 4]. Normalised; all-zero rows are padding.
        image_meta: [B, 12 + K]. Only the image size is used.
        P2..P5: float [B, h, w, C].
        Returns [B, R, pool height, pool width, C], with the dtype of the feature maps.

    Source: Feature Pyramid Networks (Lin et al. 2017), equation 1, for the level of an ROI.
    """

    def __init__(self, pool_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # boxes stay float32 when the features have lower precision
        height, width = pool_shape
        self.pool_shape = int(height), int(width)

    def call(self, inputs):
        boxes, image_meta, *feature_maps = inputs
        boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
        feature_maps = [ops.convert_to_tensor(m) for m in feature_maps]
        levels = self._levels(boxes, image_size(ops.convert_to_tensor(image_meta)), len(feature_maps))
        return self._align(feature_maps, boxes, levels)

    def _align(self, feature_maps: Sequence[KerasTensor], boxes: KerasTensor, levels: KerasTensor) -> KerasTensor:
        return pyramid_roi_align(feature_maps, boxes, levels, self.pool_shape)

    def _levels(self, boxes: KerasTensor, size: KerasTensor, num_levels: int) -> KerasTensor:
        """Return the level of each ROI, 0 for P2: int32 [B, R]."""
        side = ops.sqrt(ops.maximum((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]), 1e-12))
        image_side = ops.sqrt(size[:, 0] * size[:, 1])[:, None]
        octaves = ops.log(side * image_side / CANONICAL_SIZE) / math.log(2.0)
        levels = CANONICAL_LEVEL + ops.cast(self._whole(octaves), "int32") - FIRST_LEVEL
        return ops.clip(levels, 0, num_levels - 1)

    @staticmethod
    def _whole(octaves: KerasTensor) -> KerasTensor:
        """Round distances from the canonical level to whole levels."""
        return ops.round(octaves)

    def compute_output_spec(self, inputs):
        boxes, feature_map = inputs[0], inputs[2]
        return keras.KerasTensor((*boxes.shape[:2], *self.pool_shape, feature_map.shape[-1]), dtype=feature_map.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:2], *self.pool_shape, input_shape[2][-1])

    def get_config(self):
        return {**super().get_config(), "pool_shape": list(self.pool_shape)}


@keras.saving.register_keras_serializable(package="mrcnn")
class AveragedPyramidROIAlign(PyramidROIAlign):
    """The ROI align of torchvision and detectron2: boxes in continuous coordinates, and several samples per bin.

    An ROI is sampled from P4 if its side is from 224 to below 448 pixels, as in the paper; `PyramidROIAlign` rounds.

    Args:
        pool_shape: (height, width) of the ROI features.
        samples: samples per bin and axis; 0 for as many as the size of the box needs.
        half_pixel: see `averaged_roi_align`.

    `call`: see `PyramidROIAlign`.
    """

    def __init__(self, pool_shape: Sequence[int], samples: int = 2, half_pixel: bool = True, **kwargs: Any) -> None:
        super().__init__(pool_shape, **kwargs)
        self.samples = int(samples)
        self.half_pixel = bool(half_pixel)

    def _align(self, feature_maps: Sequence[KerasTensor], boxes: KerasTensor, levels: KerasTensor) -> KerasTensor:
        return averaged_roi_align(feature_maps, boxes, levels, self.pool_shape, self.samples, self.half_pixel)

    @staticmethod
    def _whole(octaves: KerasTensor) -> KerasTensor:
        return ops.floor(octaves + 1e-6)  # torchvision's tolerance

    def get_config(self):
        return {**super().get_config(), "samples": self.samples, "half_pixel": self.half_pixel}
