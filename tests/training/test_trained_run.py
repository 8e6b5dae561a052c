"""The best epoch of a run, and the weights that a name stands for."""
import json

import pytest

from mrcnn.training.trained_run import best_epoch, best_path, best_weights, find_trained_run, find_weights
from tests.tools.report.runs import epochs, make_run


@pytest.mark.parametrize("history, best", [
    ([], None),
    (epochs(3), (3, "val_loss", 2.0)),
    (epochs(3, val_loss=[1.0, float("nan"), 2.0]), (1, "val_loss", 1.0)),
    # AP takes precedence over the loss, and of equal values the first counts; some epochs have none
    (epochs(4, val_mask_AP=[0.1, 0.3, 0.3, 0.2]), (2, "val_mask_AP", 0.3)),
    (epochs(2, val_mask_AP=[float("nan")] * 2), (2, "val_loss", 3.0)),
    ([{"epoch": 1, "loss": 2.0}], None),
])  # fmt: skip
def test_the_best_epoch(history, best):
    assert best_epoch(history) == best


def test_the_best_epoch_among_those_with_a_checkpoint():
    history = epochs(3, val_mask_AP=[0.5, 0.2, 0.3])
    assert best_epoch(history, {2, 3}) == (3, "val_mask_AP", 0.3)
    del history[1]["val_mask_AP"]
    assert best_epoch(history, {2, 3}) == (3, "val_mask_AP", 0.3) and best_epoch(history, {2}) == (2, "val_loss", 3.0)


def test_the_best_weights_of_a_run(tmp_path):
    folder = make_run(tmp_path, epochs(3, val_mask_AP=[0.1, 0.5, 0.3]))
    assert best_weights(folder).name == "mask_rcnn_shapes_0002.h5"
    (folder / "mask_rcnn_shapes_0002.h5").unlink()  # CHECKPOINTS_KEPT: the best of those that exist
    assert best_weights(folder).name == "mask_rcnn_shapes_0003.h5"
    (folder / "history.csv").unlink()  # nothing is known of any epoch: the newest
    assert best_weights(folder).name == "mask_rcnn_shapes_0003.h5"
    best_path(folder, "Shapes").touch()
    assert best_weights(folder).name == "mask_rcnn_shapes_best.h5"
    for path in folder.glob("*.h5"):
        path.unlink()
    assert best_weights(folder) is None


def test_names_of_weights_for_detection(tmp_path):
    folder = make_run(tmp_path, epochs(3, val_mask_AP=[0.1, 0.5, 0.3]))
    assert find_weights("best", tmp_path) == find_weights(str(folder), "elsewhere") == str(folder / "mask_rcnn_shapes_0002.h5")
    assert find_weights("last", tmp_path) == str(folder / "mask_rcnn_shapes_0003.h5")
    path = str(folder / "mask_rcnn_shapes_0001.h5")
    assert find_weights(path, "elsewhere") == path
    with pytest.raises(FileNotFoundError, match="no checkpoint of 'cats'"):
        find_weights("best", tmp_path, "cats")
    with pytest.raises(FileNotFoundError, match="gone: no such weight file, and no run folder"):
        find_weights(str(tmp_path / "gone"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no run folder with checkpoints"):
        find_weights(str(tmp_path / "empty"), tmp_path)
    trained = find_trained_run("best", tmp_path)
    assert trained.weights.endswith("_0002.h5") and trained.class_names == json.loads((folder / "classes.json").read_text())
