"""Batch normalisation whose statistics a configuration can freeze."""

import keras


@keras.saving.register_keras_serializable(package="mrcnn")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras batch normalisation, called with the configuration's TRAIN_BN as `training`.

    Batches are small when images are large, and the statistics of two images hurt more than they help.

    `call(inputs, training=None)`:
        training: None uses the batch's statistics in training and the moving ones in inference; False always the moving
            ones (gamma and beta still train); True always the batch's.
    """

    def call(self, inputs, training=None):
        return super().call(inputs, training=training)
