"""A CSV file for spreadsheets, with one row per image: the number of instances of each class, their areas and scores."""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.text import printable

# A spreadsheet executes text that begins like this as a formula.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@")


@dataclass
class ImageCounts:
    """The instances of an image, summed by class.

    Attributes:
        file_name, image_id: of the image.
        size: (height, width) in pixels; None if unknown.
        counts: number of instances by class name, without crowds.
        areas: sum of the areas of their masks in pixels.
        scores: sum of their scores; empty for annotations.
        subset: name of the subset; "" if the data set has none.
        skipped: why the image was skipped; "" if it was not.
    """

    file_name: str
    image_id: int | str
    size: tuple[int, int] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    areas: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    scores: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    subset: str = ""
    skipped: str = ""

    def add(self, class_name: str, area: float, score: float | None = None) -> None:
        """Count an instance. `area` is in pixels, `score` from 0 to 1."""
        self.counts[class_name] += 1
        self.areas[class_name] += area
        if score is not None:
            self.scores[class_name] += score


def save_counts(path: Path | str, images: Sequence[ImageCounts]) -> None:
    """Write the file.

    Its columns: subset (if there are any), file_name, image_id, height, width; instances, area and score (their mean) of all
    classes; then the same for each class that occurs, in alphabetical order; skipped. An empty cell is an unknown value, such
    as the mean score of no instances. It is UTF-8 with a byte order mark, without which spreadsheets take it for another
    encoding.
    """
    names = sorted({name for image in images for name in image.counts})
    has_scores, has_subsets = (any(getattr(image, what) for image in images) for what in ("scores", "subset"))
    measures = ("instances", "area", "score") if has_scores else ("instances", "area")
    head = ["subset"] * has_subsets + ["file_name", "image_id", "height", "width", *measures]
    head += [f"{name} {measure}" for name in names for measure in measures]
    with atomic_open(path, "w") as file:
        file.write("\ufeff")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([_cell(text) for text in [*head, "skipped"]])
        for image in images:
            about = [image.subset] * has_subsets + [image.file_name, image.image_id, *(image.size or ("", ""))]
            measured = [cell for chosen in (list(image.counts), *([name] for name in names))
                        for cell in _measures(image, chosen)[: len(measures)]]  # fmt: skip
            blank = [""] * len(measured)
            writer.writerow([_cell(value) for value in [*about, *(blank if image.skipped else measured), image.skipped]])


def _measures(image: ImageCounts, names: Sequence[str]) -> list[object]:
    """Return the number of instances of some classes, the sum of their areas, and the mean of their scores."""
    count = sum(image.counts[name] for name in names)
    score = round(sum(image.scores.get(name, 0) for name in names) / count, 4) if count else ""
    return [count, round(sum(image.areas.get(name, 0) for name in names)), score]


def _cell(value: object) -> object:
    """Return a value as it may stand in a spreadsheet: text that looks like a formula is quoted."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
