"""Reading a run folder, and choosing a checkpoint."""
import subprocess
import sys

import pytest

from mrcnn.config import ConfigError
from mrcnn.tools.report.run import choose_checkpoint, read_run
from tests.shared_data import REPOSITORY
from tests.tools.report.runs import epochs, make_run


def test_complete_run_is_read(tmp_path):
    run = read_run(make_run(tmp_path))
    assert run.name == "shapes20260101T1200" and run.missing == []
    assert run.config.NUM_CLASSES == 4 and run.class_names[1] == "square" and len(run.history) == 3
    assert list(run.checkpoints) == [1, 2, 3] and run.entries[0]["layers"] == "heads"


def test_missing_files_are_reported_and_the_rest_is_read(tmp_path):
    folder = make_run(tmp_path)
    for name in ("config.json", "classes.json", "history.csv", "environment.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert [reason.split(":")[0] for reason in run.missing] == ["The configuration", "Losses and speed", "The environment"]
    assert run.config is None and run.class_names is None and run.history == [] and run.entries == []


def test_folder_that_is_not_a_run_folder_is_an_error(tmp_path):
    make_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a run folder.*Did you mean .*shapes20260101T1200"):
        read_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone: no such folder"):
        read_run(tmp_path / "gone")
    folder = make_run(tmp_path / "other")
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="config.json: cannot read the configuration"):
        read_run(folder)


def test_checkpoints_by_keyword_and_by_path(tmp_path):
    folder = make_run(tmp_path, epochs(3, val_mask_AP=[0.1, 0.5, 0.3]))
    run = read_run(folder)
    assert choose_checkpoint(run, "last").endswith("mask_rcnn_shapes_0003.h5")
    assert choose_checkpoint(run, "best").endswith("mask_rcnn_shapes_0002.h5")
    path = str(folder / "mask_rcnn_shapes_0001.h5")
    assert choose_checkpoint(run, path) == path
    (folder / "mask_rcnn_shapes_0002.h5").unlink()  # CHECKPOINTS_KEPT: the best of those that exist
    assert choose_checkpoint(read_run(folder), "best").endswith("mask_rcnn_shapes_0003.h5")


def test_unavailable_checkpoint_is_an_error(tmp_path):
    folder = make_run(tmp_path, [{"epoch": 1, "loss": 2.0}])
    with pytest.raises(FileNotFoundError, match="gone.h5: no such weight file"):
        choose_checkpoint(read_run(folder), "gone.h5")
    for path in folder.glob("*.h5"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="has no checkpoint"):
        choose_checkpoint(read_run(folder), "last")
    with pytest.raises(FileNotFoundError, match="has no checkpoint"):
        choose_checkpoint(read_run(folder), "best")


def test_page_without_metrics_does_not_import_keras(tmp_path):
    script = ("import sys; from mrcnn.cli.main import main; code = main(['report', sys.argv[1]]);"
              "print(code, sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script, make_run(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
