"""Every command of the README is run once, in order, on small data with the names that the README uses.

The commands are taken from the README unchanged. Only what makes them quick is added:
- SMALL with `--set` for each command that builds a network, and LIMIT for those that evaluate one;
- training stops after an epoch of one step, regardless of `--epochs`, and TensorFlow runs eagerly;
- the published weights, a download of 250 MB, are replaced by weights of the small network.
`make` is not run here, but its targets must be in the Makefile.
"""
import dataclasses
import glob
import re
import shlex

import pytest

import mrcnn.config
from mrcnn.cli.main import main
from mrcnn.config import Config
from mrcnn.weights.catalogue import CATALOGUE, PublishedWeights
from tests.docs import readme_data
from tests.shared_data import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.S | re.M)
LINES = [line for language, text in BLOCKS if language in ("", "bash", "sh") for line in text.splitlines() if line.strip()]
COMMANDS = [line for line in LINES if line.startswith("mrcnn ")]
PYTHON = [text for language, text in BLOCKS if language == "python"]

SMALL = {
    "BACKBONE": "tiny", "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "IMAGES_PER_GPU": 1, "TOP_DOWN_PYRAMID_SIZE": 8,
    "RPN_HEAD_CHANNELS": 8, "MASK_HEAD_CHANNELS": 8, "FPN_CLASSIF_FC_LAYERS_SIZE": 8, "TRAIN_ROIS_PER_IMAGE": 4,
    "PRE_NMS_LIMIT": 20, "POST_NMS_ROIS_TRAINING": 10, "POST_NMS_ROIS_INFERENCE": 10, "DETECTION_MAX_INSTANCES": 2,
    "STEPS_PER_EPOCH": 1, "VALIDATION_STEPS": 1, "VALIDATION_AP_IMAGES": 2, "LOADER_WORKERS": 0,
}  # fmt: skip
SET = ["--set", *(f"{name}={value}" for name, value in SMALL.items())]
LIMIT = ["--limit", "1"]
ADDED = {"train": SET, "predict": SET, "evaluate": SET + LIMIT, "report": SET + LIMIT, "inspect": SET}

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.filterwarnings("ignore:Even though the `tf.config")]


def _published_weights(folder):
    """Write replacements for the COCO and the ImageNet weights, and return their paths."""
    import keras

    from mrcnn.training.mask_rcnn import MaskRCNN
    from mrcnn.weights import classic_h5
    from tests.training.small import tiny_backbone

    config = Config.from_dict({"NAME": "coco", "NUM_CLASSES": 81, **SMALL})
    classic_h5.save(MaskRCNN("inference", config, str(folder)).keras_model, folder / "coco.h5")
    image = keras.Input((64, 64, 3))
    classic_h5.save(keras.Model(image, tiny_backbone(image)[-1]), folder / "imagenet.h5")
    return folder / "coco.h5", folder / "imagenet.h5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the data, which also contains the home folder."""
    import tensorflow as tf

    from mrcnn.network import backbones
    from mrcnn.training.mask_rcnn import MaskRCNN
    from tests.training.small import tiny_backbone

    folder = tmp_path_factory.mktemp("readme")
    home = folder / "home"
    readme_data.make_coco(home / "coco")
    readme_data.make_pair(folder, home / "coco")
    readme_data.make_photographs(folder / "photographs")
    readme_data.make_images(folder)
    readme_data.make_toys(folder)
    train = MaskRCNN.train

    def one_epoch(model, *args, epochs, **kwargs):
        return train(model, *args, epochs=min(epochs, model.epoch + 1), **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(home))
        patch.setitem(backbones.BACKBONES, "tiny", tiny_backbone)
        patch.setattr(mrcnn.config_rules, "BACKBONE_NAMES", (*mrcnn.config_rules.BACKBONE_NAMES, "tiny"))
        tf.config.run_functions_eagerly(True)
        coco, imagenet = _published_weights(folder)
        patch.setattr(PublishedWeights, "fetch", lambda entry: coco)
        patch.setitem(CATALOGUE, "coco", dataclasses.replace(CATALOGUE["coco"], backbone="tiny"))
        patch.setattr(MaskRCNN, "get_imagenet_weights", lambda model: str(imagenet))
        patch.setattr(MaskRCNN, "train", one_epoch)
        yield folder
        tf.config.run_functions_eagerly(False)


def _words(line, home):
    """Split a line like a shell, and return its words and the file that the output is redirected to, or None."""
    line, _, output = line.partition(" > ")
    words = []
    for word in shlex.split(line, comments=True):
        word = word.replace("~", str(home), 1) if word.startswith("~/") else word
        words += sorted(glob.glob(word)) or [word] if "*" in word else [word]
    return words, (shlex.split(output, comments=True) or [None])[0]


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: " ".join(line.split()[1:3]))
def test_command_succeeds_and_writes_its_output(folder, line, capsys):
    words, output = _words(line, folder / "home")
    before = {path for path in folder.rglob("*") if path.is_file()}
    assert main([*words[1:], *ADDED.get(words[1], [])]) == 0, capsys.readouterr().err
    text = capsys.readouterr().out
    if output:
        (folder / output).write_text(text)
    new = {path for path in folder.rglob("*") if path.is_file()} - before
    assert new or text.strip(), "it neither wrote nor printed anything"
    for word, path in zip(words, words[1:]):
        if word in ("--output", "--output-dir", "--html", "--fix"):
            # a split writes toys_train.json and toys_val.json for toys.json
            assert any(str(written).startswith(str(folder / path.removesuffix(".json"))) for written in new), f"no {path}"


@pytest.mark.parametrize("code", PYTHON)
def test_python_example_runs(folder, code, monkeypatch, capsys):
    for name, value in SMALL.items():
        monkeypatch.setattr(Config, name, value)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["model"].epoch == 2 and set(names["result"]) == {"rois", "class_ids", "scores", "masks"}
    assert "AP50" in capsys.readouterr().out


def test_every_code_block_is_tested():
    assert {language for language, _ in BLOCKS} <= {"", "bash", "sh", "python"}, "a code block in another language"
    others = [line for line in LINES if not line.startswith(("mrcnn ", "make "))]
    assert not others, f"lines that no test runs: {others}"
    assert len(COMMANDS) >= 15 and len(COMMANDS) == len(set(COMMANDS)) and len(PYTHON) == 1


def test_named_files_exist():
    named = re.findall(r"\]\(((?!http)[^)#]+)\)", README) + re.findall(r"`((?:samples|tests|docs|benchmarks)/[\w./]+)`", README)
    named += re.findall(r"`python ([\w/.]+\.py)`", README)
    assert len(named) > 20 and not [path for path in named if not (REPOSITORY / path).exists()]


def test_picture_exists_and_is_small():
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert (REPOSITORY / picture).stat().st_size < 300_000


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", README, re.M) + re.findall(r"`make (\w+)`", README)
    assert {"demo", "test", "setup"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
