"""A run that its user interrupts goes on after the last whole epoch."""
import keras
import pytest

from tests.engine.small import shapes, small_model


def test_an_interrupted_run_keeps_its_whole_epochs(tmp_path):
    def interrupt(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    model = small_model("training", tmp_path, STEPS_PER_EPOCH=1)
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.train(shapes(2), None, 0.001, 5, "heads", custom_callbacks=[stop])
    assert model.epoch == 2 and model.find_last().endswith("_0002.h5")
    assert model.train(shapes(2), None, 0.001, 3, "heads").epoch == [2]
    assert model.epoch == 3
