"""One pass over the data gives everything that the page needs."""
import contextlib

import numpy as np
import pytest

from mrcnn.base.progress import unseen
from mrcnn.evaluation import coco
from mrcnn.tools.report import measurement as module
from mrcnn.tools.report.measurement import measure
from tests.recorded_stages import RecordedStages
from tests.tools.report.runs import FakeModel, correct, shapes


def _measure(answers, dataset, **options):
    return measure(FakeModel(answers, dataset), dataset, weights="a.h5", data="shapes", min_score=0.7, **options)


def test_metrics_equal_those_of_evaluate_and_detection_runs_once():
    dataset = shapes()
    model = FakeModel(lambda data, ix: correct(data, ix)[1:], dataset)
    measured = measure(model, dataset, weights="a.h5", data="shapes", min_score=0.7)
    assert model.detected == len(dataset.image_ids) == 4
    alone = coco.evaluate(FakeModel(model.answers, dataset).detect, dataset, batch_size=2)
    np.testing.assert_equal(measured.result.metrics, alone.metrics)
    missed = sum(len(image.missed) for image in measured.mistakes)
    assert missed == 4 and measured.result.info["instances"] == missed + sum(len(image.correct) for image in measured.mistakes)
    assert measured.confusion.names == ["background", "square", "circle", "triangle"]
    assert measured.confusion.counts[1:, 0].sum() == 4 and len(measured.worst) == 4
    assert measured.memory["process"] > 10


def test_scores_below_the_minimum_count_only_in_ap():
    measured = _measure(lambda data, ix: [(c, 0.5, mask) for c, _, mask in correct(data, ix)], shapes())
    assert measured.result.metrics["mask_AP"] == pytest.approx(1)
    counts = measured.confusion.counts
    assert counts[1:, 1:].sum() == 0 and counts[1:, 0].sum() == measured.result.info["instances"]


def test_rate_is_computed_from_the_batches_after_the_first(monkeypatch):
    clock, steps = iter([10.0, 14.0]), []

    def stages(what):
        return contextlib.nullcontext(lambda *done: steps.append(done))

    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    count = module._Clock(stages)
    with count("detecting") as show:
        show(2, 10), show(10, 10)
    with count("scoring masks") as show:
        show(3, 3)  # must not read the clock again
    assert count.rate == 2 and steps == [(2, 10), (10, 10), (3, 3)]  # eight images in four seconds
    monkeypatch.setattr(module.time, "perf_counter", lambda: 10.0)
    alone = module._Clock(unseen)
    with alone("detecting") as show:
        show(2, 2)
    assert alone.rate is None


def test_stages_are_reported():
    stages = RecordedStages()
    _measure(correct, shapes(), progress=stages)
    assert stages.names == ["detecting", "scoring masks", "scoring boxes", "looking for mistakes"]
    assert all(calls for _, calls in stages.reported)


def test_limit_on_images_without_mistakes():
    measured = _measure(correct, shapes(), limit=2)
    assert measured.result.info["images"] == 2 and measured.worst == [] and measured.images_per_second is None
