"""What `fit` of Keras gets from the generator in each epoch, with any number of workers."""
import keras
import numpy as np
import pytest

from mrcnn.semantic.batches import SemanticBatches
from mrcnn.semantic.training import SemanticGenerator
from tests.loading.scenes import scenes

# image i has red in row i alone
DATASET = scenes(*[[(1, i, 0, i + 1, 60)] for i in range(8)])
ARGUMENTS = {"input_size": (40, 4), "batch_size": 3, "augmentation": {"brightness_range": (0.3, 1.0)}}


class Watching(keras.Model):
    """A model of one weight that records which images each batch has."""

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


def watch(generator, epochs, **kwargs):
    """Train a Watching model: [[numbers of the images of a batch, ...] an epoch], [sum of the images of each batch]."""
    model = Watching()
    model.build((None, 40, 4, 3))
    model.compile("sgd", run_eagerly=True)
    model.fit(generator, epochs=epochs, verbose=0, shuffle=False, **kwargs)
    steps = len(generator)
    return [model.seen[i : i + steps] for i in range(0, len(model.seen), steps)], model.sums


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("workers", [1, 3])
def test_fit_sees_each_image_once_an_epoch_in_the_order_of_the_seed(workers):
    epochs, sums = watch(SemanticGenerator(DATASET, workers=workers, seed=5, **ARGUMENTS), 3)
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
    whole, _ = watch(SemanticGenerator(DATASET, **ARGUMENTS), 3)
    rest, _ = watch(SemanticGenerator(DATASET, initial_epoch=2, **ARGUMENTS), 3, initial_epoch=2)
    assert rest == whole[2:]


@pytest.mark.tensorflow_only
def test_validation_has_a_fixed_order():
    generator = SemanticGenerator(DATASET, shuffle=False, input_size=(40, 4), batch_size=3)
    epochs, _ = watch(generator, 2)
    assert epochs[0] == epochs[1] and sum(epochs[0], []) == generator.batches.image_ids.tolist()


def _sum_of_squares(masks, predicted):
    """The square of the red row, which identifies the images of a batch."""
    weights = keras.ops.reshape(keras.ops.arange(40, dtype="float32") ** 2, (1, 40, 1, 1))
    return keras.ops.sum(keras.ops.cast(masks, "float32") * weights, axis=(1, 2, 3)) / 4 + 0 * keras.ops.mean(predicted)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_image_counts_once_in_the_loss_of_an_epoch(workers):
    """The model is built in `fit`: Keras peeks at a batch first, which must not skip an image."""
    dataset = scenes(*[[(1, i, 0, i + 1, 60)] for i in range(15)])
    train, val = (SemanticGenerator(dataset, workers=workers, input_size=(40, 4), batch_size=size) for size in (2, 5))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), _sum_of_squares, metrics=["mean_absolute_error"])
    history = model.fit(train, epochs=2, verbose=0, shuffle=False, validation_data=val).history
    mean = sum(i**2 for i in range(15)) / 15
    assert history["loss"] == pytest.approx([mean] * 2) and history["val_loss"] == pytest.approx([mean] * 2)
    assert train.epoch == 2


def test_any_model_can_be_trained():
    """One convolution learns that red, grey 50 of 255, is the class, and the background, grey 10, is not."""
    dataset = scenes(*[[(1, 5 * i, 0, 5 * i + 20, 60)] for i in range(4)])
    generator = SemanticGenerator(dataset, ["red"], input_size=(16, 24), batch_size=2)
    model = keras.Sequential([keras.Input((16, 24, 3)), keras.layers.Conv2D(1, 1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.5), "binary_crossentropy", metrics=["binary_accuracy"])
    history = model.fit(generator, epochs=20, verbose=0, shuffle=False)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert history.history["binary_accuracy"][-1] > 0.95


def test_arguments_that_do_not_match():
    generator = SemanticGenerator(DATASET, ["red"], mask_type="normal", **ARGUMENTS)
    assert generator.class_names == ["background", "red"] and generator.dataset is DATASET and len(generator) == 3
    with pytest.raises(IndexError, match="batches 0 to 2"):
        generator[3]
    with pytest.raises(ValueError, match="without mode and options"):
        SemanticGenerator(DATASET, mode="train", image_ids=[0], **ARGUMENTS)
