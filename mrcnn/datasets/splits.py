"""Dividing a data set into parts for training, validation and testing, or into folds: by image or by group, with each
class in its share, and the same for the same seed.

Source: K. Sechidis, G. Tsoumakas and I. Vlahavas, On the Stratification of Multi-Label Data, 2011: iterative
stratification. Differs: units are groups of images, larger ones are placed first, and no part is left empty.
"""

import re
from collections import Counter

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset, instances_of


def split_images(dataset, shares, *, group=None, stratify=True, seed=0, progress=None):
    """Divide the images of a data set into named parts.

    Args:
        dataset: Dataset, prepared.
        shares: dict name of a part -> share of the images, above 0; together 1. Such as {"train": 0.8, "val": 0.2}.
        group: what a unit is that never crosses parts: a key of `image_info`, or a function (its dict) -> group, any
            hashable value; None for each image by itself.
        stratify: bool. True gives each part its share of the images of every class, as far as that is possible; an
            image counts once for each class on it. It loads the instances of all images.
        seed: int. Another seed gives another division.
        progress: callable (images looked at, images in all), or None.

    Returns:
        dict name of a part -> ascending list of image ids (positions in the data set). None is empty.

    Raises:
        DataError: there are fewer images, or groups, than parts, or an image has no such key.
        ValueError: the shares are not above 0, or not together 1.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"the shares of the parts must be above 0 and together 1, and are {shares}")
    units = _units(dataset, group)
    if len(units) < len(shares):
        kind = "images" if group is None else "groups of images"
        raise DataError(f"{len(units)} {kind} cannot be divided into {len(shares)} parts")
    counts = _count_classes(dataset, units, progress) if stratify else [Counter() for _ in units]
    places = _distribute(counts, [len(unit) for unit in units], list(shares.values()), np.random.default_rng(seed))
    return {
        name: sorted(i for unit, place in zip(units, places) if place == part for i in unit)
        for part, name in enumerate(shares)
    }


def k_fold(dataset, folds, *, group=None, stratify=True, seed=0, progress=None):
    """Divide the images of a data set for cross-validation. Args: folds: int >= 2; the others: see `split_images`.

    Returns:
        list of `folds` pairs (ids to train on, ids to validate on). Each image is in one of the latter.

    Raises:
        DataError: there are fewer images, or groups, than folds.
        ValueError: fewer than two folds.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs two folds at least, and {folds} were asked for")
    shares = {fold: 1 / folds for fold in range(folds)}
    parts = split_images(dataset, shares, group=group, stratify=stratify, seed=seed, progress=progress)
    return [(sorted(i for other in parts if other != fold for i in parts[other]), parts[fold]) for fold in parts]


