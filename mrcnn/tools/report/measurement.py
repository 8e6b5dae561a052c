"""An evaluation of a model on a data set, with everything the report derives from it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mrcnn.base.progress import Show, Stages, unseen
from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation.coco import CocoResult
from mrcnn.evaluation.mistakes import Confusion, ImageMistakes, confusion_matrix, find_mistakes, worst_images
from mrcnn.training.runs import peak_device_memory, peak_memory

# maximum number of worst images shown
WORST = 20
# minimum IoU at which a detection matches an object
IOU = 0.5


@dataclass
class Measurement:
    """An evaluation and the detector's mistakes.

    Attributes:
        weights, data: names of the weights and the data set, for the page.
        result: the same as from `mrcnn evaluate`.
        dataset: for the pictures.
        min_score: minimum score of a detection in `mistakes`.
        mistakes: at an IoU threshold of IOU.
        images_per_second: including reading the images, without the first batch, in which the model is compiled; None if
            there was only one batch.
        memory: peak memory in MiB of "process" and "device", if known.
    """

    weights: str
    data: str
    result: CocoResult
    dataset: Dataset
    min_score: float | int
    mistakes: list[ImageMistakes]
    images_per_second: float | None = None
    memory: dict[str, float | int] = field(default_factory=dict)

    @property
    def worst(self) -> list[ImageMistakes]:
        """The images with the most mistakes, at most WORST."""
        return worst_images(self.mistakes, WORST)

    @property
    def confusion(self) -> Confusion:
        """The confusion matrix."""
        names = {metrics["class_id"]: name for name, metrics in self.result.per_class.items()}
        return confusion_matrix(self.mistakes, ["background", *(names[ix] for ix in sorted(names))])


class _Clock:
    """Progress stages that measure images per second in the first stage, from the end of its first batch."""

    def __init__(self, progress: Stages) -> None:
        self.progress = progress
        self.first: tuple[int, float] | None = None
        self.last: tuple[int, float] | None = None

    @contextmanager
    def __call__(self, what: str) -> Iterator[Show | None]:
        with self.progress(what) as show:

            def timed(done: int, total: int) -> None:
                self.last = done, time.perf_counter()
                self.first = self.first or self.last
                if show is not None:
                    show(done, total)

            yield timed if self.first is None else show

    @property
    def rate(self) -> float | None:
        """Images per second; None after a single batch."""
        if self.first is None or self.last is None:
            return None
        (before, start), (after, end) = self.first, self.last
        return (after - before) / (end - start) if after > before else None


def measure(model: Any, dataset: Dataset, *, weights: str, data: str, min_score: float | int, limit: int | None = None,
            min_confidence: float | None = None, progress: Stages | None = None) -> Measurement:  # fmt: skip
    """Evaluate a model, and find its mistakes.

    Args:
        model: MaskRCNN with loaded weights.
        dataset: prepared.
        weights, data: names for the page.
        min_score: minimum score of a detection in the confusion matrix and in the worst images.
        limit: evaluates only the first images, up to this number.
        min_confidence: minimum score of a detection in the evaluation; None uses DETECTION_MIN_CONFIDENCE of the model.
        progress: the stages of `evaluation.coco.evaluate`, and "looking for mistakes".
    """
    progress = progress or unseen
    clock = _Clock(progress)
    if min_confidence is None:
        min_confidence = model.config.DETECTION_MIN_CONFIDENCE
    result = model.evaluate(dataset, limit=limit, progress=clock, min_confidence=min_confidence)
    memory = {"process": peak_memory(), "device": peak_device_memory()}
    with progress("looking for mistakes") as show:
        mistakes = find_mistakes(result.truth, result.rows, min_score=min_score, iou_threshold=IOU, coverage=dataset.coverage,
                                 progress=show)
    return Measurement(weights, data, result, dataset, min_score, mistakes, clock.rate,
                       {name: value for name, value in memory.items() if value is not None})  # fmt: skip
