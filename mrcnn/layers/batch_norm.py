"""Batch normalisation whose statistics a configuration can freeze."""

import keras


@keras.saving.register_keras_serializable(package="mrcnn")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras batch normalisation that keeps to the configuration's TRAIN_BN, given as `training` when it is wired.

    Batches are small when images are large, and the statistics of two images hurt more than they help.

    A Keras 3 functional model hands its own training flag to every layer, over the one that the layer was wired with;
    so the layer keeps what it was wired with, and does as it was told.

    Args:
        train_bn: None, False or True; of the first wiring that says it when None.
        The rest: as of `keras.layers.BatchNormalization`.

    `call(inputs, training=None)`:
        training: None uses the batch's statistics in training and the moving ones in inference; False always the moving
            ones (gamma and beta still train); True always the batch's.
    """

    def __init__(self, *args, train_bn=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.train_bn = train_bn

    def __call__(self, inputs, training=None, **kwargs):
        """Wire or run the layer; see `call`."""
        if training is not None and self.train_bn is None and isinstance(inputs, keras.KerasTensor):
            self.train_bn = bool(training)
        return super().__call__(inputs, training=training, **kwargs)

    def call(self, inputs, training=None):
        return super().call(inputs, training=training if self.train_bn is None else self.train_bn)

    def get_config(self):
        return {**super().get_config(), "train_bn": self.train_bn}
