"""Dividing a data set into train, val and test subsets, or into folds: by image or by group, stratified by class, and
reproducible from a seed.

Source: K. Sechidis, G. Tsoumakas and I. Vlahavas, On the Stratification of Multi-Label Data, 2011: iterative
stratification. Differs: groups of images are assigned, large groups first, and no subset stays empty.

Shape letters: H W image.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from typing import Any, cast

import numpy as np
from jaxtyping import Bool

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show
from mrcnn.datasets.dataset import Dataset, instances_of
from mrcnn.geometry.boxes import Integer, Number

# a key of `image_info`, or a function of its dict
Group = str | Callable[[Mapping[str, Any]], Hashable]


def split_images(
    dataset: Dataset,
    fractions: Mapping[Any, Number],
    *,
    group: Group | None = None,
    stratify: bool = True,
    seed: int = 0,
    progress: Show | None = None,
) -> dict[Any, list[int]]:
    """Divide the images of a data set into named subsets.

    Args:
        dataset: prepared.
        fractions: name of a subset -> its fraction of the images, above 0. The sum is 1, as in {"train": 0.8, "val": 0.2}.
        group: what the images of a group have in common; groups are not divided. A key of `image_info`, or a function
            (dict of an image) -> group; None treats each image as a group.
        stratify: True gives each subset its fraction of the images of every class, as far as possible; an image counts once
            for each class in it. The instances of all images are loaded.
        seed: seed of the division.
        progress: called after each image that is loaded.

    Returns:
        Name of a subset -> indices of its images in the data set, ascending. No subset is empty.

    Raises:
        DataError: there are fewer images, or groups, than subsets, or an image lacks the key.
        ValueError: a fraction is not above 0, or their sum is not 1.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"the fractions of the subsets must be above 0, and their sum must be 1: they are {fractions}")
    units = _units(dataset, group)
    if len(units) < len(fractions):
        kind = "images" if group is None else "groups of images"
        raise DataError(f"{len(units)} {kind} cannot be divided into {len(fractions)} subsets")
    counts = _count_classes(dataset, units, progress) if stratify else [Counter() for _ in units]
    places = _distribute(counts, [len(unit) for unit in units], list(fractions.values()), np.random.default_rng(seed))
    return {
        name: sorted(i for unit, place in zip(units, places) if place == part for i in unit)
        for part, name in enumerate(fractions)
    }


def k_fold(
    dataset: Dataset,
    folds: int,
    *,
    group: Group | None = None,
    stratify: bool = True,
    seed: int = 0,
    progress: Show | None = None,
) -> list[tuple[list[int], list[int]]]:
    """Divide the images of a data set for cross-validation.

    Args:
        dataset: prepared.
        folds: number of folds, at least 2.
        group: see `split_images`.
        stratify: see `split_images`.
        seed: see `split_images`.
        progress: see `split_images`.

    Returns:
        `folds` pairs (indices of training images, indices of validation images). Each image is used for validation once.

    Raises:
        DataError: there are fewer images, or groups, than folds.
        ValueError: fewer than two folds.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least two folds, not {folds}")
    fractions = {fold: 1 / folds for fold in range(folds)}
    parts = split_images(dataset, fractions, group=group, stratify=stratify, seed=seed, progress=progress)
    return [(sorted(i for other in parts if other != fold for i in parts[other]), parts[fold]) for fold in parts]


def group_by_id(pattern: str) -> Callable[[Mapping[str, Any]], Hashable]:
    """Return a `group` for `split_images` that groups images by a regular expression for their ids.

    Args:
        pattern: images whose ids have the same match (or the same first capture group, if there is one) form a group; an
            image whose id does not match is a group of its own.

    Raises:
        ValueError: `pattern` is not a regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error

    def group_of(info: Mapping[str, Any]) -> Hashable:
        match = compiled.search(str(info["id"]))
        if not match:
            return "alone", str(info["id"])
        return "matched", match[1] if compiled.groups and match[1] is not None else match[0]

    return group_of


def _units(dataset: Dataset, group: Group | None) -> list[list[int]]:
    """Return the indices of the images of each group, in the order of the first images of the groups."""
    units: dict[Hashable, list[int]] = {}
    for image_id, info in enumerate(dataset.image_info):
        key: Hashable
        if group is None:
            key = image_id
        elif callable(group):
            key = group(info)
        elif group in info:
            key = info[group]
        else:
            raise DataError(f"image {image_id} (id {info['id']!r}) has no {group!r} to group by; it has {', '.join(info)}")
        units.setdefault(key, []).append(image_id)
    return list(units.values())


def _count_classes(dataset: Dataset, units: Sequence[Sequence[int]], progress: Show | None) -> list[Counter[int]]:
    """For each unit, count the images that contain each class."""
    counts, done = [], 0
    for unit in units:
        count: Counter[int] = Counter()
        for image_id in unit:
            count.update(classes_on(dataset, image_id))
            done += 1
            if progress is not None:
                progress(done, len(dataset.image_info))
        counts.append(count)
    return counts


def classes_on(dataset: Any, image_id: Integer) -> Set[int]:
    """Return the classes in an image, including those of crowds.

    Returns none if the instances cannot be loaded; the error is reported when the image is used.
    """
    try:
        _, class_ids = instances_of(dataset, image_id)
    except DataError:
        return set()
    return {abs(int(class_id)) for class_id in class_ids}


def _distribute(
    counts: Sequence[Counter[int]], sizes: Sequence[int], fractions: Sequence[Number], rng: np.random.Generator
) -> list[int]:
    """Assign units to subsets, the rarest class first.

    Args:
        counts: for each unit: class -> number of images of the unit that contain it.
        sizes: number of images of each unit.
        fractions: fraction of each subset.
        rng: breaks ties.

    Returns:
        The subset of each unit.
    """
    left = sum(counts, Counter[int]())  # class -> images that are not assigned yet
    wanted = [{c: fraction * n for c, n in left.items()} for fraction in fractions]
    room = [fraction * sum(sizes) for fraction in fractions]
    rank = rng.permutation(len(counts))
    places = [-1] * len(counts)
    by_class: dict[int, list[int]] = {}
    for unit, count in enumerate(counts):
        for c in count:
            by_class.setdefault(c, []).append(unit)

    def place(units: Iterable[int], class_id: int | None) -> None:
        """Place units by the number of their images that contain a class, or of all their images."""

        def weight(unit: int) -> int:
            return sizes[unit] if class_id is None else counts[unit][class_id]

        def demand(part: int) -> tuple[float, ...]:
            needs = [room[part]] if class_id is None else [wanted[part][class_id], room[part]]
            return *(round(float(v), 9) for v in needs), -part

        # large units first: small ones still fit in what is left
        for unit in sorted(units, key=lambda u: (-weight(u), rank[u])):
            if places[unit] < 0:
                part = max(range(len(fractions)), key=demand)
                places[unit] = part
                room[part] -= sizes[unit]
                for c, n in counts[unit].items():
                    wanted[part][c] -= n
                    left[c] -= n

    while by_class:
        rarest = min(by_class, key=lambda c: (left[c], c))
        place(by_class.pop(rarest), rarest)
    place(range(len(counts)), None)
    _fill_empty(places, sizes, rank, len(fractions))
    return places


def _fill_empty(places: list[int], sizes: Sequence[int], rank: Sequence[int] | np.ndarray, num_parts: int) -> None:
    """Give each empty subset the smallest unit of the subset that has the most."""
    for part in range(num_parts):
        if part not in places:
            most = Counter(places).most_common(1)[0][0]
            unit = min((u for u, place in enumerate(places) if place == most), key=lambda u: (sizes[u], rank[u]))
            places[unit] = part


def subset_of(dataset: Dataset, image_ids: Iterable[Integer]) -> "DatasetView":
    """Return a selection of images as a data set.

    Image k of the result is image `image_ids[k]` of the data set; its classes are those of the data set.

    Args:
        dataset: prepared.
        image_ids: indices in the data set.
    """
    return DatasetView(dataset, image_ids)