def group_by_id(pattern):
    """Make a `group` for `split_images` out of a regular expression that tells the group of an image from its id.

    Args:
        pattern: str. Images whose ids agree in what it matches (in its first group, if it has one) belong together; an
            image whose id it does not match is by itself.

    Returns:
        function (image_info dict) -> group.

    Raises:
        ValueError: it is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error

    def group_of(info):
        found = compiled.search(str(info["id"]))
        if not found:
            return "alone", str(info["id"])
        return "matched", found[1] if compiled.groups and found[1] is not None else found[0]

    return group_of


def _units(dataset, group):
    """Collect the images that stay together: list of lists of image ids, in the order of their first images."""
    units = {}
    for image_id, info in enumerate(dataset.image_info):
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


def _count_classes(dataset, units, progress):
    """Count for each unit the images that each class is on: list of Counter."""
    counts, done = [], 0
    for unit in units:
        count = Counter()
        for image_id in unit:
            count.update(classes_on(dataset, image_id))
            done += 1
            if progress is not None:
                progress(done, len(dataset.image_info))
        counts.append(count)
    return counts


def classes_on(dataset, image_id):
    """Tell which classes are on an image, crowds too. Args: dataset: Dataset; image_id: int.

    Returns:
        set of int > 0. Empty where the instances cannot be loaded: whoever uses the image is told then.
    """
    try:
        _, class_ids = instances_of(dataset, image_id)
    except DataError:
        return set()
    return {abs(int(class_id)) for class_id in class_ids}


def _distribute(counts, sizes, shares, rng):
    """Place units in parts, the rarest class first.

    Args:
        counts: list of Counter, class -> images of the unit that it is on.
        sizes: list of int, images of the unit.
        shares: list of float.
        rng: numpy Generator.

    Returns:
        list of int. The part of each unit.
    """
    left = sum(counts, Counter())  # class -> images whose part is open
    wanted = [{c: share * n for c, n in left.items()} for share in shares]
    room = [share * sum(sizes) for share in shares]
    rank = rng.permutation(len(counts))
    places = [None] * len(counts)
    by_class = {}
    for unit, count in enumerate(counts):
        for c in count:
            by_class.setdefault(c, []).append(unit)

    def place(units, weight, wish):
        # large units first: small ones still fit in what is left
        for unit in sorted(units, key=lambda u: (-weight(u), rank[u])):
            if places[unit] is None:
                part = max(range(len(shares)), key=lambda p: (*(round(v, 9) for v in wish(p)), -p))
                places[unit] = part
                room[part] -= sizes[unit]
                for c, n in counts[unit].items():
                    wanted[part][c] -= n
                    left[c] -= n

    while by_class:
        rarest = min(by_class, key=lambda c: (left[c], c))
        place(by_class.pop(rarest), lambda u, c=rarest: counts[u][c], lambda p, c=rarest: (wanted[p][c], room[p]))
    place(range(len(counts)), lambda u: sizes[u], lambda p: (room[p],))
    _fill_empty(places, sizes, rank, len(shares))
    return places


def _fill_empty(places, sizes, rank, num_parts):
    """Give each part without a unit the smallest one of the part that has most."""
    for part in range(num_parts):
        if part not in places:
            most = Counter(places).most_common(1)[0][0]
            unit = min((u for u, place in enumerate(places) if place == most), key=lambda u: (sizes[u], rank[u]))
            places[unit] = part


def subset_of(dataset, image_ids):
    """Give some images of a data set as a data set. Args: dataset: Dataset, prepared; image_ids: positions in it.

    Returns:
        DatasetView. Its image k is image `image_ids[k]`; classes and their numbers are those of the data set.
    """
    return DatasetView(dataset, image_ids)


class DatasetView(Dataset):
    """Some images of another data set, which does all the work. It needs no `prepare`.

    Attributes:
        base: Dataset. The other one.
        base_ids: list of int. The position of each image in it.
    """

    def __init__(self, base, image_ids):
        """Make the view. Args: base: Dataset, prepared; image_ids: positions in it."""
        super().__init__()
        self.base, self.base_ids = base, [int(i) for i in image_ids]
        self.prepare()

    def prepare(self, class_map=None):
        """Take classes and images from the other data set once more. Classes are merged there: class_map must be None."""
        if class_map:
            raise ValueError("classes are merged by prepare() of the data set itself, not of some images of it")
        base = self.base
        self.image_info = [base.image_info[i] for i in self.base_ids]
        self.class_info, self.num_classes, self.class_ids = base.class_info, base.num_classes, base.class_ids
        self.class_names, self.class_from_source_map = base.class_names, base.class_from_source_map
        self.sources, self.source_class_ids = base.sources, base.source_class_ids
        self.num_images = len(self.base_ids)
        self._image_ids = np.arange(self.num_images)
        self.image_from_source_map = {f"{info['source']}.{info['id']}": i for i, info in enumerate(self.image_info)}

    @property
    def skipped(self):
        """What the reader of the other data set left out: list of (where, reason)."""
        return getattr(self.base, "skipped", [])

    @property
    def notes(self):
        """Notes of the reader of the other data set: list of (where, note)."""
        return getattr(self.base, "notes", [])

    def skip(self, where, reason):
        """See `AnnotatedDataset.skip`."""
        self.base.skip(where, reason)

    def load_image(self, image_id):
        """See `Dataset.load_image`."""
        return self.base.load_image(self.base_ids[image_id])

    def load_mask(self, image_id):
        """See `Dataset.load_mask`."""
        return self.base.load_mask(self.base_ids[image_id])

    def load_instances(self, image_id):
        """See `Dataset.load_instances`."""
        return instances_of(self.base, self.base_ids[image_id])

    def coverage(self, image_id):
        """See `Dataset.coverage`."""
        return self.base.coverage(self.base_ids[image_id])

    def ignored_pixels(self, image_id):
        """See `Dataset.ignored_pixels`."""
        return self.base.ignored_pixels(self.base_ids[image_id])

    def num_instances(self, image_id):
        """See `Dataset.num_instances`."""
        return self.base.num_instances(self.base_ids[image_id])

    def image_size(self, image_id):
        """See `Dataset.image_size`."""
        return self.base.image_size(self.base_ids[image_id])

    def ground_truth(self, image_id):
        """See `Dataset.ground_truth`."""
        return self.base.ground_truth(self.base_ids[image_id])

    def image_reference(self, image_id):
        """See `Dataset.image_reference`."""
        return self.base.image_reference(self.base_ids[image_id])

    def source_image_link(self, image_id):
        """See `Dataset.source_image_link`."""
        return self.base.source_image_link(self.base_ids[image_id])
