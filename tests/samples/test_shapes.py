"""The shapes sample: its configuration, its data, and the calls that its command line makes."""
import pytest

from mrcnn.config import Config
from samples.shapes import shapes


def test_configuration_is_valid_and_has_the_number_of_classes():
    config = shapes.ShapesConfig()
    config.validate()
    dataset = shapes.load_shapes(3, seed=0, config=config)
    assert dataset.class_names == ["BG", "square", "circle", "triangle"]
    assert config.NUM_CLASSES == dataset.num_classes == 4
    assert dataset.load_image(2).shape == (128, 128, 3)


def test_training_and_validation_images_differ():
    config = shapes.ShapesConfig()
    train = shapes.load_shapes(5, shapes.TRAIN_SEED, config)
    val = shapes.load_shapes(5, shapes.VAL_SEED, config)
    assert all((train.load_image(i) != val.load_image(i)).any() for i in range(5))


class RecordingModel:
    """Replaces MaskRCNN, and records the calls of the sample."""

    def __init__(self, mode, config, model_dir):
        self.mode, self.config, self.calls, self.epoch = mode, config, [], 0
        RecordingModel.last = self

    def train(self, train_set, val_set, learning_rate, epochs, layers):
        self.calls.append((layers, epochs, learning_rate, len(train_set.image_ids), len(val_set.image_ids)))

    def evaluate(self, dataset, progress):
        self.calls.append(len(dataset.image_ids))
        return self

    def table(self):
        return "a table"


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    monkeypatch.setattr(shapes.modellib, "MaskRCNN", RecordingModel)
    monkeypatch.setattr(shapes, "load_start_weights", lambda model, weights: model.calls.append(weights))


def test_training_has_a_stage_for_the_heads_and_one_for_all_layers():
    shapes.main(["train", "--model=none", "--epochs=4"])
    model = RecordingModel.last
    rate = model.config.LEARNING_RATE
    assert model.mode == "training"
    assert model.calls == ["none", ("heads", 1, rate, 500, 50), ("all", 4, rate / 10, 500, 50)]


def _checkpoint(logs, **values):
    folder = logs / "shapes20260101T1200"
    folder.mkdir()
    Config.from_dict({"NAME": "shapes", "NUM_CLASSES": 4, **values}).save(folder / "config.json")
    (folder / "mask_rcnn_shapes_0003.h5").touch()
    return str(folder / "mask_rcnn_shapes_0003.h5")


def test_evaluation_uses_the_configuration_of_the_run(tmp_path):
    checkpoint = _checkpoint(tmp_path, BACKBONE="compact", IMAGES_PER_GPU=8, IMAGE_MIN_DIM=128, IMAGE_MAX_DIM=128)
    for weights in ("last", checkpoint):
        config = shapes.inference_config(weights, tmp_path)
        assert (config.BACKBONE, config.BATCH_SIZE, config.DETECTION_MIN_CONFIDENCE) == ("compact", 1, 0)
    without_config = tmp_path / "classic.h5"
    without_config.touch()
    assert isinstance(shapes.inference_config(str(without_config), tmp_path), shapes.InferenceConfig)
    assert isinstance(shapes.inference_config("coco", tmp_path), shapes.InferenceConfig)
    with pytest.raises(FileNotFoundError, match="gone.h5: no such weight file"):
        shapes.inference_config("gone.h5", tmp_path)


def test_evaluation_prints_the_table(capsys, tmp_path):
    _checkpoint(tmp_path)
    shapes.main(["evaluate", "--model=last", "--limit=7", f"--logs={tmp_path}"])
    model = RecordingModel.last
    assert model.mode == "inference" and model.config.DETECTION_MIN_CONFIDENCE == 0
    assert model.calls == ["last", 7]
    assert "a table" in capsys.readouterr().out


def test_resumed_run_skips_finished_stages():
    model = RecordingModel("training", shapes.ShapesConfig(), "logs")
    model.epoch = 2
    shapes.train(model, epochs=3)
    assert [call[:2] for call in model.calls] == [("all", 3)]
