"""COCO's instance annotations.

Layout: `annotations/instances_{subset}{year}.json` and the images in `{subset}{year}/`. Segmentations are polygons,
uncompressed or compressed RLE; crowds get negative class ids.

Source: https://cocodataset.org/#format-data. Shape letters: H W image, N instances.
"""

import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np

from mrcnn.data.dataset import Dataset, overrides_later
from mrcnn.data.download import download_coco
from mrcnn.data.errors import DataError
from mrcnn.geometry.rle import as_rle, decode_rle, rle_area, rle_bbox, rle_to_json

logger = logging.getLogger(__name__)

DEFAULT_YEAR = "2014"
# parts of the 2014 validation set: their images lie in its folder
_VAL_PARTS = ("minival", "valminusminival")


class CocoDataset(Dataset):
    """A data set in COCO's format.

    Attributes:
        skipped: list of (annotation id, reason) left out while loading, also told by a warning.
    """

    def __init__(self, class_map=None):
        """Make an empty data set. Args: class_map: see `Dataset.prepare`."""
        super().__init__(class_map)
        self.skipped = []

    def load_coco(
        self,
        dataset_dir,
        subset,
        year=DEFAULT_YEAR,
        class_ids=None,
        class_map=None,
        return_coco=False,
        auto_download=False,
    ):
        """Load a subset of COCO, or of a data set in its layout.

        Args:
            dataset_dir: path. The folder with annotations/ in it.
            subset: str. train, val, minival, valminusminival, or what the files are named by.
            year: str or int. 2014, 2017, or what the files are named by.
            class_ids: list of category ids: only these, and only the images that show one of them. None for all
                classes and all images, those without instances too.
            class_map: dict category id -> category id: categories to be merged into others. None merges none.
            return_coco: bool. True returns the annotations as a pycocotools COCO object.
            auto_download: bool. True downloads what is missing from cocodataset.org first.

        Returns:
            pycocotools.coco.COCO, or None.

        Raises:
            DataError: a file is missing or not in COCO's format, or has no class that was asked for.
        """
        if auto_download:
            download_coco(dataset_dir, subset, str(year))
        root = Path(dataset_dir)
        path = root / "annotations" / f"instances_{subset}{year}.json"
        image_dir = root / f"{'val' if subset in _VAL_PARTS else subset}{year}"
        content = read_annotations(path)
        self.add_annotations(content, image_dir, path, class_ids)
        if class_map:
            merged = {f"coco.{a}": f"coco.{b}" for a, b in class_map.items()}
            self._class_map = {**(self._class_map or {}), **merged}
        return _pycocotools_object(content) if return_coco else None

    def add_annotations(self, content, image_dir, path="annotations", class_ids=None):
        """Add classes and images of a COCO file that was read already.

        Args:
            content: dict with "images", "annotations" and "categories".
            image_dir: path. The images' file names are relative to it.
            path: path of the file, for messages.
            class_ids: see `load_coco`.

        Raises:
            DataError: a class that was asked for is not in the file, or an image is listed without id, size or name.
        """
        names = {category["id"]: category["name"] for category in content["categories"]}
        wanted = sorted(names) if class_ids is None else list(class_ids)
        unknown = [i for i in wanted if i not in names]
        if unknown:
            raise DataError(f"{path}: no category has the id {unknown[0]!r}; the ids are {sorted(names)}")
        for class_id in wanted:
            self.add_class("coco", class_id, names[class_id])
        images = _index_images(content["images"], path)
        by_image = self._sort_annotations(content["annotations"], images, names, path)
        allowed = set(wanted)
        for image_id, image in images.items():
            annotations = [a for a in by_image.get(image_id, ()) if a["category_id"] in allowed]
            if class_ids is None or annotations:
                self.add_image(
                    "coco",
                    image_id,
                    str(Path(image_dir) / image["file_name"]),
                    width=int(image["width"]),
                    height=int(image["height"]),
                    annotations=annotations,
                )

    def _sort_annotations(self, annotations, images, names, path):
        """Group usable annotations by image id; the others are noted in `skipped` and told."""
        by_image, reasons = {}, Counter()
        for annotation in annotations:
            reason = annotation_fault(annotation, images, names)
            if reason:
                self.skipped.append((annotation.get("id"), reason))
                reasons[reason] += 1
            else:
                by_image.setdefault(annotation["image_id"], []).append(annotation)
        for reason, count in reasons.items():
            example = next(i for i, told in self.skipped if told == reason)
            logger.warning("%s: %d annotations left out, such as id %s: %s", path, count, example, reason)
        return by_image

    def _is_coco(self, image_id):
        return self.image_info[image_id]["source"] == "coco"

    def _usable(self, image_id):
        """Pair each annotation of an image with its class id, negative for crowds."""
        found = []
        for annotation in self.image_info[image_id]["annotations"]:
            class_id = self.map_source_class_id(f"coco.{annotation['category_id']}")
            found.append((annotation, -class_id if annotation.get("iscrowd") else class_id))
        return found

    def load_instances(self, image_id):
        """Give an image's polygons and RLEs as they are; see `Dataset.load_instances`."""
        if not self._is_coco(image_id):
            return super().load_instances(image_id)
        usable = self._usable(image_id)
        return [_segmentation(a) for a, _ in usable], np.array([class_id for _, class_id in usable], np.int32)

    def load_mask(self, image_id):
        """Draw the masks of an image at its own size.

        Args:
            image_id: int.

        Returns:
            (masks, class_ids): bool [H, W, N], int32 [N]. Instances smaller than a pixel are left out.
        """
        if not self._is_coco(image_id):
            return super().load_mask(image_id)
        info = self.image_info[image_id]
        drawn = [(self.annToMask(a, info["height"], info["width"]), class_id) for a, class_id in self._usable(image_id)]
        drawn = [(mask, class_id) for mask, class_id in drawn if mask.any()]
        if not drawn:
            return np.zeros((info["height"], info["width"], 0), bool), np.zeros(0, np.int32)
        return np.stack([mask for mask, _ in drawn], axis=2), np.array([class_id for _, class_id in drawn], np.int32)

    def num_instances(self, image_id):
        """Count an image's annotations that are no crowds. Args: image_id: int. Returns: int, None if unknown."""
        if not self._is_coco(image_id) or overrides_later(self, "load_mask", "num_instances"):
            return super().num_instances(image_id)
        return sum(not a.get("iscrowd") for a in self.image_info[image_id]["annotations"])

    def ground_truth(self, image_id):
        """Give the annotations with their own areas and boxes; see `Dataset.ground_truth`.

        An annotation without an area or a box gets those of its mask.
        """
        if not self._is_coco(image_id) or overrides_later(self, "load_mask", "ground_truth"):
            return super().ground_truth(image_id)
        info = self.image_info[image_id]
        found = []
        for annotation, class_id in self._usable(image_id):
            rle = self.annToRLE(annotation, info["height"], info["width"])
            y1, x1, y2, x2 = rle_bbox(rle)
            area, box = annotation.get("area"), annotation.get("bbox") or [x1, y1, x2 - x1, y2 - y1]
            found.append({
                "class_id": abs(class_id),
                "segmentation": rle_to_json(rle),
                "bbox": [float(v) for v in box],
                "area": float(rle_area(rle) if area is None else area),
                "iscrowd": int(class_id < 0),
            })  # fmt: skip
        return found

    def image_reference(self, image_id):
        """Return the address of an image in COCO's explorer. Args: image_id: int. Returns: str."""
        if not self._is_coco(image_id):
            return super().image_reference(image_id)
        return f"https://cocodataset.org/#explore?id={self.image_info[image_id]['id']}"

    def annToRLE(self, ann, height, width):
        """Encode a segmentation. Args: ann: dict; height, width: int pixels. Returns: compressed RLE dict."""
        return as_rle(_segmentation(ann), (height, width))

    def annToMask(self, ann, height, width):
        """Draw an annotation's segmentation. Args: ann: dict; height, width: int pixels. Returns: bool [H, W]."""
        return decode_rle(self.annToRLE(ann, height, width))


