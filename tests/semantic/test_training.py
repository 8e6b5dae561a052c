"""The batches that Keras' `fit` receives from the generator in each epoch, with any number of workers."""
import warnings

import keras
import numpy as np
import pytest

from mrcnn.semantic.batches import SemanticBatches
from mrcnn.semantic.training import SemanticGenerator
from tests.loading.scenes import scenes

# image i is red only in row i
DATASET = scenes(*[[(1, i, 0, i + 1, 60)] for i in range(8)])
ARGUMENTS = {"input_size": (40, 4), "batch_size": 3, "augmentation": {"brightness_range": (0.3, 1.0)}}


class RecordingModel(keras.Model):
    """A model with one weight, which records the images of each batch."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.seen, self.sums = [], []

    def call(self, images):
        return images[..., :1] * self.scale

    def train_step(self, *args):
        images, masks = (np.asarray(part) for part in args[-1])
        self.seen.append([int(np.flatnonzero(mask[:, 0, 0])[0]) for mask in masks])
        self.sums.append(images.astype(np.float64).sum())
        return {"loss": 0.0}


def record(generator, epochs, **kwargs):
    """Train a RecordingModel, and return the image numbers of each batch per epoch, and the sum of the pixels of each batch."""
    model = RecordingModel()
    model.build((None, 40, 4, 3))
    model.compile("sgd", run_eagerly=True)
    model.fit(generator, epochs=epochs, verbose=0, **kwargs)
    steps = kwargs.get("steps_per_epoch", len(generator))
    return [model.seen[i : i + steps] for i in range(0, len(model.seen), steps)], model.sums


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("workers", [1, 3])
def test_fit_uses_each_image_once_per_epoch_in_the_order_of_the_seed(workers):
    epochs, sums = record(SemanticGenerator(DATASET, workers=workers, seed=5, **ARGUMENTS), 3)
    batches = SemanticBatches(DATASET, seed=5, image_ids=SemanticGenerator(DATASET, seed=5, **ARGUMENTS).batches.image_ids,
                              **ARGUMENTS)  # fmt: skip
    assert len(epochs) == 3
    for number, epoch in enumerate(epochs):
        assert [len(batch) for batch in epoch] == [3, 3, 2]
        assert sum(epoch, []) == batches.order(number).tolist() and sorted(sum(epoch, [])) == list(range(8))
    assert epochs[0] != epochs[1]
    np.testing.assert_allclose(sums, [batches[step][0].astype(np.float64).sum() for step in range(9)])


@pytest.mark.tensorflow_only
def test_training_resumes_at_initial_epoch():
    uninterrupted, _ = record(SemanticGenerator(DATASET, **ARGUMENTS), 3)
    resumed, _ = record(SemanticGenerator(DATASET, initial_epoch=2, **ARGUMENTS), 3, initial_epoch=2)
    assert resumed == uninterrupted[2:]


@pytest.mark.tensorflow_only
def test_validation_has_a_fixed_order():
    generator = SemanticGenerator(DATASET, shuffle=False, input_size=(40, 4), batch_size=3)
    epochs, _ = record(generator, 2)
    assert epochs[0] == epochs[1] and sum(epochs[0], []) == generator.batches.image_ids.tolist()


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_any_number_of_steps_per_epoch(steps):
    """Batches of 3, 3 and 2 images: each epoch takes the batches after those of the epoch before, pass after pass."""
    model = keras.Sequential([keras.Input((40, 4, 3)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mean_squared_error")
    counted = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: taken[-1].append(batch),
                                             on_epoch_begin=lambda epoch, logs: taken.append([]))  # fmt: skip
    taken = []
    train, val = (SemanticGenerator(DATASET, input_size=(40, 4), batch_size=3) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(x=train, validation_data=val, steps_per_epoch=steps, validation_steps=2, epochs=4, verbose=0,
                            callbacks=[counted]).history  # fmt: skip
    assert taken == [list(range(steps))] * 4
    assert len(history["loss"]) == len(history["val_loss"]) == 4


@pytest.mark.tensorflow_only
def test_epochs_with_a_number_of_steps_continue_where_the_last_one_ended():
    epochs, _ = record(SemanticGenerator(DATASET, seed=5, **ARGUMENTS), 6, steps_per_epoch=2)
    batches = SemanticGenerator(DATASET, seed=5, **ARGUMENTS).batches
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[3, 3], [2, 3], [3, 2]] * 2
    images = sum(sum(epochs, []), [])
    assert images == sum((batches.order(number).tolist() for number in range(4)), [])


@pytest.mark.tensorflow_only
def test_fit_without_a_number_of_steps_after_one_that_was_interrupted():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = RecordingModel()
    model.build((None, 40, 4, 3))
    model.compile("sgd", run_eagerly=True)
    generator = SemanticGenerator(DATASET, **ARGUMENTS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(generator, steps_per_epoch=2, verbose=0, callbacks=[Stop()])
    model.seen.clear()
    model.fit(generator, verbose=0)
    assert sorted(sum(model.seen, [])) == list(range(8))


def test_iteration_is_one_epoch_even_while_keras_trains():
    generator = SemanticGenerator(DATASET, **ARGUMENTS)
    for _ in range(2):
        assert [len(images) for images, _ in generator] == [3, 3, 2]
        generator.on_epoch_begin()


def _sum_of_squares(masks, predicted):
    """A loss that is the square of the red row, which identifies the images of a batch."""
    weights = keras.ops.reshape(keras.ops.arange(40, dtype="float32") ** 2, (1, 40, 1, 1))
    return keras.ops.sum(keras.ops.cast(masks, "float32") * weights, axis=(1, 2, 3)) / 4 + 0 * keras.ops.mean(predicted)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_image_counts_once_in_the_loss_of_an_epoch(workers):
    """The model is built in `fit`, for which Keras takes a batch in advance; this must not skip an image."""
    dataset = scenes(*[[(1, i, 0, i + 1, 60)] for i in range(15)])
    train, val = (SemanticGenerator(dataset, workers=workers, input_size=(40, 4), batch_size=size) for size in (2, 5))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), _sum_of_squares, metrics=["mean_absolute_error"])
    history = model.fit(train, epochs=2, verbose=0, validation_data=val).history
    mean = sum(i**2 for i in range(15)) / 15
    assert history["loss"] == pytest.approx([mean] * 2) and history["val_loss"] == pytest.approx([mean] * 2)
    assert train.epoch == 2


def test_any_model_can_be_trained():
    """A single convolution learns to tell the class red (grey level 50 of 255) from the background (10)."""
    dataset = scenes(*[[(1, 5 * i, 0, 5 * i + 20, 60)] for i in range(4)])
    generator = SemanticGenerator(dataset, ["red"], input_size=(16, 24), batch_size=2)
    model = keras.Sequential([keras.Input((16, 24, 3)), keras.layers.Conv2D(1, 1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.5), "binary_crossentropy", metrics=["binary_accuracy"])
    history = model.fit(generator, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert history.history["binary_accuracy"][-1] > 0.95


def test_inconsistent_arguments_are_errors():
    generator = SemanticGenerator(DATASET, ["red"], mask_type="normal", **ARGUMENTS)
    assert generator.class_names == ["background", "red"] and generator.dataset is DATASET and len(generator) == 3
    with pytest.raises(IndexError, match="there is no batch -1"):
        generator[-1]
    with pytest.raises(ValueError, match="without mode and options"):
        SemanticGenerator(DATASET, mode="train", image_ids=[0], **ARGUMENTS)
