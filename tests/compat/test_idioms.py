"""Idioms of projects that use the classic API. Each test has the name of an idiom."""
import os

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mrcnn import model as modellib
from mrcnn import utils, visualize
from mrcnn.loading.sample import load_checked_instances
from mrcnn.training.classic_keras import training_batch
from mrcnn.training.mask_rcnn import MaskRCNN
from tests.training.small import SmallConfig, shapes


class Squares(utils.Dataset):
    """Two images; the second has no objects."""

    def load(self):
        self.add_class("squares", 1, "square")
        for i in range(2):
            self.add_image("squares", i, None)

    def load_image(self, image_id):
        return np.full((20, 30, 3), 100, np.uint8)

    def load_mask(self, image_id):
        if image_id == 1:
            return np.zeros((20, 30, 1)), np.zeros((1,))
        mask = np.zeros((20, 30, 1), bool)
        mask[5:15, 5:15] = True
        return mask, np.ones(1, np.int32)


class GivesItself(Squares):
    def __init__(self):
        super().__init__(self)


class SkipsTheConstructor(Squares):
    def __init__(self, folder):
        self.folder = folder
        self._image_ids = []
        self.image_info = []
        self.class_info = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids = {}


@pytest.mark.parametrize("make", [GivesItself, lambda: SkipsTheConstructor("folder")])
def test_data_set_with_an_unusual_constructor(make):
    dataset = make()
    dataset.load()
    dataset.prepare()
    assert dataset.class_names == ["BG", "square"] and dataset.image_ids.tolist() == [0, 1]
    assert dataset.source_class_ids == {"": [0], "squares": [0, 1]}


def test_placeholder_for_images_without_objects():
    dataset = Squares()
    dataset.load()
    dataset.prepare()
    assert load_checked_instances(dataset, 1, (20, 30), 2)[0] == []
    config = type("Tiny", (SmallConfig,), {"NUM_CLASSES": 2})()
    _, _, class_ids, boxes, masks = modellib.load_image_gt(dataset, config, 1)
    assert class_ids.shape == (0,) and boxes.shape == (0, 4) and masks.shape[2] == 0
    assert modellib.load_image_gt(dataset, config, 0)[2].tolist() == [1]
    assert dataset.ground_truth(1) == []


def test_star_imports_include_the_imports_of_the_classic_modules():
    for module, names in (("visualize", ("plt", "np", "patches", "lines", "Polygon", "find_contours", "utils", "random", "os")),
                          ("model", ("np", "keras", "K", "KL", "KE", "KM", "utils", "os", "re", "MaskRCNN"))):  # fmt: skip
        space = {}
        exec(f"from mrcnn.{module} import *", space)
        assert set(names) <= set(space)
    assert space["KL"].Conv2D is keras.layers.Conv2D and issubclass(space["KL"].Dense, space["KE"].Layer)


def test_outlines_are_drawn_without_masks():
    dataset = Squares()
    masks, class_ids = dataset.load_mask(0)
    _, ax = visualize.display_instances(dataset.load_image(0), utils.extract_bboxes(masks), masks, class_ids, ["BG", "square"],
                              scores=np.array([0.93449]), show_mask=False)  # fmt: skip
    assert (np.asarray(ax.images[0].get_array()) == 100).all()  # no mask
    outlines = [artist for artist in ax.get_children() if isinstance(artist, plt.Polygon)]
    assert len(outlines) == 1
    assert [text.get_text() for text in ax.texts] == ["square 0.934"]
    plt.close("all")


@pytest.fixture(scope="module")
def training_model(tmp_path_factory):
    model = MaskRCNN("training", SmallConfig(), str(tmp_path_factory.mktemp("logs")))
    model.set_trainable(".*", verbose=0)
    model.compile(0.001, 0.9)
    return model


def test_find_last_returns_a_folder_and_a_path(training_model):
    path = training_model.checkpoint_path.format(epoch=1)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    training_model.keras_model.save_weights(path)
    assert training_model.find_last()[1] == path == training_model.find_last()
    assert os.path.basename(training_model.find_last()[1]) == os.path.basename(training_model.find_last())
    assert training_model.find_last()[0] == path[0] and training_model.find_last()[-3:] == ".h5"


def sampled(positions, labels, deltas):
    return sorted((int(i), int(k), *np.round(d, 4).tolist()) for i, k, d in zip(positions, labels, deltas) if k)


def test_batches_of_the_classic_generator_equal_those_of_training():
    """Compares labels and deltas of the sampled anchors, images, masks and boxes."""
    config, dataset = SmallConfig(), shapes(3)
    model_batch = modellib.settings.make_loader(dataset, config, shuffle=False)[0]
    inputs, _ = modellib.DataGenerator(dataset, config, shuffle=False)[0]
    (ours,) = training_batch((inputs, []), config.MEAN_PIXEL, 8)
    images, meta, positions, labels, deltas, class_ids, boxes, masks = ours
    np.testing.assert_allclose(images, model_batch[0], atol=1e-3)
    for found, expected in zip((meta, class_ids, boxes, masks), (model_batch[1], *model_batch[5:]), strict=True):
        np.testing.assert_array_equal(found, expected)
    for row in range(len(images)):
        assert sampled(positions[row], labels[row], deltas[row]) == sampled(*(part[row] for part in model_batch[2:5]))


