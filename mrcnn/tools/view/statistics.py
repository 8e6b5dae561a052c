"""Counts and sizes of the images, instances and classes of a data set.

The data set doctor (`mrcnn.tools.doctor`) reports problems in the data; this describes their contents.

Shape letters: I images.
"""

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from rich import box
from rich.console import Console
from rich.table import Table

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.base.text import printable
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.boxes import Integer
from mrcnn.tools.doctor.object_sizes import COCO_AREAS
from mrcnn.tools.write.counts import ImageCounts
from mrcnn.tools.write.summary import counted


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs.

    Attributes:
        instances: number of instances, without crowds.
        images: number of images with an instance or a crowd.
    """

    name: str
    instances: int = 0
    images: int = 0
    crowds: int = 0


@dataclass
class DatasetStatistics:
    """Statistics of a data set, or of a part of it.

    Attributes:
        classes: in the order of the class ids, without the background.
        image_sizes: (height, width) in pixels.
        per_image: number of instances in each image, without crowds.
        areas: number of instances by mask area: COCO's "small", "medium" and "large".
        skipped: (image id, reason) of each image that could not be measured.
        by_image: the instances of each image, including those skipped, by class.
    """

    classes: list[ClassCount]
    image_sizes: Int[np.ndarray, "I 2"]
    per_image: Int[np.ndarray, " I"]
    areas: dict[str, int]
    skipped: list[tuple[Any, str]] = field(default_factory=list)
    by_image: list[ImageCounts] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Number of images that were measured."""
        return len(self.per_image)

    @property
    def instances(self) -> int:
        """Number of instances, without crowds."""
        return int(self.per_image.sum())

    @property
    def crowds(self) -> int:
        """Crowds."""
        return sum(count.crowds for count in self.classes)

    @property
    def without_objects(self) -> int:
        """Number of images without an instance."""
        return int((self.per_image == 0).sum())

    def summary(self) -> list[str]:
        """Summarise the statistics in a few lines."""
        lines = [f"{counted(self.images, 'image')}, {self.without_objects} without objects; "
                 + counted(self.instances, "instance") + (f", {counted(self.crowds, 'crowd')}" if self.crowds else "")]
        if self.images:
            (min_h, min_w), (max_h, max_w) = self.image_sizes.min(axis=0), self.image_sizes.max(axis=0)
            common, count = Counter(map(tuple, self.image_sizes.tolist())).most_common(1)[0]
            same = f"all {min_h} x {min_w} pixels (height x width)"
            spread = (f"height {min_h} to {max_h}, width {min_w} to {max_w} pixels, mostly {common[0]} x {common[1]} "
                      f"({counted(count, 'image')})")
            lines.append("image sizes: " + (same if count == self.images else spread))
        if self.instances:
            lines.append(f"instances per image: {self.per_image.min()} to {self.per_image.max()}, mean "
                         f"{self.per_image.mean():.1f}; by COCO area {self.areas['small']} small, "
                         f"{self.areas['medium']} medium, {self.areas['large']} large")
        return lines

    def table(self, width: int = 110, classes: int = 20) -> str:
        """Format the statistics for a terminal.

        Args:
            width: characters per line.
            classes: maximum number of classes listed, most frequent first; the others are summed up.
        """
        out = io.StringIO()
        console = Console(file=out, width=width, color_system=None, force_jupyter=False, markup=False, emoji=False)
        for line in self.summary():
            console.print(line)
        if any(count.images for count in self.classes):
            console.print(_class_table(self.classes, classes))
        absent = [printable(count.name) for count in self.classes if not count.images]
        if absent:
            console.print(f"{len(absent)} of {len(self.classes)} classes do not occur: "
                          + ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else ""))
        for image_id, reason in self.skipped[:10]:
            console.print(printable(f"skipped: image {image_id}: {reason}"))
        if len(self.skipped) > 10:
            console.print(f"... and {len(self.skipped) - 10} more images skipped")
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _class_table(counts: Iterable[ClassCount], limit: int) -> Table:
    """Make a table of the most frequent classes, with one row for the rest."""
    present = sorted((count for count in counts if count.images), key=lambda count: -count.instances)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    crowds = any(count.crowds for count in present)
    for name in ("instances", "share", "images", *(["crowds"] if crowds else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    total, max_instances = sum(count.instances for count in present), max(present[0].instances, 1)

    def add(name: str, instances: int, images: str, crowd: int, bar: str) -> None:
        share = f"{instances / max(total, 1):.1%}"
        table.add_row(name, str(instances), share, images, *([str(crowd)] if crowds else []), bar)

    for count in present[:limit]:
        bar = "#" * (max(round(20 * count.instances / max_instances), 1) if count.instances else 0)
        add(printable(count.name), count.instances, str(count.images), count.crowds, bar)
    rest = present[limit:]
    if rest:
        add(f"{len(rest)} more classes", sum(c.instances for c in rest), "", sum(c.crowds for c in rest), "")
    return table


def dataset_statistics(dataset: Dataset, image_ids: Sequence[Integer] | np.ndarray | None = None,
                       progress: Show | None = None) -> DatasetStatistics:  # fmt: skip
    """Compute the statistics of a data set. Images are not decoded, and masks are measured one at a time.

    Args:
        dataset: prepared.
        image_ids: indices in it; None for all.
        progress: called after each image.
    """
    image_ids = dataset.image_ids if image_ids is None else image_ids
    instances: Counter[int] = Counter()
    images: Counter[int] = Counter()
    crowds: Counter[int] = Counter()
    sizes: list[tuple[int, int]] = []
    per_image: list[int] = []
    areas: list[float] = []
    skipped: list[tuple[Any, str]] = []
    by_image: list[ImageCounts] = []
    for done, image_id in enumerate(image_ids, start=1):
        info = dataset.image_info[image_id]
        of_image = ImageCounts(Path(str(info["path"] or info["id"])).name, info["id"])
        by_image.append(of_image)
        try:
            truth, of_image.size = dataset.ground_truth(image_id), dataset.image_size(image_id)
        except DataError as error:
            of_image.skipped = str(error)
            skipped.append((info["id"], str(error)))
        else:
            single = [row for row in truth if not row["iscrowd"]]
            instances.update(row["class_id"] for row in single)
            crowds.update(row["class_id"] for row in truth if row["iscrowd"])
            images.update({row["class_id"] for row in truth})
            sizes.append(of_image.size)
            per_image.append(len(single))
            areas += [row["area"] for row in single]
            for row in single:
                of_image.add(dataset.class_names[row["class_id"]], row["area"])
        if progress is not None:
            progress(done, len(image_ids))
    small, medium = (int(np.sum(np.array(areas) < limit)) for limit in COCO_AREAS)
    return DatasetStatistics(
        [ClassCount(name, instances[i], images[i], crowds[i]) for i, name in enumerate(dataset.class_names) if i],
        np.array(sizes, np.int64).reshape(-1, 2), np.array(per_image, np.int64),
        {"small": small, "medium": medium - small, "large": len(areas) - medium}, skipped, by_image)
