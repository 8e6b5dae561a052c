"""Mistakes in calls of MaskRCNN: a message says what was found and what to do."""
import contextlib
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from mrcnn.training.mask_rcnn import MaskRCNN
from tests.training.small import SmallConfig, shapes, small_model, weights_of


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """An inference model with weights that were loaded."""
    folder = tmp_path_factory.mktemp("logs")
    small_model("training", folder).save_weights(folder / "w.h5")
    model = small_model("inference", folder)
    model.load_weights(folder / "w.h5")
    return model


@contextlib.contextmanager
def _without_our_warnings():
    """Check that the block gives none of our warnings; the backend may give its own."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ours = [str(one.message) for one in caught if re.search("random weights|0 to 255|GPU_COUNT", str(one.message))]
    assert not ours


def _image():
    return shapes(1, 64, 64).load_image(0)


def test_a_class_in_place_of_a_configuration(tmp_path):
    with pytest.raises(TypeError, match=r"config is the class SmallConfig, expected an instance: SmallConfig\(\)"):
        MaskRCNN("inference", SmallConfig, str(tmp_path))


@pytest.mark.parametrize("path", ["folder", Path("folder")])
def test_a_path_in_place_of_a_data_set(loaded, tmp_path, path):
    with pytest.raises(TypeError, match=r"dataset is the path folder, expected a Dataset.*mrcnn.datasets.open\(path\)"):
        loaded.evaluate(path)
    model = small_model("training", tmp_path)
    with pytest.raises(TypeError, match="train_dataset is the path folder"):
        model.train(path, None, learning_rate=0.01, epochs=1, layers="all")
    with pytest.raises(TypeError, match="val_dataset is a list, expected a Dataset"):
        model.train(shapes(2), [1], learning_rate=0.01, epochs=1, layers="all")


@pytest.mark.parametrize("images", [["a.jpg"], "a.jpg", [Path("a.jpg")], Path("a.jpg")])
@pytest.mark.parametrize("verbose", [0, 1])
def test_a_path_in_place_of_an_image(loaded, images, verbose):
    with pytest.raises(ValueError, match=r"images\[0\]: expected the pixels of an image, found the path a.jpg.*read_image"):
        loaded.detect(images, verbose=verbose)


@pytest.mark.parametrize("change, words", [
    (lambda image: image / 255, "values of 0 to 1"), (lambda image: np.float32(image) / 127.5 - 1, "values of -1 to 1"),
    (lambda image: (image - 120.0) / 60, "values of -2 to 2.25")])  # fmt: skip
def test_images_that_were_scaled_before(loaded, change, words):
    image = _image()
    image[0, 0], image[0, 1] = 0, 255
    with pytest.warns(UserWarning, match=rf"images\[1\] has {words}, but 0 to 255 are expected \(1 of 2 images\)"):
        loaded.detect([image, change(image)])


@pytest.mark.parametrize("image", [
    np.zeros((64, 64, 3)), np.full((64, 64, 3), 0.5) * 255, np.ones((64, 64, 3), np.uint8), np.ones((64, 64, 3), bool)],
    ids=["black", "grey", "dark bytes", "bool"])  # fmt: skip
def test_images_that_may_be_as_they_are(loaded, image):
    with _without_our_warnings():
        loaded.detect([image])


def test_channels_and_means_of_their_own_range(tmp_path):
    for values in ({"IMAGE_CHANNEL_COUNT": 2, "MEAN_PIXEL": np.array([100.0, 100.0])},
                   {"IMAGE_CHANNEL_COUNT": 3, "MEAN_PIXEL": np.array([0.5, 0.5, 0.5])}):  # fmt: skip
        model = small_model("inference", tmp_path, **values)
        model.keras_model.set_weights(model.keras_model.get_weights())
        with _without_our_warnings():
            model.detect([np.full((64, 64, values["IMAGE_CHANNEL_COUNT"]), 0.5)])


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_random_weights_are_reported_once(tmp_path, mode):
    model = small_model(mode, tmp_path)
    with pytest.warns(UserWarning, match="random weights, because none were loaded"):
        model.detect([_image()])
    with _without_our_warnings():
        model.detect([_image()])


def test_weights_that_were_trained_or_set_are_not_random(tmp_path):
    model = small_model("training", tmp_path)
    model.train(shapes(2), None, learning_rate=0.001, epochs=1, layers="all")
    copy = small_model("inference", tmp_path)
    copy.keras_model.set_weights(copy.keras_model.get_weights())
    with _without_our_warnings():
        model.detect([_image()])
        copy.detect([_image()])


def test_set_trainable_takes_the_names_of_stages(tmp_path, capsys):
    model = small_model("training", tmp_path)
    model.set_trainable("heads")
    printed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    trainable = {name.split("/")[0] for name in weights_of(model.keras_model)
                 if name.startswith(("mrcnn_", "rpn_", "fpn_"))}  # fmt: skip
    assert printed == trainable and "fpn_p2" in printed
    assert not any(variable.path.startswith(("res", "bn")) for variable in model.keras_model.trainable_variables)


def test_a_learning_rate_may_be_an_integer(tmp_path):
    model = small_model("training", tmp_path, LEARNING_RATE=0)
    model.train(shapes(2), None, learning_rate=model.config.LEARNING_RATE, epochs=1, layers="heads")
    assert model.epoch == 1


def test_devices_without_a_distribution_are_reported(tmp_path):
    with pytest.warns(UserWarning, match="GPU_COUNT is 2, but no keras.distribution is set, .* one device gets all 4 images"):
        small_model("training", tmp_path, GPU_COUNT=2)
    with _without_our_warnings():
        small_model("training", tmp_path, GPU_COUNT=1)
        small_model("inference", tmp_path, GPU_COUNT=2)