@pytest.mark.parametrize("call", ["fit", "fit_generator"])
def test_keras_model_trains_on_the_classic_generator(training_model, call):
    config, dataset = training_model.config, shapes(4)
    keras_model = training_model.keras_model
    before = int(keras.ops.convert_to_numpy(keras_model.optimizer.iterations))
    options = {"max_queue_size": 100, "workers": 2, "use_multiprocessing": True} if call == "fit_generator" else {}
    history = getattr(keras_model, call)(
        modellib.data_generator(dataset, config, batch_size=config.BATCH_SIZE), initial_epoch=0, epochs=2, steps_per_epoch=2,
        validation_data=modellib.DataGenerator(dataset, config), validation_steps=1, verbose=0, **options).history  # fmt: skip
    assert len(history["loss"]) == 2 and np.isfinite(history["loss"]).all() and np.isfinite(history["val_loss"]).all()
    assert int(keras.ops.convert_to_numpy(keras_model.optimizer.iterations)) == before + 4
    assert len(keras_model.fit(modellib.DataGenerator(dataset, config), epochs=1, verbose=0).history["loss"]) == 1


class OwnConstructor(MaskRCNN):
    def __init__(self, mode, config, model_dir):
        assert mode in ["training", "inference"]
        self.mode = mode
        self.config = config
        self.model_dir = model_dir
        self.set_log_dir()
        self.keras_model = self.build(mode=mode, config=config)


class Shifted(MaskRCNN):
    def unmold_detections(self, *args):
        boxes, class_ids, scores, masks = super().unmold_detections(*args)
        return boxes, class_ids + 10, scores, masks


IMAGE = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
QUIET = pytest.mark.filterwarnings("ignore:detecting with random weights")


class Unsure(SmallConfig):
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0.0


@QUIET
def test_own_constructor_without_super(tmp_path):
    model, plain = OwnConstructor("inference", Unsure(), str(tmp_path)), MaskRCNN("inference", Unsure(), str(tmp_path))
    model.keras_model._make_predict_function()
    (found,), (expected,) = model.detect([IMAGE]), plain.detect([IMAGE])
    assert len(found["scores"]) and model.epoch == 0
    np.testing.assert_array_equal(found["rois"], expected["rois"])


@QUIET
def test_overridden_unmold_detections_is_used(tmp_path):
    (found,), (expected,) = (kind("inference", Unsure(), str(tmp_path)).detect([IMAGE]) for kind in (Shifted, MaskRCNN))
    assert len(found["class_ids"]) and found["class_ids"].min() > 10
    assert sorted(found["class_ids"] - 10) == sorted(expected["class_ids"])


class OneBox(keras.Model):
    """A network that detects class 2 in the upper left quarter of each image."""

    def predict(self, inputs, **kwargs):
        assert [np.ndim(part) for part in inputs] == [4, 2, 3]
        count = len(inputs[0])
        detections = np.zeros((count, 5, 6), np.float32)
        detections[:, 0] = [0, 0, 0.5, 0.5, 2, 0.9]
        return detections, None, None, np.ones((count, 5, 28, 28, 4), np.float32), None, None, None


class OwnNetwork(MaskRCNN):
    def build(self, mode, config):
        return OneBox()


@pytest.mark.parametrize("replace", ["build", "attribute"])
def test_replaced_network_is_used(tmp_path, replace):
    if replace == "build":
        model = OwnNetwork("inference", Unsure(), str(tmp_path))
    else:
        model = MaskRCNN("inference", Unsure(), str(tmp_path))
        model.keras_model = OneBox()
    (found,) = model.detect([np.zeros((64, 64, 3), np.uint8)])
    assert found["class_ids"].tolist() == [2] and found["scores"] == pytest.approx([0.9])
    assert found["rois"].tolist() == [[0, 0, 32, 32]]  # 0.5 * 63 + 1, rounded
    (rle,) = model.detect([np.zeros((64, 64, 3), np.uint8)], masks="rle")
    assert rle["masks"][0]["size"] == [64, 64]


@pytest.mark.tensorflow_only
def test_zero_validation_steps(tmp_path):
    """With `VALIDATION_STEPS = 0`, training has no validation loss, even with a validation data set."""
    config = type("NoValidation", (SmallConfig,), {"VALIDATION_STEPS": 0, "VALIDATION_AP_EVERY": 0})()
    model = MaskRCNN("training", config, str(tmp_path))
    history = model.train(shapes(4), shapes(2), learning_rate=0.001, epochs=1, layers="heads").history
    assert np.isfinite(history["loss"]).all() and "val_loss" not in history