def read_annotations(path):
    """Read a COCO instances file.

    Args:
        path: path of the JSON.

    Returns:
        dict with "images", "annotations" and "categories".

    Raises:
        DataError: the file is missing, is no JSON, or lacks one of the three lists.
    """
    path = Path(path)
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob("*.json")) if path.parent.is_dir() else []
        hint = f"in its folder are {', '.join(there)}" if there else f"{path.parent} has no annotation files"
        raise DataError(f"annotation file {path} does not exist; {hint}: check the data set's folder, subset and year")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"annotation file {path} is no valid JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"annotation file {path} has no list {key!r}, which COCO's instance format needs")
    return content


def _index_images(images, path):
    """Map image ids to their entries, in the order of the file."""
    found = {}
    for position, image in enumerate(images):
        missing = [key for key in ("id", "file_name", "height", "width") if image.get(key) in (None, "")]
        if missing:
            raise DataError(f"{path}: entry {position} of images has no {missing[0]!r}")
        if image["id"] in found:
            raise DataError(f"{path}: two images have the id {image['id']!r}")
        found[image["id"]] = image
    return found


def annotation_fault(annotation, images, categories):
    """Say why an annotation cannot be used.

    Args:
        annotation: dict of a COCO file.
        images: container of the known image ids.
        categories: container of the known category ids.

    Returns:
        str, or None when it can be used.
    """
    if annotation.get("image_id") not in images:
        return "its image_id is not among the images"
    if annotation.get("category_id") not in categories:
        return "its category_id is not among the categories"
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return "it has no segmentation"
    if isinstance(segmentation, dict):
        if "counts" not in segmentation or "size" not in segmentation:
            return "its RLE segmentation lacks counts or size"
        image = images[annotation["image_id"]]
        if tuple(segmentation["size"]) != (image["height"], image["width"]):
            return "its RLE is not of the image's size"
        if isinstance(segmentation["counts"], list) and sum(segmentation["counts"]) != image["height"] * image["width"]:
            return "the runs of its RLE do not fill the image"
        return None
    if not _rings(segmentation):
        return "no polygon of its segmentation has three points"
    return None


def _rings(segmentation):
    return [polygon for polygon in segmentation if len(polygon) >= 6 and len(polygon) % 2 == 0]


def _segmentation(annotation):
    """The segmentation of an annotation, without polygons of fewer than three points."""
    segmentation = annotation["segmentation"]
    return segmentation if isinstance(segmentation, dict) else _rings(segmentation)


def _pycocotools_object(content):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco
