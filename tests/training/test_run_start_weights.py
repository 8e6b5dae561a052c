"""What each value of `--weights` loads. Detection rejects incomplete weights."""
import pickle
import warnings
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from mrcnn import recipes
from mrcnn.config import ConfigError
from mrcnn.datasets.coco_names import CLASS_NAMES
from mrcnn.training.run_start import CLASS_LAYERS, build_config, load_start_weights, load_trained_weights
from mrcnn.training.trained_run import find_trained_run, load_trained_run
from mrcnn.weights.catalogue import CATALOGUE, PublishedWeights
from mrcnn.weights.classic_h5 import LoadReport
from tests.training.small import shapes, small_model


class FakeModel:
    """Records the files that are loaded."""

    def __init__(self, num_classes=81, backbone="resnet101"):
        self.config = SimpleNamespace(NAME="Toys", NUM_CLASSES=num_classes, BACKBONE=backbone, TRAIN_BN=False)
        self.loaded = None
        self.new_run = False

    def get_imagenet_weights(self):
        return "imagenet.h5"

    def find_last(self):
        return "newest.h5"

    def load_weights(self, path, by_name=False, exclude=None, **classes):
        assert by_name
        self.loaded, self.classes = (path, exclude), classes
        return LoadReport()

    def set_log_dir(self):
        self.new_run = True


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(PublishedWeights, "fetch", lambda entry: f"{entry.name}.h5")


@pytest.mark.parametrize("weights, path", [
    ("imagenet", "imagenet.h5"), ("last", "newest.h5"), ("coco", "coco.h5"), ("my/file.h5", "my/file.h5")])  # fmt: skip
def test_names_of_weights_select_files(weights, path):
    model = FakeModel()
    load_start_weights(model, weights)
    assert model.loaded == (path, None)


def test_none_loads_nothing_and_warns_about_frozen_statistics(capsys):
    model = FakeModel()
    load_start_weights(model, "none")
    assert model.loaded is None
    assert "TRAIN_BN=None" in capsys.readouterr().out
    model.config.TRAIN_BN = None
    load_start_weights(model, "none")
    assert "TRAIN_BN" not in capsys.readouterr().out


@pytest.mark.parametrize("path, new", [
    ("logs/toys20260101T1200/mask_rcnn_toys_0009.h5", False),
    ("logs/cats20260101T1200/mask_rcnn_cats_0009.h5", True),
    ("logs/toys220260101T1200/mask_rcnn_toys2_0009.h5", True),
    ("file.h5", False),
])  # fmt: skip
def test_checkpoint_of_a_different_data_set_starts_a_new_run(path, new):
    model = FakeModel()
    load_start_weights(model, path)
    assert model.new_run is new


def test_class_layers_of_published_weights_are_excluded_for_other_classes_without_names():
    model = FakeModel(num_classes=2)
    load_start_weights(model, "coco")
    assert model.loaded == ("coco.h5", sorted(CLASS_LAYERS)) and model.classes == {}


def test_classes_of_published_weights_are_matched_by_name():
    model = FakeModel(num_classes=2, backbone="resnet50")
    load_start_weights(model, "torchvision_v2", class_names=["BG", "cat"])
    assert model.loaded == ("torchvision_v2.h5", None)
    assert model.classes == {"classes_from": "coco", "class_names": ["BG", "cat"]}
    model = FakeModel(backbone="resnet50")  # COCO's classes; the file has 91 rows
    load_start_weights(model, "torchvision_v2")
    assert model.classes == {"classes_from": "coco", "class_names": CLASS_NAMES}


def test_classes_of_files_are_matched_if_their_names_are_given():
    model = FakeModel(num_classes=2)
    load_start_weights(model, "f.h5", class_names=["BG", "cat"])
    assert model.classes == {}
    load_start_weights(model, "f.h5", class_names=["BG", "cat"], classes_from="classes.json")
    assert model.classes == {"classes_from": "classes.json", "class_names": ["BG", "cat"]}


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_published_weights_set_the_recipe(name):
    entry = CATALOGUE[name]
    config = build_config("labelme", {"IMAGES_PER_GPU": 1}, weights=name)
    recipe = recipes.get(entry.recipe)()
    assert config.NAME == "labelme" and config.BACKBONE == entry.backbone and config.IMAGES_PER_GPU == 1
    for attribute, value in recipe.to_dict().items():
        if attribute not in ("NAME", "BACKBONE", "IMAGES_PER_GPU", "BATCH_SIZE", *entry.overrides):
            np.testing.assert_array_equal(getattr(config, attribute), value, attribute)
    trained = load_trained_run(name, "logs")
    assert trained.class_names == list(CLASS_NAMES) and trained.config.NUM_CLASSES == 81
    assert trained.config.BACKBONE == entry.backbone
    assert build_config("labelme", {}, weights="torchvision").NORM_EPSILON == 0


def test_layers_are_excluded_by_name_and_heads_means_all_class_layers():
    model = FakeModel()
    load_start_weights(model, "f.h5", exclude=["heads", "fpn_p2"])
    assert model.loaded == ("f.h5", sorted({*CLASS_LAYERS, "fpn_p2"}))


@pytest.mark.parametrize("load", [load_start_weights, load_trained_weights])
def test_coco_weights_with_a_different_backbone_are_an_error(load):
    with pytest.raises(ValueError, match="for resnet101, but BACKBONE is 'resnet50'"):
        load(FakeModel(backbone="resnet50"), "coco")


def test_detection_loads_all_layers():
    with pytest.raises(ValueError, match="NUM_CLASSES is 2"):
        load_trained_weights(FakeModel(num_classes=2), "coco")
    model = FakeModel()
    load_trained_weights(model, "w.h5")
    assert model.loaded == ("w.h5", None)


# --- Files of other frameworks ------------------------------------------------------------------------------------------
def _state_dict(path, rows):
    """Write a file with some of the names of torchvision's v2 network, with a ResNet-101."""
    blocks = [f"backbone.body.layer3.{number}.conv1.weight" for number in range(23)]
    tensors = dict.fromkeys(["rpn.head.cls_logits.bias", "rpn.head.conv.1.0.bias", *blocks], np.zeros(3))
    tensors["roi_heads.box_predictor.cls_score.bias"] = np.zeros(rows)
    path.write_bytes(pickle.dumps({"model": tensors}))
    return str(path)


def test_names_of_tensors_tell_the_network(tmp_path):
    weights = _state_dict(tmp_path / "theirs.pth", 91)
    config = build_config("labelme", {"IMAGES_PER_GPU": 1}, weights=weights)
    assert config.BACKBONE == "resnet101" and config.BOX_HEAD_CONVOLUTIONS == 4 and config.NORM_EPSILON == 1e-5
    assert build_config("labelme", {}, weights=weights, recipe="classic").BOX_HEAD_CONVOLUTIONS == 0
    run = find_trained_run(weights, "logs")
    assert run.weights == weights and run.config.NUM_CLASSES == 81 and run.class_names == list(CLASS_NAMES)
    model = FakeModel()
    load_trained_weights(model, weights)
    assert model.classes == {"classes_from": "coco", "class_names": CLASS_NAMES}  # 81 of the 91 rows


def test_published_files_that_were_downloaded_elsewhere_are_known_by_their_names(tmp_path):
    weights = _state_dict(tmp_path / CATALOGUE["torchvision"].file_name, 91)
    assert find_trained_run(weights, "logs").config.NORM_EPSILON == 0


def test_files_of_other_classes_need_their_names(tmp_path):
    weights = _state_dict(tmp_path / "theirs.pth", 3)
    with pytest.raises(ConfigError, match="there is no classes.json next to these weights: give --classes FILE, or"):
        find_trained_run(weights, "logs")
    (tmp_path / "classes.json").write_text('["BG", "cat", "dog"]')
    run = find_trained_run(weights, "logs")
    assert run.config.NUM_CLASSES == 3 and run.class_names == ["BG", "cat", "dog"]
    model = FakeModel(num_classes=3)
    load_trained_weights(model, weights)
    assert model.loaded == (weights, None) and model.classes == {}


# --- With a network ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weight files of a small network: {"complete": all layers, "backbone": those before the pyramid, "heads": the others}."""
    folder = tmp_path_factory.mktemp("files")
    model = small_model("inference", folder, SEED=7)
    paths = {name: str(folder / f"{name}.h5") for name in ("complete", "backbone", "heads")}
    model.save_weights(paths["complete"])
    with h5py.File(paths["complete"]) as complete:
        names = [name.decode() for name in complete.attrs["layer_names"]]
        backbone = [name for name in names if name.startswith(("res", "bn"))]
        for kind, kept in (("backbone", backbone), ("heads", [name for name in names if name not in backbone])):
            with h5py.File(paths[kind], "w") as subset:
                for name in kept:
                    complete.copy(name, subset)
                subset.attrs["layer_names"] = [name.encode() for name in kept]
    return paths


def test_detection_rejects_a_file_without_heads(files, tmp_path):
    model = small_model("inference", tmp_path)
    with pytest.raises(ValueError, match=r"backbone.h5: no weights for 27 layers \(fpn_c5p5, .*\.\.\.\).*train one from this"):
        load_trained_weights(model, files["backbone"])
    load_trained_weights(model, files["complete"])


def test_layers_without_weights_are_printed_when_loading_by_name(files, tmp_path, capsys):
    model = small_model("training", tmp_path)
    report = model.load_weights(files["backbone"], by_name=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{files['backbone']}: no weights for 27 layers (fpn_c5p5, ")
    model.load_weights(files["backbone"], by_name=True, exclude=report.missing_layers)
    model.load_weights(files["complete"], by_name=True, exclude=CLASS_LAYERS)
    assert capsys.readouterr().out == ""  # no layer lacks weights except the excluded ones


def test_detection_warns_about_layers_with_random_weights(files, tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    model = small_model("inference", tmp_path)
    model.load_weights(files["backbone"], by_name=True)
    molded, metas, _ = model.mold_inputs([image])
    for detect in (lambda: model.detect([image]), lambda: model.detect_molded(molded, metas),
                   lambda: model.evaluate(shapes(1))):
        with pytest.warns(UserWarning, match=r"random weights in 27 layers \(fpn_c5p5, "):
            detect()
    model.load_weights(files["heads"], by_name=True)  # the two files together have all layers
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.detect([image])
    model = small_model("inference", tmp_path)
    model.load_weights(files["complete"], by_name=True, exclude=["mrcnn_mask"])
    with pytest.warns(UserWarning, match=r"random weights in 1 layer \(mrcnn_mask\)"):
        model.detect([image])


def test_layers_without_weights_are_also_reported_when_the_keras_model_loads(files, tmp_path, capsys):
    model = small_model("inference", tmp_path)
    model.keras_model.load_weights(files["backbone"], by_name=True)
    assert f"{files['backbone']}: no weights for 27 layers (fpn_c5p5, " in capsys.readouterr().out
    with pytest.warns(UserWarning, match=r"random weights in 27 layers \(fpn_c5p5, "):
        model.detect([np.zeros((64, 64, 3), np.uint8)])
    model.load_weights(files["heads"], by_name=True)  # the two files together have all layers
    assert model.keras_model.unloaded_layers == ()
