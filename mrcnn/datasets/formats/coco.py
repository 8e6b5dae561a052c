"""COCO's instance annotations.

Layout: `annotations/instances_{subset}{year}.json` and the images in `{subset}{year}/`. Segmentations are polygons,
uncompressed or compressed RLE; crowds get negative class ids.

Source: https://cocodataset.org/#format-data. Shape letters: H W image, N instances.
"""

import re
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.memory import paused_collector
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.annotation_checks import check_annotations, is_id
from mrcnn.io.download import download_coco
from mrcnn.io.images import refuse_too_large
from mrcnn.io.json_fields import JsonList, field, json_outline, read_json
from mrcnn.io.paths import inside

DEFAULT_YEAR = "2014"
# what a file of instances has to hold
LISTS = ("images", "annotations", "categories")
# entries of a list that are gone through from one word about it to the next
_TOLD_EVERY = 1000
# parts of the 2014 validation set: their images lie in its folder
_VAL_PARTS = ("minival", "valminusminival")


def recognise(path):
    """Say why a path is no COCO data set, or None. Args: path: Path of a folder or a JSON file. Returns: str or None."""
    if path.is_dir():
        return None if annotation_files(path) else "no annotations/instances_*.json in it"
    reason = no_instances(path)
    if reason is None and has_lvis_fields(path):
        return "its categories or images have the fields of LVIS"
    return reason


def no_instances(path):
    """Say why a file holds no instances in COCO's form, or None. Args: path: Path of a file. Returns: str or None."""
    if path.suffix.lower() != ".json":
        return "no folder and no .json file"
    outline = json_outline(path)
    missing = [key for key in LISTS if key not in outline]
    if missing:
        return f"the JSON has no {missing[0]!r}"
    return "its annotations are of panoptic segments" if "segments_info" in outline["annotations"] else None


def has_lvis_fields(path):
    """Tell whether a file of instances has what LVIS adds to COCO's form. Args: path: Path. Returns: bool."""
    outline = json_outline(path)
    return "frequency" in outline["categories"] or "neg_category_ids" in outline["images"]


def subsets(path):
    """Name the parts of a folder in COCO's layout. Args: path: folder or JSON file. Returns: list, [] for a file."""
    return sorted({subset for subset, _, _ in annotation_files(Path(path))})


def open_subset(path, subset=None, *, year=None, images=None, allow_outside=False, progress=None):
    """Open a part of a folder in COCO's layout, or a JSON file.

    Args:
        path: path of the folder with annotations/ in it, or of one JSON file of instances.
        subset: str. Of a folder: as in the file names.
        year: str or int. Of a folder: as in the file names, needed where there are several.
        images: path. Where the images of a JSON file lie; None for its own folder.
        allow_outside: bool. Whether file names may lead out of the folder of the images.
        progress: see `read_annotations` and `CocoDataset.add_annotations`.

    Returns:
        CocoDataset, not prepared.

    Raises:
        DataError: `images` for a folder, or see `CocoDataset.load_coco`.
    """
    dataset, path = CocoDataset(allow_outside=allow_outside), Path(path)
    if path.is_file():
        content = read_annotations(path, progress)
        dataset.add_annotations(content, path.parent if images is None else images, path, progress=progress)
        return dataset
    refuse_images(path, images)
    if subset is None:
        raise DataError(f"{path}: no annotations/instances_*.json in it, which COCO's layout has")
    years = [found for name, found, _ in annotation_files(path) if name == subset]
    if year is None and len(years) > 1:
        raise DataError(f"{path}: the subset {subset!r} is there for the years {', '.join(years)}: say which (year, --year)")
    dataset.load_coco(path, subset, year=years[0] if year is None and years else year or "", progress=progress)
    return dataset


def refuse_images(path, images):
    """Refuse a folder of images beside a folder in COCO's layout, which says itself where they lie.

    Args:
        path: Path of the folder in COCO's layout.
        images: path, or None.

    Raises:
        DataError: it is not None.
    """
    if images is not None:
        raise DataError(f"{path} is a folder, and the images of a folder in COCO's layout lie in it: leave out the folder of "
                        f"images, {images} (--images), or give the path of the JSON file")


def annotation_files(folder, kind="instances"):
    """List the annotation files of a folder in COCO's layout.

    Args:
        folder: Path.
        kind: str. What the names of the files begin with: "instances" or "panoptic".

    Returns:
        list of (subset, year, path); the year is "" where the name has none.
    """
    found = []
    for path in sorted(folder.glob(f"annotations/{kind}_*.json")):
        named = re.fullmatch(rf"{kind}_(.+?)(\d{{4}})?", path.stem, re.DOTALL | re.ASCII)
        if named:
            found.append((named[1], named[2] or "", path))
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
        progress=None,
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
            progress: see `read_annotations` and `add_annotations`.

        Returns:
            pycocotools.coco.COCO, or None.

        Raises:
            DataError: a file is missing or not in COCO's format, or has no class that was asked for.
        """
        if auto_download:
            download_coco(dataset_dir, subset, str(year), progress=progress)
        root = Path(dataset_dir)
        path = root / "annotations" / f"instances_{subset}{year}.json"
        image_dir = image_folder(root, subset, year)
        content = read_annotations(path, progress)
        self.add_annotations(content, image_dir, path, class_ids, progress)
        if class_map:
            merged = {f"{self.source}.{a}": f"{self.source}.{b}" for a, b in class_map.items()}
            self._class_map = {**(self._class_map or {}), **merged}
        return _pycocotools_object(content, path) if return_coco else None

    def add_annotations(self, content, image_dir, path="annotations", class_ids=None, progress=None):
        """Add classes and images of a COCO file that was read already.

        Annotations that cannot be used are left out, and told in `skipped` and by a warning.

        Args:
            content: dict with "images", "annotations" and "categories".
            image_dir: path. The images' file names are relative to it.
            path: path of the file, for messages.
            class_ids: see `load_coco`.
            progress: maker of stages (`mrcnn.base.progress`), or None: "checking annotations" and "listing images".

        Raises:
            DataError: a class that was asked for is not in the file, or an image or a category is not as the format has
                it: without id, name or size, or one of another kind.
        """
        with paused_collector():
            annotations = content["annotations"]
            categories = index_entries(content["categories"], {"name": str}, f"{path}: categories")
            images = index_entries(content["images"], {"height": int, "width": int}, f"{path}: images")
            wanted = sorted(categories, key=lambda i: (isinstance(i, str), i)) if class_ids is None else list(class_ids)
            unknown = [i for i in wanted if i not in categories]
            if unknown:
                raise DataError(f"{path}: no category has the id {unknown[0]!r}; the ids are {list(categories)}")
            for class_id in wanted:
                self.add_category(categories[class_id], f"{path}: category {class_id!r}")
            progress = progress or unseen
            with progress("checking annotations") as show:
                by_image = self._usable_positions(annotations, images, categories, set(wanted), path, show)
            with progress("listing images") as show:
                for image_id, image in tracked(images.items(), show, every=_TOLD_EVERY):
                    positions = by_image.get(image_id, [])
                    if class_ids is None or positions:
                        self.add_listed_image(image, _select(annotations, positions), image_dir, f"{path}: image {image_id!r}")

    def add_category(self, category, where):
        """Add a class that the file lists. Args: category: dict with "id" and "name"; where: str, for messages."""
        self.add_class(self.source, category["id"], category["name"])

    def add_listed_image(self, image, annotations, image_dir, where):
        """Add an image that the file lists.

        Args:
            image: dict with "id", "height" and "width".
            annotations: list of its usable annotations.
            image_dir: path. What the names of images are relative to.
            where: str. File and image, for messages.

        Raises:
            DataError: a field is missing or of the wrong kind, the size is none, or the name leads out of the folder.
        """
        check_size(image, where)
        name = field(image, "file_name", str, where)
        name = inside(image_dir, name, f"{where}: file_name", allow_outside=self.allow_outside)
        # no field of COCO's: our own writer notes with it that annotations refer to the image as viewers turn it
        turned = {"exif_applied": True} if image.get("exif_applied") is True else {}
        self.add_annotated_image(image["id"], name, (image["height"], image["width"]), annotations, image_dir, **turned)

    def _usable_positions(self, annotations, images, categories, wanted, path, show):
        """Group the positions of usable annotations of some categories by image id; report those that cannot be used."""
        by_image = {}
        checked = tracked(check_annotations(annotations, images, categories), show, len(annotations), every=_TOLD_EVERY)
        for position, (image_id, category_id, fault) in enumerate(checked):
            if fault:
                self.skip(_annotation_place(annotations, position), fault)
            elif category_id in wanted:
                by_image.setdefault(image_id, []).append(position)
        self.log_skipped(path)
        return by_image

    def image_reference(self, image_id):
        """Return the address of an image of COCO in its explorer, the file of another. Args: image_id: int. Returns: str."""
        info = self.image_info[image_id]
        # COCO's files are called by their ids, in twelve digits; photographs of one's own in this form are not there
        if not self.reads(image_id) or not Path(info["path"]).stem.endswith(f"{info['id']:0>12}"):
            return super().image_reference(image_id)
        return f"https://cocodataset.org/#explore?id={info['id']}"


def read_annotations(path, progress=None):
    """Read a COCO instances file.

    Args:
        path: path of the JSON.
        progress: see `read_json`.

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
    content = read_json(path, lazy="annotations", progress=progress)
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list | JsonList):
            raise DataError(f"annotation file {path} has no list {key!r}, which COCO's instance format needs")
    return content


