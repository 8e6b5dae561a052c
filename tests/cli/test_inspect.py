"""`mrcnn inspect`, with a small network."""
import json

import pytest
import skimage.io

from mrcnn.cli.main import main
from tests.training.small import shapes, small_model

SMALL = ["--set", "IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64", "MAX_GT_INSTANCES=5", "TRAIN_ROIS_PER_IMAGE=20"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run folder with random weights."""
    folder = tmp_path_factory.mktemp("logs") / "small20260101T1200"
    folder.mkdir()
    model = small_model("inference", folder.parent, BACKBONE="compact", RPN_ANCHOR_SCALES=(8, 16, 32, 64, 128))
    model.save_weights(str(folder / "mask_rcnn_small_0001.h5"))
    model.config.save(folder / "config.json")
    (folder / "classes.json").write_text(json.dumps(["BG", "square", "circle", "triangle"]))
    return folder


def test_inspect_data_prints_tensors_and_writes_figures(tmp_path, capsys):
    assert main(["inspect", "data", "shapes", "--limit", "3", "--batch", "2", "--output", str(tmp_path / "out"), *SMALL]) == 0
    printed = capsys.readouterr().out
    for line in ("anchors                  shape: (1023, 4)", "level 4:       3 anchors of 128 pixels on a map of 1 x 1",
                 "mrcnn_mask               shape: (2, 20, 28, 28, 4)", "positive ROIs: 0.300 of 20 on average over 3 images"):
        assert line in printed
    assert len(list((tmp_path / "out").glob("data_*.png"))) == 8


def test_inspect_model_prints_stages_and_writes_figures(run_folder, tmp_path, capsys):
    photo, output = tmp_path / "photo.png", tmp_path / "out"
    skimage.io.imsave(photo, shapes(1).load_image(0), check_contrast=False)
    arguments = [str(photo), "--weights", str(run_folder), "--layers", "fpn_p2", "--output", str(output)]
    assert main(["inspect", "model", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "anchors                  shape: (1023, 4)" in printed and "proposals: " in printed and "fpn_p2" in printed
    assert len(list(output.glob("model_*.png"))) == 8


def test_inspect_weights_prints_a_table_and_writes_figures(run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # a pipe has no width, so no name is wrapped
    assert main(["inspect", "weights", "--weights", str(run_folder), "--layers", "fpn_p[23]", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "fpn_p2/kernel" in printed and "fpn_p2/bias" not in printed and "weights: 4; as initialised: 2" in printed
    assert (tmp_path / "weights_kernels.png").is_file()
    assert main(["inspect", "weights", "--weights", str(run_folder), "--layers", "rpn_conv.*", "--all"]) == 0
    assert "rpn_conv_shared/bias" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, printed", [
    (["data", "shapes", "--limit", "2", "--image", "2", *SMALL], "--image 2: the data set has 2 images, counted from 0"),
    (["model", "no.jpg", "--weights", "logs"], "no.jpg"),
    (["weights", "--weights", "nowhere"], "nowhere: no such weight file"),
])  # fmt: skip
def test_error_is_one_line(arguments, printed, capsys):
    assert main(["inspect", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mrcnn inspect: error: ") and printed in line


def test_unknown_layer_is_an_error(run_folder, capsys):
    assert main(["inspect", "weights", "--weights", str(run_folder), "--layers", "nothing"]) == 2
    assert "--layers nothing: no layer with weights matches" in capsys.readouterr().err
