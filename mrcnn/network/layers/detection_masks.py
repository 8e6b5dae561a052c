"""The masks of detections, and of no row that holds none.

Shapes: B images, D detections, M side of the mask head.
"""

import keras
from keras import ops

# Detections of an image that go through the mask head at a time: the head takes half of a detection on a processor when
# all D rows run through it, and most photographs hold a few instances.
CHUNK = 20


@keras.saving.register_keras_serializable(package="mrcnn")
class DetectionMasks(keras.layers.Layer):
    """Align and run the mask head on the rows that hold detections, some at a time, for each row's own class.

    Args:
        align: PyramidROIAlign.
        head: keras.Model [[B, CHUNK, P, P, C], int32 [B, CHUNK]] -> [B, CHUNK, M, M]. It must keep no state: it runs in a
            loop, so its normalisation may not use the statistics of a batch.

    `call([detections, image_meta, P2, P3, P4, P5])`:
        detections: float [B, D, 6]. Rows of zeros stand behind the others.
        image_meta: [B, 12 + K].
        P2..P5: float [B, h, w, C].
        Returns float32 [B, D, M, M]. Probability of each pixel for the class of the detection; zero where no image of the
        batch has a detection in that chunk of rows.

    Differs: the classic graph runs the head on all D rows and computes the masks of all classes.
    """

    def __init__(self, align, head, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.align = align
        self.head = head

    def call(self, inputs):
        detections, image_meta, *pyramid = inputs
        rows, side = detections.shape[1], self.head.output_shape[-1]
        padding = -rows % CHUNK
        detections = ops.pad(detections, ((0, 0), (0, padding), (0, 0)))
        batch = ops.shape(detections)[0]
        there = ops.any(detections[:, :, 4] > 0, axis=0)  # [D + padding]
        count = ops.max(ops.where(there, ops.arange(1, rows + padding + 1, dtype="int32"), 0))

        def unfinished(start, _):
            return start < count

        def add_chunk(start, masks):
            chunk = ops.slice(detections, (0, start, 0), (batch, CHUNK, 6))
            features = self.align([chunk[:, :, :4], image_meta, *pyramid])
            own = self.head([features, ops.cast(chunk[:, :, 4], "int32")])
            return start + CHUNK, ops.slice_update(masks, (0, start, 0, 0), own)

        masks = ops.zeros((batch, rows + padding, side, side), "float32")
        _, masks = ops.while_loop(unfinished, add_chunk, (ops.convert_to_tensor(0, "int32"), masks))
        return masks[:, :rows]

    def compute_output_spec(self, inputs):
        side = self.head.output_shape[-1]
        return keras.KerasTensor((*inputs[0].shape[:2], side, side), dtype="float32")

    def get_config(self):
        parts = {"align": self.align, "head": self.head}
        return {**super().get_config(), **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("align", "head")}
        return cls(**{**config, **parts})
