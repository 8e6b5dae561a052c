"""LOADER_PROCESSES does not change training, and no process is left running."""
import multiprocessing
import time

import keras
import pytest

from mrcnn.datasets.formats.shapes import ShapesDataset
from tests.training.small import shapes, small_model


# False passes more arrays between the processes, and is sufficient on backends that take long to compile.
@pytest.mark.parametrize("use_rpn_rois", [pytest.param(True, marks=pytest.mark.tensorflow_only), False])
def test_training_with_processes_equals_training_without_them(tmp_path, use_rpn_rois):
    histories = []
    for processes in (False, True):
        model = small_model("training", tmp_path / str(processes), LOADER_PROCESSES=processes, LOADER_WORKERS=2,
                            USE_RPN_ROIS=use_rpn_rois, VALIDATION_STEPS=2)
        histories.append(model.train(shapes(6), shapes(3, seed=1), 0.001, 2, "heads").history)
        assert not multiprocessing.active_children()
    without_processes, with_processes = histories
    for name in [name for name in without_processes if name.endswith("loss")]:
        assert with_processes[name] == pytest.approx(without_processes[name], rel=1e-5), name


class SlowShapes(ShapesDataset):
    """Shapes that load slowly after the first six images, in each process."""

    loaded, pause = 0, 4

    def load_image(self, image_id):
        self.loaded += 1
        time.sleep(self.pause if self.loaded > 6 else 0)
        return super().load_image(image_id)


@pytest.mark.parametrize("processes", [True, False])
def test_interruption_while_a_batch_is_loaded_leaves_no_process(tmp_path, processes):
    def interrupt(batch, logs=None):
        if batch == 1:
            time.sleep(1)  # TensorFlow asks for the next batch meanwhile
            raise KeyboardInterrupt("stopped by the user")

    dataset = SlowShapes()
    dataset.load_shapes(12, 64, 64, seed=0)
    dataset.prepare()
    if processes:
        dataset.pause = 15  # longer, since training does not wait for processes
    model = small_model("training", tmp_path, LOADER_PROCESSES=processes, LOADER_WORKERS=int(processes),
                        STEPS_PER_EPOCH=6)
    with pytest.raises(BaseException) as caught:
        model.train(dataset, None, 0.001, 1, "heads",
                    custom_callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)])
    assert caught.type is KeyboardInterrupt and str(caught.value) == "stopped by the user"
    assert not multiprocessing.active_children()
