"""COCO's instance annotations.

Layout: `annotations/instances_{subset}{year}.json` and the images in `{subset}{year}/`. Segmentations are polygons,
uncompressed or compressed RLE; crowds get negative class ids.

Source: https://cocodataset.org/#format-data. Shape letters: H W image, N instances.
"""

import logging
import re
from collections import Counter
from pathlib import Path

from mrcnn.data.annotated import AnnotatedDataset, rings_of
from mrcnn.data.download import download_coco
from mrcnn.data.errors import DataError
from mrcnn.data.fields import json_outline, read_json
from mrcnn.data.paths import inside

logger = logging.getLogger(__name__)

DEFAULT_YEAR = "2014"
# parts of the 2014 validation set: their images lie in its folder
_VAL_PARTS = ("minival", "valminusminival")


def recognise(path):
    """Say why a path is no COCO data set, or None. Args: path: Path of a folder or a JSON file. Returns: str or None."""
    if path.is_dir():
        return None if annotation_files(path) else "no annotations/instances_*.json in it"
    if path.suffix.lower() != ".json":
        return "no folder and no .json file"
    outline = json_outline(path)
    missing = [key for key in ("images", "annotations", "categories") if key not in outline]
    if missing:
        return f"the JSON has no {missing[0]!r}"
    return "its annotations are of panoptic segments" if "segments_info" in outline["annotations"] else None


def subsets(path):
    """Name the parts of a folder in COCO's layout. Args: path: folder or JSON file. Returns: list, [] for a file."""
    return sorted({subset for subset, _, _ in annotation_files(Path(path))})


def open_subset(path, subset=None, *, year=None, images=None, allow_outside=False):
    """Open a part of a folder in COCO's layout, or a JSON file.

    Args:
        path: path of the folder with annotations/ in it, or of one JSON file of instances.
        subset: str. Of a folder: as in the file names.
        year: str or int. Of a folder: as in the file names, needed where there are several.
        images: path. Where the images of a JSON file lie; None for its own folder.
        allow_outside: bool. Whether file names may lead out of the folder of the images.

    Returns:
        CocoDataset, not prepared.

    Raises:
        DataError: see `CocoDataset.load_coco`.
    """
    dataset, path = CocoDataset(allow_outside=allow_outside), Path(path)
    if path.is_file():
        dataset.add_annotations(read_annotations(path), path.parent if images is None else images, path)
        return dataset
    if subset is None:
        raise DataError(f"{path}: no annotations/instances_*.json in it, which COCO's layout has")
    years = [found for name, found, _ in annotation_files(path) if name == subset]
    if year is None and len(years) > 1:
        raise DataError(f"{path}: the subset {subset!r} is there for the years {', '.join(years)}: say which (year, --year)")
    dataset.load_coco(path, subset, year=years[0] if year is None and years else year or "")
    return dataset


def annotation_files(folder):
    """List (subset, year, path) of the instance files of a folder; the year is "" where the name has none."""
    found = []
    for path in sorted(folder.glob("annotations/instances_*.json")):
        subset, year = re.fullmatch(r"instances_(.+?)(\d{4})?", path.stem).groups()
        found.append((subset, year or "", path))
    return found


def image_folder(root, subset, year):
    """Say where the images of a part lie. Args: root: Path; subset: str; year: str or int, "" for none. Returns: Path."""
    return root / f"{'val' if subset in _VAL_PARTS else subset}{year}"


class CocoDataset(AnnotatedDataset):
    """A data set in COCO's format."""

    source = "coco"

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
        image_dir = image_folder(root, subset, year)
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
            self.add_class(self.source, class_id, names[class_id])
        images = _index_images(content["images"], path)
        by_image = self._sort_annotations(content["annotations"], images, names, path)
        allowed = set(wanted)
        for image_id, image in images.items():
            annotations = [a for a in by_image.get(image_id, ()) if a["category_id"] in allowed]
            if class_ids is None or annotations:
                name = inside(image_dir, image["file_name"], f"{path}: file_name of image {image_id}",
                              allow_outside=self.allow_outside)  # fmt: skip
                # our own writer notes where annotations refer to the image as viewers turn it
                turned = {"exif_applied": True} if image.get("exif_applied") is True else {}
                self.add_annotated_image(image_id, name, (image["height"], image["width"]), annotations, image_dir, **turned)

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

    def image_reference(self, image_id):
        """Return the address of an image in COCO's explorer. Args: image_id: int. Returns: str."""
        if not self.is_own(image_id):
            return super().image_reference(image_id)
        return f"https://cocodataset.org/#explore?id={self.image_info[image_id]['id']}"


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
    content = read_json(path)
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
    if not rings_of(segmentation):
        return "no polygon of its segmentation has three points"
    return None


def _pycocotools_object(content):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco
