"""The mask head, which predicts a mask of each ROI for each class.

Shape letters: B images, R rois, K classes, P side of the ROI features, C channels, M = 2 P side of a mask.
"""

import keras
from keras import KerasTensor, ops
from keras.initializers import RandomNormal

from mrcnn.network.layers.convolutions import DisjointConv2DTranspose, RoiConv2D
from mrcnn.network.layers.norms import CLASSIC_NORM, Norm


class MaskHead:
    """Four convolutions, one upsampling, and one mask per class.

    The layers are created once; each call applies them to different ROI features.

    Args:
        num_classes: K, including background.
        norm: of the four convolutions.
        channels: channels of the hidden convolutions.

    Source: Mask R-CNN (He et al. 2017), figure 4, right.
    """

    def __init__(self, num_classes: int, norm: Norm = CLASSIC_NORM, channels: int = 256) -> None:
        self.norm = norm
        self.hidden = [
            (keras.layers.Conv2D(channels, (3, 3), padding="same", use_bias=norm.use_bias, name=f"mrcnn_mask_conv{n}"),
             norm.layer(f"mrcnn_mask_bn{n}"))
            for n in (1, 2, 3, 4)]  # fmt: skip
        self.relu = keras.layers.Activation("relu")
        self.upsample = DisjointConv2DTranspose(channels, (2, 2), activation="relu", name="mrcnn_mask_deconv")
        # Always float32, because the loss takes the logarithm of these probabilities. Initially they are close to 0.5.
        self.probs = RoiConv2D(num_classes, (1, 1), activation="sigmoid", kernel_initializer=RandomNormal(stddev=0.01),
                               dtype="float32", name="mrcnn_mask")  # fmt: skip

    def __call__(self, roi_features: KerasTensor, class_ids: KerasTensor | None = None) -> KerasTensor:
        """Apply the head.

        Args:
            roi_features: [B, R, P, P, C]. R must be static unless `class_ids` is given.
            class_ids: int32 [B, R], the class whose mask to compute for each ROI; None computes those of all classes.

        Returns:
            Probability of each pixel: float32 [B, R, M, M] for the given classes, [B, R, M, M, K] for all.
        """
        x = ops.reshape(roi_features, (-1, *roi_features.shape[2:]))  # [B * R, P, P, C]
        for convolution, layer in self.hidden:
            x = self.relu(self.norm(x, convolution, layer))
        x = self.upsample(x)  # [B * R, M, M, channels]
        if class_ids is not None:
            return self.probs(x, class_ids)
        return self.probs(ops.reshape(x, (-1, roi_features.shape[1], *x.shape[1:])))