def index_entries(entries, kinds, where):
    """Map ids to the entries of a list, in its order.

    Args:
        entries: list of a COCO file.
        kinds: dict field -> kind that each entry must have beside its id; see `mrcnn.io.json_fields.field`.
        where: str. File and list, for messages.

    Returns:
        dict id (int or str) -> dict.

    Raises:
        DataError: an entry is no object, lacks a field, has one of another kind, or has the id of another entry.
    """
    found, texts = {}, {}
    for position, entry in enumerate(entries):
        place = f"{where}[{position}]"
        number = field(entry, "id", (int, str), place)
        # ids are told apart by their text elsewhere: 7 and "7" are one
        text = str(number)
        if text in texts:
            raise DataError(f"{where}: entries {texts[text]} and {position} have the same id {number!r}: give each its own")
        for name, kind in kinds.items():
            field(entry, name, kind, place)
        texts[text] = position
        found[number] = entry
    return found


def check_size(image, where):
    """Refuse an image whose listed size is none, or too large to be read. Args: image: dict; where: str. Raises DataError."""
    for name in ("height", "width"):
        if image[name] <= 0:
            raise DataError(f"{where}: {name!r} is {image[name]}, expected a number of pixels above 0")
    refuse_too_large((image["height"], image["width"]), where)


def _select(annotations, positions):
    """Return the annotations at some positions, as text still where they are a `JsonList`."""
    return annotations.select(positions) if isinstance(annotations, JsonList) else [annotations[i] for i in positions]


def _annotation_place(annotations, position):
    """Return the id of an annotation, or its place in the list where it has none that can be read."""
    try:
        number = annotations[position].get("id")
    except (AttributeError, DataError):
        number = None
    return number if is_id(number) else f"annotations[{position}]"


def _pycocotools_object(content, path):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {**content, "annotations": list(content["annotations"])}
    try:
        coco.createIndex()
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: pycocotools cannot index it: {type(error).__name__} {error}") from error
    return coco
