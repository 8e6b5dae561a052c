"""The base class of data sets.

Your own data set is a subclass of `Dataset`. It calls `add_class` and `add_image` while loading and overrides `load_mask`
(and `load_image`, if images are not files). Call `prepare()` before you use it:

    class Nuclei(Dataset):
        def load(self, folder):
            self.add_class("nuclei", 1, "nucleus")
            for path in sorted(Path(folder).glob("*.png")):
                self.add_image("nuclei", path.stem, str(path))

        def load_mask(self, image_id):
            masks = read_my_masks(self.image_info[image_id]["path"])  # bool [H, W, N]
            return masks, np.ones(masks.shape[2], np.int32)

Subclasses written for the classic code work unchanged. A data set whose masks are polygons or RLE should also override
`load_instances`, so that no full-size mask is drawn where a small one is enough.

Shape letters: H W C image, N instances.
"""

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num, Shaped
from jaxtyping import Integer as IntegerArray

from mrcnn.base.errors import DataError
from mrcnn.geometry.boxes import Integer, extract_bboxes
from mrcnn.geometry.rle import encode_mask
from mrcnn.io.images import read_image, read_image_size

Masks = Shaped[np.ndarray, "H W N"]
ClassIds = IntegerArray[np.ndarray, " N"]


class Dataset:
    """Images and their instances. Each class has a class id, and an id at its source.

    Attributes:
        image_info: a dict for each image with "id", "source", "path" and the keyword arguments of `add_image`.
        class_info: a dict for each class with "source", "id", "name". The first is the background.
        source_class_ids: source -> class ids of that source, background included (after `prepare`).
        depth: number of bits that the values of 16-bit image files use; see `mrcnn.io.images.read_image`.
        num_classes, class_ids, class_names, num_images, sources, class_from_source_map, image_from_source_map: set by
            `prepare`.
    """

    depth: int | None = None
    num_classes: int
    class_ids: Int[np.ndarray, " K"]
    class_names: list[str]
    num_images: int
    sources: list[str]
    class_from_source_map: dict[str, int]
    image_from_source_map: dict[str, int]

    # for subclasses that set the attributes themselves and do not call this class' constructor
    _class_map: Mapping[str, str] | None = None
    # (source, id) of each class, so that many classes are added quickly
    _added_classes: set[tuple[str, Hashable]] | None = None

    def __init__(self, class_map: object = None) -> None:
        """Create an empty data set.

        Args:
            class_map: the default of `prepare`, a Mapping. Anything else is ignored: `super().__init__(self)`, which gives the
                data set itself, is common.
        """
        self._image_ids: Sequence[int] | Int[np.ndarray, " images"] = []
        self._class_map = class_map if isinstance(class_map, Mapping) else None
        self.image_info: list[dict[str, Any]] = []
        # the background always comes first
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids: dict[str, list[int]] = {}

    def add_class(self, source: str, class_id: Hashable, class_name: str) -> None:
        """Add a class. A class that was added before is not changed.

        Args:
            source: the data set that the class comes from, such as "coco".
            class_id: number or text. Its id there.
            class_name: its name.

        Raises:
            ValueError: the source contains a dot, which separates source and id in the maps.
        """
        if "." in source:
            raise ValueError(f"the source {source!r} of class {class_name!r} must not have a dot in its name")
        if self._added_classes is None or len(self._added_classes) != len(self.class_info):  # `class_info` itself was changed
            self._added_classes = {(info["source"], info["id"]) for info in self.class_info}
        if (source, class_id) in self._added_classes:
            return
        self._added_classes.add((source, class_id))
        self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source: str, image_id: Hashable, path: Any, **kwargs: Any) -> None:
        """Add an image.

        Args:
            source: the data set that the image comes from.
            image_id: number or text. Its id there.
            path: the image file; None if `load_image` needs no file.
            **kwargs: also stored in `image_info`. If "height" and "width" are given, the size is not read from the file.
        """
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def image_reference(self, image_id: Integer) -> str:
        """Return where to look up an image, for messages and figures: "" unless overridden."""
        return ""

    def prepare(self, class_map: Mapping[str, str] | None = None) -> None:
        """Number the classes and images. Call it when all have been added, and again if more are added.

        Args:
            class_map: "source.id" -> "source.id". A class that is a key is merged into the class that it maps to; for data
                sets that combine several sources with common classes.

        Raises:
            ValueError: class_map maps to a class that does not exist or is merged itself.

        Differs: the classic code cut class names at the first comma, so that "bolt, bent" and "bolt, straight" had one name.
        """
        class_map = class_map or self._class_map or {}
        self.class_info = self._merged_classes(class_map)
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        self.class_names = [str(info["name"]) for info in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {f"{info['source']}.{info['id']}": i for i, info in enumerate(self.class_info)}
        for merged, kept in class_map.items():
            self.class_from_source_map[merged] = self.class_from_source_map[kept]
        self.image_from_source_map = {f"{info['source']}.{info['id']}": i for i, info in enumerate(self.image_info)}
        self.sources = list(dict.fromkeys(info["source"] for info in self.class_info))
        ids: dict[str, set[int]] = {source: {0} for source in self.sources}
        for name, class_id in self.class_from_source_map.items():
            ids.setdefault(name.split(".", 1)[0], {0}).add(class_id)
        self.source_class_ids = {source: sorted(class_ids) for source, class_ids in ids.items()}

    def _merged_classes(self, class_map: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the classes that remain after the keys of class_map are merged into others."""
        names = {f"{info['source']}.{info['id']}" for info in self.class_info}
        unknown = [name for name in class_map.values() if name not in names or name in class_map]
        if unknown:
            raise ValueError(f"class_map maps to {unknown[0]!r}, which is not a remaining class: have {sorted(names)}")
        return [info for info in self.class_info if f"{info['source']}.{info['id']}" not in class_map]

    def map_source_class_id(self, source_class_id: str) -> int:
        """Return the class id of a "source.id", such as "coco.12"."""
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id: Integer, source: str) -> Any:
        """Return the id of a class at its source, as passed to `add_class`.

        Args:
            class_id: index in `class_info`.
            source: the source that the class must come from.

        Raises:
            ValueError: the class comes from another source.
        """
        info = self.class_info[class_id]
        if info["source"] != source:
            raise ValueError(f"class {class_id} ({info['name']}) is of source {info['source']!r}, not of {source!r}")
        return info["id"]

    @property
    def image_ids(self) -> Sequence[int] | Int[np.ndarray, " images"]:
        """The indices of the images in `image_info`, set by `prepare`."""
        return self._image_ids

    def source_image_link(self, image_id: Integer) -> Any:
        """Return the path or URL of an image."""
        return self.image_info[image_id]["path"]

    def load_image(self, image_id: Integer) -> Num[np.ndarray, "H W C"]:
        """Read an image.

        Args:
            image_id: index in the data set.

        Returns:
            RGB, uint8. An override may return any number of channels, of any numeric dtype.

        Raises:
            DataError: the image's file is missing, or is not an image.
        """
        path = self.image_info[image_id]["path"]
        if path is None:
            raise DataError(
                f"image {image_id} has no path: override load_image, or give add_image the path of its file"
            )
        return read_image(path, self.depth)

    def unclear_orientation(self, image_id: Integer) -> int:
        """Return the EXIF orientation of an image if nothing shows whether its annotations refer to the rotated image, else 1.

        Args:
            image_id: index in the data set.
        """
        return 1

    def is_rotated(self, image_id: Integer) -> bool:
        """Return whether the size and the annotations of an image refer to its file rotated by its EXIF orientation.

        Args:
            image_id: index in the data set.
        """
        return bool(self.image_info[image_id].get("exif_applied"))

    def load_mask(self, image_id: Integer) -> tuple[Masks, ClassIds]:
        """Load the masks of an image. Subclasses override it.

        Args:
            image_id: index in the data set.

        Returns:
            (masks, class_ids): bool [H, W, N] and int32 [N]; N may be 0. A negative class id marks a crowd. This base
            implementation returns no instances, with masks of shape [0, 0, 0].
        """
        return np.empty([0, 0, 0]), np.empty([0], np.int32)

    def load_instances(self, image_id: Integer) -> tuple[Masks | Sequence[Any], ClassIds]:
        """Load the instances of an image in the most compact form that the data set has.

        Override it together with `load_mask` if masks are stored as polygons or RLE. The package calls `instances_of`, so
        that the masks of a subclass that overrides only `load_mask` are used.

        Args:
            image_id: index in the data set.

        Returns:
            (masks, class_ids): the masks that `load_mask` returns, or a list of N instances, each a list of polygons [x1, y1,
            x2, y2, ...], an RLE dict, or a bool [H, W].
        """
        return self.load_mask(image_id)

    def num_instances(self, image_id: Integer) -> int | None:
        """Return the number of instances of an image, crowds excluded, without loading them; None if unknown."""
        return None

    def coverage(self, image_id: Integer) -> tuple[Set[int], Set[int]] | None:
        """Return the classes that are absent from an image or annotated only in part, for evaluation.

        Args:
            image_id: index in the data set.

        Returns:
            None if every class is annotated completely. A federated data set returns (absent, partial), sets of class ids:
            classes that were searched for and are not in the image, and classes of which only some instances are
            annotated. Nothing is known about other classes without an instance in the image.
        """
        return None

    def ignored_pixels(self, image_id: Integer) -> Bool[np.ndarray, "H W"] | None:
        """Return which pixels of an image have no annotation, for semantic segmentation.

        Args:
            image_id: index in the data set.

        Returns:
            None if there are none: all pixels outside the instances are background.
        """
        return None

    def image_size(self, image_id: Integer) -> tuple[int, int]:
        """Return the (height, width) of an image in pixels, from `image_info` or, if possible, the header of its file."""
        info = self.image_info[image_id]
        if info.get("height") and info.get("width"):
            return int(info["height"]), int(info["width"])
        if type(self).load_image is Dataset.load_image and info["path"] and "://" not in str(info["path"]):
            return read_image_size(info["path"])
        height, width = self.load_image(image_id).shape[:2]
        return int(height), int(width)

    def ground_truth(self, image_id: Integer) -> list[dict[str, Any]]:
        """Return the instances of an image in the form that COCO's evaluation needs, at the original image size.

        Args:
            image_id: index in the data set.

        Returns:
            Dicts: "class_id" int > 0, "segmentation" RLE dict, "bbox" [x, y, width, height] in pixels, "area" float in
            pixels, "iscrowd" 0 or 1. Instances without pixels are skipped.
        """
        masks, class_ids = self.load_mask(image_id)
        if len(class_ids) == 0:
            return []
        masks = np.asarray(masks).astype(bool)
        instances = []
        for i, (y1, x1, y2, x2) in enumerate(extract_bboxes(masks).tolist()):
            if y2 > y1:
                instances.append({
                    "class_id": abs(int(class_ids[i])),
                    "segmentation": encode_mask(masks[:, :, i]),
                    "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                    "area": float(np.count_nonzero(masks[y1:y2, x1:x2, i])),
                    "iscrowd": int(class_ids[i] < 0),
                })  # fmt: skip
        return instances


def overrides_later(dataset: Any, method: str, other: str) -> bool:
    """Return whether a data set's class overrides one method in a more derived class than another.

    If a subclass of a reader overrides only `load_mask`, its masks must be used, and not the polygons of the reader.

    Args:
        dataset: the data set.
        method: name of the method that may be overridden later.
        other: name of the method that it is compared with.
    """
    for owner in type(dataset).__mro__:
        if other in vars(owner):
            return False
        if method in vars(owner):
            return True
    return False


def instances_of(dataset: Any, image_id: Integer) -> tuple[Any, Any]:
    """Load the instances of an image with `load_instances` or `load_mask`, whichever a more derived class overrides.

    Args:
        dataset: a Dataset, or an object that has only `load_mask`.
        image_id: index in the data set.

    Returns:
        (masks, class_ids), see `Dataset.load_instances`.
    """
    if not hasattr(dataset, "load_instances") or overrides_later(dataset, "load_mask", "load_instances"):
        return dataset.load_mask(image_id)
    return dataset.load_instances(image_id)
