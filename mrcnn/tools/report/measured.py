"""One pass of a model over a data set, and all that the report makes of it."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from mrcnn.base.progress import unseen
from mrcnn.evaluation.mistakes import confusion_matrix, find_mistakes, worst_images
from mrcnn.training.environment import peak_device_memory, peak_memory

WORST = 20
IOU = 0.5


@dataclass
class Measured:
    """An evaluation with what was mistaken in it.

    Attributes:
        weights: str. The weights, as the page is to name them.
        data: str. The data set, likewise.
        result: CocoResult, the same as `mrcnn evaluate` gives.
        dataset: Dataset, for the pictures.
        min_score: float. Least score of a detection in `mistakes`.
        mistakes: list of ImageMistakes at an IoU of IOU.
        images_per_second: float. With reading the images, after the first batch, in which the model is compiled; None
            where one batch was all.
        memory: dict "process" or "device" -> float. The most that was in use, in MiB, as far as the system tells.
    """

    weights: str
    data: str
    result: object
    dataset: object
    min_score: float
    mistakes: list
    images_per_second: float | None = None
    memory: dict = field(default_factory=dict)

    @property
    def worst(self):
        """The images with the most mistakes: list of ImageMistakes, WORST at most."""
        return worst_images(self.mistakes, WORST)

    @property
    def confusion(self):
        """The confusion matrix: Confusion."""
        names = {figures["class_id"]: name for name, figures in self.result.per_class.items()}
        return confusion_matrix(self.mistakes, ["background", *(names[ix] for ix in sorted(names))])


class _Clock:
    """Counts images a second from the end of the first batch on, as a maker of stages that passes on what it is told.

    The images are those of the first stage.
    """

    def __init__(self, progress):
        self.progress, self.first, self.last = progress, None, None

    @contextmanager
    def __call__(self, what):
        with self.progress(what) as show:

            def tell(done, total):
                self.last = done, time.perf_counter()
                self.first = self.first or self.last
                if show is not None:
                    show(done, total)

            yield tell if self.first is None else show

    @property
    def rate(self):
        (before, began), (after, ended) = self.first, self.last
        return (after - before) / (ended - began) if after > before else None


def measure(model, dataset, *, weights, data, min_score, limit=None, progress=None):
    """Evaluate a model, and hold its detections against the objects.

    Args:
        model: MaskRCNN with its weights. Detections from its DETECTION_MIN_CONFIDENCE on count in the evaluation.
        dataset: Dataset, prepared.
        weights, data: str. Names for the page.
        min_score: float. Least score of a detection in the confusion matrix and in the worst images.
        limit: int or None. Only the first so many images.
        progress: maker of stages (`mrcnn.base.progress`): those of `evaluation.coco.evaluate`, and "looking for mistakes"; or
            None.

    Returns:
        Measured.
    """
    progress = progress or unseen
    clock = _Clock(progress)
    result = model.evaluate(dataset, limit=limit, progress=clock, min_confidence=model.config.DETECTION_MIN_CONFIDENCE)
    memory = {"process": peak_memory(), "device": peak_device_memory()}
    with progress("looking for mistakes") as show:
        mistakes = find_mistakes(result.truth, result.rows, min_score=min_score, iou_threshold=IOU, coverage=dataset.coverage,
                                 progress=show)
    return Measured(weights, data, result, dataset, min_score, mistakes, clock.rate,
                    {name: value for name, value in memory.items() if value is not None})  # fmt: skip
