"""The mask head: the outline of what a ROI holds, for each class.

Shapes: B images, R rois, K classes, P side of the ROI features, M = 2 P side of a mask.
"""

import keras
from keras import ops
from keras.initializers import RandomNormal

from mrcnn.network.layers.batch_norm import BatchNorm
from mrcnn.network.layers.convolutions import DisjointConv2DTranspose, RoiConv2D


class MaskHead:
    """Four convolutions, an upsampling and one mask a class.

    The layers are made once; each call wires them to other ROI features with the same weights.

    Args:
        num_classes: int. K, background included.
        train_bn: None, False or True. See Config.TRAIN_BN.
        channels: int. Of the hidden convolutions.

    Source: Mask R-CNN (He et al. 2017), figure 4, right.
    """

    def __init__(self, num_classes, train_bn=True, channels=256):
        self.train_bn = train_bn
        self.hidden = [
            (keras.layers.Conv2D(channels, (3, 3), padding="same", name=f"mrcnn_mask_conv{n}"),
             BatchNorm(name=f"mrcnn_mask_bn{n}"))
            for n in (1, 2, 3, 4)]
        self.relu = keras.layers.Activation("relu")
        self.upsample = DisjointConv2DTranspose(channels, (2, 2), activation="relu", name="mrcnn_mask_deconv")
        # float32 whatever the precision of the rest: the loss takes logarithms of these probabilities. They begin near 0.5.
        self.probs = RoiConv2D(num_classes, (1, 1), activation="sigmoid", kernel_initializer=RandomNormal(stddev=0.01),
                               dtype="float32", name="mrcnn_mask")  # fmt: skip

    def __call__(self, roi_features):
        """Wire the head.

        Args:
            roi_features: [B, R, P, P, C]. R must be known.

        Returns:
            float32 [B, R, M, M, K]. Probability of each pixel for each class.
        """
        x = self._hidden_features(roi_features)
        return self.probs(ops.reshape(x, (-1, roi_features.shape[1], *x.shape[1:])))

    def of_class(self, roi_features, class_ids):
        """Wire the head for one class of each ROI.

        Args:
            roi_features: [B, R, P, P, C].
            class_ids: int32 [B, R].

        Returns:
            float32 [B, R, M, M]. Probability of each pixel for the ROI's class.
        """
        return self.probs(self._hidden_features(roi_features), class_ids)

    def _hidden_features(self, roi_features):
        """Wire all but the last layer: [B * R, M, M, channels]."""
        x = ops.reshape(roi_features, (-1, *roi_features.shape[2:]))  # [B * R, P, P, C]
        for convolution, norm in self.hidden:
            x = self.relu(norm(convolution(x), training=self.train_bn))
        return self.upsample(x)
