"""The box head, which classifies each ROI and refines its box.

Shape letters: B images, R rois, K classes, P side of the ROI features, C channels.
"""

import keras
from keras import KerasTensor, ops
from keras.initializers import RandomNormal

from mrcnn.network.layers.convolutions import FullConvolution
from mrcnn.network.layers.norms import CLASSIC_NORM, NO_NORM, Norm


class BoxHead:
    """3x3 convolutions, fully connected layers (implemented as convolutions, so that classic weights fit) and two outputs.

    The layers are created once, with their classic names; each call applies them to different ROI features.

    Args:
        pool_size: P.
        num_classes: K, including background.
        fc_units: units of the fully connected layers.
        norm: of the convolutions; of the fully connected layers if there are no convolutions.
        convolutions: number of 3x3 convolutions. The classic head has none.
        channels: channels of the convolutions.
        fc_layers: number of fully connected layers.

    Source: Feature Pyramid Networks (Lin et al. 2017), section 5.2, for two fully connected layers; Group Normalization (Wu and
    He 2018), section 4.2, for four convolutions and one.
    """

    def __init__(self, pool_size: int, num_classes: int, fc_units: int = 1024, norm: Norm = CLASSIC_NORM, convolutions: int = 0,
                 channels: int = 256, fc_layers: int = 2) -> None:  # fmt: skip
        self.num_classes = num_classes
        self.units = fc_units
        self.norm = norm
        self.convolutions = [
            (keras.layers.Conv2D(channels, (3, 3), padding="same", use_bias=norm.use_bias, name=f"mrcnn_box_conv{n}"),
             norm.layer(f"mrcnn_box_bn{n}"))
            for n in range(1, convolutions + 1)]  # fmt: skip
        self.fc_norm = NO_NORM if convolutions else norm
        self.hidden = [
            (FullConvolution(fc_units, (pool_size if n == 1 else 1,) * 2, name=f"mrcnn_class_conv{n}"),
             self.fc_norm.layer(f"mrcnn_class_bn{n}"))
            for n in range(1, fc_layers + 1)]  # fmt: skip
        self.relu = keras.layers.Activation("relu")
        # Fast R-CNN (Girshick 2015), section 2.3: initially, all classes are equally likely and boxes do not move.
        self.logits = keras.layers.Dense(num_classes, kernel_initializer=RandomNormal(stddev=0.01), name="mrcnn_class_logits")
        self.probs = keras.layers.Activation("softmax", name="mrcnn_class", dtype="float32")
        self.deltas = keras.layers.Dense(num_classes * 4, kernel_initializer=RandomNormal(stddev=0.001), name="mrcnn_bbox_fc")
        self.reshape = keras.layers.Reshape((-1, num_classes, 4), name="mrcnn_bbox")

    def __call__(self, roi_features: KerasTensor) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """Apply the head.

        Args:
            roi_features: [B, R, P, P, C]. R must be static.

        Returns:
            class logits [B, R, K], probabilities float32 [B, R, K], and deltas [B, R, K, 4] for each class.
        """
        rois = roi_features.shape[1]
        x = ops.reshape(roi_features, (-1, *roi_features.shape[2:]))  # [B * R, P, P, C]
        for convolution, layer in self.convolutions:
            x = self.relu(self.norm(x, convolution, layer))
        for convolution, layer in self.hidden:
            x = self.relu(self.fc_norm(x, convolution, layer))
        x = ops.reshape(x, (-1, rois, self.units))  # [B, R, units]
        logits = self.logits(x)
        return logits, self.probs(logits), self.reshape(self.deltas(x))
