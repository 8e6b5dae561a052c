"""Prefetched batches are in order with any number of workers. Each validation uses the same batches."""
import itertools
import time

import keras
import numpy as np
import pytest

from mrcnn.training.fitting import FixedBatches, stream


def _batch(step):
    time.sleep(0.002 * (3 - step % 3))  # a later batch may be ready first
    return (np.full((1, 1), step, np.float32),)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_stream_keeps_the_order_and_starts_at_the_given_step(workers):
    feed = stream(_batch, first=5, workers=workers)
    assert [int(batch[0][0, 0]) for (batch,) in itertools.islice(feed, 7)] == [5, 6, 7, 8, 9, 10, 11]
    feed.close()


def test_stream_passes_errors_on():
    def make(step):
        if step == 2:
            raise ValueError("step 2 is broken")
        return _batch(step)

    feed = stream(make, workers=2)
    next(feed), next(feed)
    with pytest.raises(ValueError, match="step 2 is broken"):
        next(feed)


class NumberModel(keras.Model):
    """The loss is the number in the batch, so that the mean loss of a validation identifies its batches."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(x[0]) + 0.0 * keras.ops.mean(y_pred)


@pytest.mark.parametrize("workers", [0, 2])
def test_each_validation_uses_the_same_batches(workers):
    inputs = [keras.Input((1,))]
    model = NumberModel(inputs, keras.layers.Dense(1)(inputs[0]))
    model.compile("sgd", jit_compile=False)
    feed = stream(_batch, workers=workers)
    history = model.fit(feed, steps_per_epoch=2, epochs=4, verbose=0, shuffle=False, validation_steps=5,
                        validation_data=FixedBatches(_batch, 5, workers))
    feed.close()
    assert history.history["val_loss"] == pytest.approx([2.0] * 4)  # the mean of 0, 1, 2, 3 and 4
    assert history.history["loss"] == pytest.approx([0.5, 2.5, 4.5, 6.5])  # training continues with the next batches
