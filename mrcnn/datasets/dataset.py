"""The base class of data sets.

A data set of one's own subclasses `Dataset`: it calls `add_class` and `add_image` while it loads, overrides
`load_mask` (and `load_image`, where images are not files), and `prepare()` is called before it is used. What the
classic subclasses overrode works here unchanged. A data set that has its masks as polygons or RLE overrides
`load_instances` beside: no mask is then drawn at full size where a small one is enough.

Shape letters: H W image, N instances, K classes with background.
"""

import numpy as np

from mrcnn.base.errors import DataError
from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import read_image, read_image_size


class Dataset:
    """Images with their instances, each class with a number inside and an id at its source.

    Attributes:
        image_info: list of dicts with "id", "source", "path" and whatever else was given to `add_image`.
        class_info: list of dicts with "source", "id", "name". The first is the background.
        source_class_ids: dict source -> list of class ids of that source, background included (after `prepare`).
        num_classes, class_ids, class_names, num_images, sources, class_from_source_map, image_from_source_map: after
            `prepare`.
    """

    def __init__(self, class_map=None):
        """Make an empty data set. Args: class_map: kept for `prepare`, which explains it."""
        self._image_ids = []
        self._class_map = class_map
        self.image_info = []
        # the background always comes first
        self.class_info = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids = {}

    def add_class(self, source, class_id, class_name):
        """Add a class; one that is there already stays as it is.

        Args:
            source: str without a dot. The data set that the class comes from, such as "coco".
            class_id: int or str. Its id there.
            class_name: str.

        Raises:
            ValueError: the source has a dot, which separates source and id in the maps.
        """
        if "." in source:
            raise ValueError(f"the source {source!r} of class {class_name!r} must not have a dot in its name")
        if any(info["source"] == source and info["id"] == class_id for info in self.class_info):
            return
        self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source, image_id, path, **kwargs):
        """Add an image.

        Args:
            source: str. The data set that the image comes from.
            image_id: int or str. Its id there.
            path: str, or None where `load_image` needs no file.
            **kwargs: kept in `image_info` beside these. "height" and "width" save reading the size from the file.
        """
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def image_reference(self, image_id):
        """Say where an image can be looked up, for messages and figures. Override it. Returns: str, empty here."""
        return ""

    def prepare(self, class_map=None):
        """Number the classes and images; to be called once all are added, and again when more were added.

        Args:
            class_map: dict "source.id" -> "source.id", or None. A class that stands as a key becomes one with the
                class that it points to: for data sets of several sources whose classes are the same things.

        Raises:
            ValueError: class_map names a class that is not there.
        """
        class_map = class_map or self._class_map or {}
        self.class_info = self._merged_classes(class_map)
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        # COCO-like names with synonyms after a comma are cut at the first
        self.class_names = [str(info["name"]).split(",")[0] for info in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {f"{info['source']}.{info['id']}": i for i, info in enumerate(self.class_info)}
        for merged, kept in class_map.items():
            self.class_from_source_map[merged] = self.class_from_source_map[kept]
        self.image_from_source_map = {f"{info['source']}.{info['id']}": i for i, info in enumerate(self.image_info)}
        self.sources = list(dict.fromkeys(info["source"] for info in self.class_info))
        self.source_class_ids = {source: {0} for source in self.sources}
        for name, class_id in self.class_from_source_map.items():
            self.source_class_ids.setdefault(name.split(".", 1)[0], {0}).add(class_id)
        self.source_class_ids = {source: sorted(ids) for source, ids in self.source_class_ids.items()}

    def _merged_classes(self, class_map):
        """List the classes that remain, each once, when those of class_map's keys are merged into others."""
        names = {f"{info['source']}.{info['id']}" for info in self.class_info}
        unknown = [name for name in class_map.values() if name not in names or name in class_map]
        if unknown:
            raise ValueError(
                f"class_map points to {unknown[0]!r}, which is no class that remains: have {sorted(names)}"
            )
        return [info for info in self.class_info if f"{info['source']}.{info['id']}" not in class_map]

    def map_source_class_id(self, source_class_id):
        """Translate "source.id", such as "coco.12", into the class id. Returns: int."""
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id, source):
        """Translate a class id into the id at its source.

        Args:
            class_id: int.
            source: str. The class must be of this source.

        Returns:
            int or str, as it was given to `add_class`.

        Raises:
            ValueError: the class is of another source.
        """
        info = self.class_info[class_id]
        if info["source"] != source:
            raise ValueError(f"class {class_id} ({info['name']}) is of source {info['source']!r}, not of {source!r}")
        return info["id"]

    @property
    def image_ids(self):
        """Positions of the images in `image_info`: int array [number of images], after `prepare`."""
        return self._image_ids

    def source_image_link(self, image_id):
        """Return the path or address of an image."""
        return self.image_info[image_id]["path"]

    def load_image(self, image_id):
        """Read an image.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            uint8 [H, W, 3] RGB. An override may give any number of channels and any number dtype.

        Raises:
            DataError: the image's file is missing, or is no image.
        """
        path = self.image_info[image_id]["path"]
        if path is None:
            raise DataError(
                f"image {image_id} has no path: override load_image, or give add_image the path of its file"
            )
        return read_image(path)

    def load_mask(self, image_id):
        """Load the masks of an image. Override it.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            (masks, class_ids): bool [H, W, N] and int32 [N], N = 0 allowed. A negative class id is a crowd. By
            default there is no instance, and the masks are of shape [0, 0, 0].
        """
        return np.empty([0, 0, 0]), np.empty([0], np.int32)

    def load_instances(self, image_id):
        """Load the instances of an image in the most compact form that the data set has.

        Override it beside `load_mask` where masks are stored small. A subclass that overrides `load_mask` alone is
        heard: see `instances_of`, which is what the package calls.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            (masks, class_ids): masks as of `load_mask`, or a list of N, each a list of polygons [x1, y1, x2, y2,
            ...], an RLE dict, or a bool [H, W]; int32 [N] class ids.
        """
        return self.load_mask(image_id)

    def num_instances(self, image_id):
        """Count an image's instances that are no crowds, without loading them. Returns: int, None if unknown."""
        return None

    def coverage(self, image_id):
        """Tell of which classes the instances of an image are all annotated, for evaluation.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            None: of all classes, as here. A federated data set gives (absent, partial), sets of class ids: those that
            were looked for and are not there, and those whose instances are not all annotated. Of any other class
            that has no instance in the image nothing is known.
        """
        return None

    def ignored_pixels(self, image_id):
        """Tell which pixels of an image the data say nothing of, for semantic segmentation.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            bool [H, W], or None: what is no instance is background, as here.
        """
        return None

    def image_size(self, image_id):
        """Find the size of an image, from what is known of it or from the head of its file, if possible.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            (height, width) in pixels.
        """
        info = self.image_info[image_id]
        if info.get("height") and info.get("width"):
            return int(info["height"]), int(info["width"])
        if type(self).load_image is Dataset.load_image and info["path"] and "://" not in str(info["path"]):
            return read_image_size(info["path"])
        return tuple(int(v) for v in self.load_image(image_id).shape[:2])

    def ground_truth(self, image_id):
        """Give the instances of an image as COCO's evaluation wants them, at the image's own size.

        Args:
            image_id: int. Position in `image_info`.

        Returns:
            list of dicts: "class_id" int > 0, "segmentation" RLE dict, "bbox" [x, y, width, height] in pixels, "area"
                float in pixels, "iscrowd" 0 or 1. Instances without a pixel are left out.
        """
        masks, class_ids = self.load_mask(image_id)
        if len(class_ids) == 0:
            return []
        masks = np.asarray(masks).astype(bool)
        found = []
        for i, (y1, x1, y2, x2) in enumerate(extract_bboxes(masks).tolist()):
            if y2 > y1:
                found.append({
                    "class_id": abs(int(class_ids[i])),
                    "segmentation": encode_mask(masks[:, :, i]),
                    "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                    "area": float(np.count_nonzero(masks[y1:y2, x1:x2, i])),
                    "iscrowd": int(class_ids[i] < 0),
                })  # fmt: skip
        return found


def overrides_later(dataset, method, other):
    """Tell whether a data set's class redefined one method further down its line than another.

    A subclass of a reader that overrides `load_mask` alone means its own masks, and not the polygons of the reader.

    Args:
        dataset: Dataset.
        method: str. Name of the method that might be newer.
        other: str. Name of the method that might be out of date.

    Returns:
        bool.
    """
    for owner in type(dataset).__mro__:
        if other in vars(owner):
            return False
        if method in vars(owner):
            return True
    return False


def instances_of(dataset, image_id):
    """Load the instances of an image by `load_instances` or `load_mask`, whichever the class defined last.

    Args:
        dataset: Dataset, or an object with `load_mask` alone.
        image_id: int.

    Returns:
        (masks, class_ids) as `Dataset.load_instances` describes them.
    """
    if not hasattr(dataset, "load_instances") or overrides_later(dataset, "load_mask", "load_instances"):
        return dataset.load_mask(image_id)
    return dataset.load_instances(image_id)
