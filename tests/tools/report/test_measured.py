"""One pass over the data gives all figures of the page."""
import contextlib

import numpy as np
import pytest

from mrcnn.base.progress import unseen
from mrcnn.evaluation import coco
from mrcnn.tools.report import measured as module
from mrcnn.tools.report.measured import measure
from tests.recorded_stages import RecordedStages
from tests.tools.report.runs import FakeModel, right, shapes


def _measure(answers, dataset, **options):
    return measure(FakeModel(answers, dataset), dataset, weights="a.h5", data="shapes", min_score=0.7, **options)


def test_the_figures_are_those_of_an_evaluation_and_detection_runs_once():
    dataset = shapes()
    model = FakeModel(lambda data, ix: right(data, ix)[1:], dataset)
    found = measure(model, dataset, weights="a.h5", data="shapes", min_score=0.7)
    assert model.asked == len(dataset.image_ids) == 4
    alone = coco.evaluate(FakeModel(model.answers, dataset).detect, dataset, batch_size=2)
    np.testing.assert_equal(found.result.metrics, alone.metrics)
    missed = sum(len(image.missed) for image in found.mistakes)
    assert missed == 4 and found.result.info["instances"] == missed + sum(len(image.found) for image in found.mistakes)
    assert found.confusion.names == ["background", "square", "circle", "triangle"]
    assert found.confusion.counts[1:, 0].sum() == 4 and len(found.worst) == 4
    assert found.memory["process"] > 10


def test_scores_below_the_least_count_in_ap_alone():
    found = _measure(lambda data, ix: [(c, 0.5, mask) for c, _, mask in right(data, ix)], shapes())
    assert found.result.metrics["mask_AP"] == pytest.approx(1)
    assert found.confusion.counts[1:, 1:].sum() == 0 and found.confusion.counts[1:, 0].sum() == found.result.info["instances"]


def test_the_rate_is_of_the_batches_after_the_first(monkeypatch):
    clock, seen = iter([10.0, 14.0]), []

    def stages(what):
        return contextlib.nullcontext(lambda *done: seen.append(done))

    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    count = module._Clock(stages)
    with count("detecting") as show:
        show(2, 10), show(10, 10)
    with count("scoring masks") as show:
        show(3, 3)  # asks for no time: there is none left
    assert count.rate == 2 and seen == [(2, 10), (10, 10), (3, 3)]  # eight images in four seconds
    monkeypatch.setattr(module.time, "perf_counter", lambda: 10.0)
    alone = module._Clock(unseen)
    with alone("detecting") as show:
        show(2, 2)
    assert alone.rate is None


def test_each_part_of_the_work_is_a_stage():
    stages = RecordedStages()
    _measure(right, shapes(), progress=stages)
    assert stages.names == ["detecting", "scoring masks", "scoring boxes", "looking for mistakes"]
    assert all(calls for _, calls in stages.told)


def test_a_limit_and_no_mistakes():
    found = _measure(right, shapes(), limit=2)
    assert found.result.info["images"] == 2 and found.worst == [] and found.images_per_second is None
