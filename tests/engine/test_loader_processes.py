"""LOADER_PROCESSES: the same training, and no process is left behind."""
import multiprocessing

import pytest

from tests.engine.small import shapes, small_model


@pytest.mark.parametrize("use_rpn_rois", [True, False])
def test_training_with_processes_is_training_without(tmp_path, use_rpn_rois):
    histories = []
    for processes in (False, True):
        model = small_model("training", tmp_path / str(processes), LOADER_PROCESSES=processes, LOADER_WORKERS=2,
                            USE_RPN_ROIS=use_rpn_rois, VALIDATION_STEPS=2)
        histories.append(model.train(shapes(6), shapes(3, seed=1), 0.001, 2, "heads").history)
        assert not multiprocessing.active_children()
    plain, with_processes = histories
    for name in [name for name in plain if name.endswith("loss")]:
        assert with_processes[name] == pytest.approx(plain[name], rel=1e-5), name
