"""Counts and sizes of what a data set holds: images, instances, classes.

The doctor (`mrcnn.tools.doctor`) says what is wrong with data; this says what is in them.
"""

import io
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from mrcnn.base.errors import DataError
from mrcnn.base.text import printable
from mrcnn.tools.doctor.object_sizes import COCO_AREAS
from mrcnn.tools.write.summary import counted


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs.

    Attributes:
        name: str.
        instances: int. Crowds are not among them.
        images: int. Images with at least one instance, or a crowd.
        crowds: int.
    """

    name: str
    instances: int = 0
    images: int = 0
    crowds: int = 0


@dataclass
class DatasetStatistics:
    """What a data set, or a part of it, holds.

    Attributes:
        classes: list of ClassCount, in the order of the class ids; the background is none of them.
        image_sizes: int array [images, 2]. (height, width) in pixels.
        per_image: int array [images]. Instances that are no crowds.
        areas: {"small", "medium", "large": int}. Instances by the pixels of their masks, as COCO counts them.
        left_out: list of (image id, reason): images that could not be measured.
    """

    classes: list
    image_sizes: np.ndarray
    per_image: np.ndarray
    areas: dict
    left_out: list = field(default_factory=list)

    @property
    def images(self):
        """Images that were measured: int."""
        return len(self.per_image)

    @property
    def instances(self):
        """Instances that are no crowds: int."""
        return int(self.per_image.sum())

    @property
    def crowds(self):
        """Regions that stand for many instances: int."""
        return sum(count.crowds for count in self.classes)

    @property
    def without_objects(self):
        """Images without an instance: int."""
        return int((self.per_image == 0).sum())

    def summary(self):
        """All of it in a few lines: list of str."""
        lines = [f"{counted(self.images, 'image')}, {self.without_objects} without objects; "
                 + counted(self.instances, "instance") + (f", {counted(self.crowds, 'crowd')}" if self.crowds else "")]
        if self.images:
            (least_h, least_w), (most_h, most_w) = self.image_sizes.min(axis=0), self.image_sizes.max(axis=0)
            common, count = Counter(map(tuple, self.image_sizes.tolist())).most_common(1)[0]
            spread = (f"height {least_h} to {most_h}, width {least_w} to {most_w} pixels, most often {common[0]} x {common[1]} "
                      f"({counted(count, 'image')})")
            lines.append("image sizes: " + (f"all {least_h} x {least_w} pixels (height x width)" if count == self.images
                                            else spread))
        if self.instances:
            lines.append(f"instances an image: {self.per_image.min()} to {self.per_image.max()}, mean "
                         f"{self.per_image.mean():.1f}; by COCO's areas {self.areas['small']} small, "
                         f"{self.areas['medium']} medium, {self.areas['large']} large")
        return lines

    def table(self, width=110, classes=20):
        """The statistics for a terminal.

        Args:
            width: int. Characters in a line.
            classes: int. How many classes are listed, the most frequent first; the others are summed up.

        Returns:
            str of several lines.
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
        for image_id, reason in self.left_out[:10]:
            console.print(printable(f"left out: image {image_id}: {reason}"))
        if len(self.left_out) > 10:
            console.print(f"... and {len(self.left_out) - 10} more images left out")
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _class_table(counts, limit):
    """The most frequent classes, and one row for the rest."""
    present = sorted((count for count in counts if count.images), key=lambda count: -count.instances)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    crowds = any(count.crowds for count in present)
    for name in ("instances", "share", "images", *(["crowds"] if crowds else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    total, most = sum(count.instances for count in present), max(present[0].instances, 1)

    def add(name, instances, images, crowd, bar):
        share = f"{instances / max(total, 1):.1%}"
        table.add_row(name, str(instances), share, images, *([str(crowd)] if crowds else []), bar)

    for count in present[:limit]:
        bar = "#" * (max(round(20 * count.instances / most), 1) if count.instances else 0)
        add(printable(count.name), count.instances, str(count.images), count.crowds, bar)
    rest = present[limit:]
    if rest:
        add(f"{len(rest)} more classes", sum(c.instances for c in rest), "", sum(c.crowds for c in rest), "")
    return table


def dataset_statistics(dataset, image_ids=None, progress=None):
    """Count what a data set holds. No image is decoded; masks are measured one by one.

    Args:
        dataset: Dataset, prepared.
        image_ids: positions in it; None for all.
        progress: function (done, total), called after each image, or None.

    Returns:
        DatasetStatistics. An image whose annotations or size cannot be read is left out, with the reason.
    """
    image_ids = dataset.image_ids if image_ids is None else image_ids
    instances, images, crowds = Counter(), Counter(), Counter()
    sizes, per_image, areas, left_out = [], [], [], []
    for done, image_id in enumerate(image_ids, start=1):
        try:
            truth, size = dataset.ground_truth(image_id), dataset.image_size(image_id)
        except DataError as error:
            left_out.append((dataset.image_info[image_id]["id"], str(error)))
        else:
            single = [one for one in truth if not one["iscrowd"]]
            instances.update(one["class_id"] for one in single)
            crowds.update(one["class_id"] for one in truth if one["iscrowd"])
            images.update({one["class_id"] for one in truth})
            sizes.append(size)
            per_image.append(len(single))
            areas += [one["area"] for one in single]
        if progress is not None:
            progress(done, len(image_ids))
    small, medium = (int(np.sum(np.array(areas) < limit)) for limit in COCO_AREAS)
    return DatasetStatistics(
        [ClassCount(name, instances[i], images[i], crowds[i]) for i, name in enumerate(dataset.class_names) if i],
        np.array(sizes, np.int64).reshape(-1, 2), np.array(per_image, np.int64),
        {"small": small, "medium": medium - small, "large": len(areas) - medium}, left_out)
