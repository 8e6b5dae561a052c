"""Detection from several threads, and in processes that were forked."""
import os
import threading
import time

import numpy as np
import pytest

from tests.training.small import shapes, small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model("inference", tmp_path_factory.mktemp("logs"), IMAGE_MIN_DIM=128, IMAGE_MAX_DIM=128)


def test_threads_that_start_together_share_one_model_and_find_the_same(model):
    images = [shapes(4, 128, 128).load_image(ix) for ix in range(4)]
    results, predictors, errors = {}, set(), []
    barrier = threading.Barrier(8)

    def detect(thread):
        try:
            barrier.wait()
            for turn in range(3):
                results[thread, turn] = model.detect([images[(thread + turn) % 4]])[0]
            predictors.add(id(model.predictor))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=detect, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(predictors) == 1 and len(results) == 24
    expected = [model.detect([image])[0] for image in images]
    for (thread, turn), result in results.items():
        np.testing.assert_array_equal(result["rois"], expected[(thread + turn) % 4]["rois"])
        np.testing.assert_allclose(result["scores"], expected[(thread + turn) % 4]["scores"], atol=1e-6)


def _answer_of_a_forked_child(call):
    """Run a function in a forked child; return the error that it raises as text, and the seconds it took."""
    reading, writing = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if not child:
        try:
            call()
            text = "no error"
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        text = answers.read().decode()
    os.waitpid(child, 0)
    return text, time.perf_counter() - started


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
def test_a_forked_child_says_at_once_that_it_cannot_detect(model, tmp_path):
    dataset = shapes(1, 128, 128)
    image = dataset.load_image(0)
    model.detect([image])
    model.save_weights(tmp_path / "w.h5")
    for call in (lambda: model.detect([image]), lambda: small_model("inference", tmp_path), lambda: model.evaluate(dataset),
                 lambda: model.load_weights(tmp_path / "w.h5"), lambda: model.full_predictor):  # fmt: skip
        text, seconds = _answer_of_a_forked_child(call)
        assert text.startswith("RuntimeError: this process was forked") and 'get_context("spawn")' in text
        assert seconds < 5