def shared_images(first: Dataset, second: Dataset) -> list[str]:
    """Return the files of the second data set that are also in the first. Images without a file are ignored."""
    paths = {os.path.abspath(info["path"]) for info in first.image_info if info["path"]}
    return [str(info["path"]) for info in second.image_info if info["path"] and os.path.abspath(info["path"]) in paths]


class DatasetView(Dataset):
    """A selection of images of another data set, which loads them. It needs no `prepare`.

    Attributes:
        base: the other data set.
        base_ids: the index of each image in the other data set.
    """

    def __init__(self, base: Dataset, image_ids: Iterable[Integer]) -> None:
        """Create the view.

        Args:
            base: prepared.
            image_ids: indices in `base`.
        """
        super().__init__()
        self.base, self.base_ids = base, [int(i) for i in image_ids]
        self.prepare()

    def prepare(self, class_map: Mapping[str, str] | None = None) -> None:
        """Copy classes and images from the other data set again. Classes are merged there: class_map must be None."""
        if class_map:
            raise ValueError("a view cannot merge classes: pass class_map to prepare() of the data set itself")
        base = self.base
        self.image_info = [base.image_info[i] for i in self.base_ids]
        self.class_info, self.num_classes, self.class_ids = base.class_info, base.num_classes, base.class_ids
        self.class_names, self.class_from_source_map = base.class_names, base.class_from_source_map
        self.sources, self.source_class_ids = base.sources, base.source_class_ids
        self.num_images = len(self.base_ids)
        self._image_ids = np.arange(self.num_images)
        self.image_from_source_map = {f"{info['source']}.{info['id']}": i for i, info in enumerate(self.image_info)}

    @property
    def skipped(self) -> list[tuple[Any, str]]:
        """(where, reason) of what the reader of the other data set skipped."""
        return getattr(self.base, "skipped", [])

    @property
    def notes(self) -> list[tuple[Any, str]]:
        """Notes of the reader of the other data set: (where, note)."""
        return getattr(self.base, "notes", [])

    def skip(self, where: Any, reason: str) -> None:
        """See `AnnotatedDataset.skip`."""
        cast(Any, self.base).skip(where, reason)

    def load_image(self, image_id: Integer) -> Any:
        """See `Dataset.load_image`."""
        return self.base.load_image(self.base_ids[image_id])

    def load_mask(self, image_id: Integer) -> tuple[Any, Any]:
        """See `Dataset.load_mask`."""
        return self.base.load_mask(self.base_ids[image_id])

    def load_instances(self, image_id: Integer) -> tuple[Any, Any]:
        """See `Dataset.load_instances`."""
        return instances_of(self.base, self.base_ids[image_id])

    def coverage(self, image_id: Integer) -> tuple[Set[int], Set[int]] | None:
        """See `Dataset.coverage`."""
        return self.base.coverage(self.base_ids[image_id])

    def ignored_pixels(self, image_id: Integer) -> Bool[np.ndarray, "H W"] | None:
        """See `Dataset.ignored_pixels`."""
        return self.base.ignored_pixels(self.base_ids[image_id])

    def num_instances(self, image_id: Integer) -> int | None:
        """See `Dataset.num_instances`."""
        return self.base.num_instances(self.base_ids[image_id])

    def image_size(self, image_id: Integer) -> tuple[int, int]:
        """See `Dataset.image_size`."""
        return self.base.image_size(self.base_ids[image_id])

    def unclear_orientation(self, image_id: Integer) -> int:
        """See `Dataset.unclear_orientation`."""
        return self.base.unclear_orientation(self.base_ids[image_id])

    def is_rotated(self, image_id: Integer) -> bool:
        """See `Dataset.is_rotated`."""
        return self.base.is_rotated(self.base_ids[image_id])

    def ground_truth(self, image_id: Integer) -> list[dict[str, Any]]:
        """See `Dataset.ground_truth`."""
        return self.base.ground_truth(self.base_ids[image_id])

    def image_reference(self, image_id: Integer) -> str:
        """See `Dataset.image_reference`."""
        return self.base.image_reference(self.base_ids[image_id])

    def source_image_link(self, image_id: Integer) -> Any:
        """See `Dataset.source_image_link`."""
        return self.base.source_image_link(self.base_ids[image_id])
