"""The box head, which classifies each ROI and refines its box.

Shape letters: B images, R rois, K classes, P side of the ROI features, C channels.
"""

import keras
from keras import KerasTensor, ops
from keras.initializers import RandomNormal

from mrcnn.network.layers.batch_norm import BatchNorm
from mrcnn.network.layers.convolutions import FullConvolution


class BoxHead:
    """Two fully connected layers (implemented as convolutions, so that classic weights fit) and two outputs.

    The layers are created once, with their classic names; each call applies them to different ROI features.

    Args:
        pool_size: P.
        num_classes: K, including background.
        fc_layers_size: units of the two hidden layers.
        train_bn: see Config.TRAIN_BN.
    """

    def __init__(self, pool_size: int, num_classes: int, fc_layers_size: int = 1024, train_bn: bool | None = True) -> None:
        self.num_classes = num_classes
        self.units = fc_layers_size
        self.train_bn = train_bn
        self.hidden = [
            (FullConvolution(fc_layers_size, (side, side), name=f"mrcnn_class_conv{n}"),
             BatchNorm(name=f"mrcnn_class_bn{n}"))
            for n, side in ((1, pool_size), (2, 1))]  # fmt: skip
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
        for convolution, norm in self.hidden:
            x = self.relu(norm(convolution(x), training=self.train_bn))
        x = ops.reshape(x, (-1, rois, self.units))  # [B, R, units]
        logits = self.logits(x)
        return logits, self.probs(logits), self.reshape(self.deltas(x))
