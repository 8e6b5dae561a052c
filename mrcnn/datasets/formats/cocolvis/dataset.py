"""COCO+LVIS: objects and their parts without classes, for interactive segmentation.

Layout: `{train,val}/images/<image id>.jpg`, `{train,val}/masks/<image id>.pickle` and `{train,val}/hannotation.pickle`;
`files` describes their content. The objects of an image are in several layers, because a part overlaps the object that it is
a part of. The pickles are read by `mrcnn.io.pickles`, which executes no code.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.dataset import overrides_later
from mrcnn.datasets.folders import part_folders
from mrcnn.datasets.formats.cocolvis.files import HANNOTATION, Masks, read_hierarchy, read_masks, whole_number
from mrcnn.geometry.boxes import Integer
from mrcnn.geometry.rle import Rle, encode_mask
from mrcnn.io.images import IMAGE_SUFFIXES
from mrcnn.io.json_fields import read_json, shown
from mrcnn.io.paths import refuse_link

LEVELS = ("all", "whole", "parts")
CLASS_ID, CLASS_NAME = 1, "object"


def recognise(path: Path) -> str | None:
    """Return None for a folder of COCO+LVIS, else why it is not one."""
    if not path.is_dir():
        return "not a folder"
    return None if _is_part(path) or subsets(path) else f"no {HANNOTATION} in it, nor in train/ or val/"


def subsets(path: Path | str) -> list[str]:
    """Return the subsets, [] if the folder is undivided."""
    return list(part_folders(path, _is_part))


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    levels: str = "all",
    stuff: bool = False,
    allow_list: Path | str | Collection[object] | None = None,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "CocoLvisDataset":
    """Open a subset of COCO+LVIS.

    Args:
        path: the folder that has train/ and val/ in it, or one of these.
        subset: one of `subsets`, if the folder is divided.
        levels: "all" objects, "whole" for those that are not part of another, or "parts" for those that are.
        stuff: whether stuff, such as sky and grass, is included as objects.
        allow_list: ids of the images to open, or a JSON file with a list of them. None for all.
        allow_outside: whether links may point outside the folder.
        progress: reports the stages of `read_hierarchy`, and "listing images".

    Returns:
        The data set, not prepared.

    Raises:
        DataError: a file is missing, damaged, or contains anything but plain values and arrays.
        ValueError: `levels` is unknown.
    """
    folders = part_folders(path, _is_part)
    folder = Path(path) if subset is None else folders.get(subset)
    if folder is None or not _is_part(folder):
        raise DataError(f"{path}: no {HANNOTATION} in {subset or 'it'}, which COCO+LVIS has")
    dataset = CocoLvisDataset(levels=levels, stuff=stuff, allow_outside=allow_outside)
    dataset.load_cocolvis(folder, allow_list, progress)
    return dataset


class CocoLvisDataset(AnnotatedDataset):
    """A subset of COCO+LVIS: one class, "object".

    The id of an image is a number, or text if it is written with leading zeros, as in 000000000036.jpg. An entry of
    `image_info` also has "num_instance_masks", and "hierarchy", a dict instance id -> None for an object without parts or
    parent, or {"children": list of ids, "parent": id or None, "node_level": depth}. The annotations that `annotations_of`
    returns have "id", "children", "parent", "node_level" and "is_stuff".

    Attributes:
        levels: one of LEVELS: which objects are included.
        stuff: whether stuff is included.
    """

    source = "cocolvis"

    def __init__(
        self,
        class_map: Mapping[str, str] | None = None,
        *,
        levels: str = "all",
        stuff: bool = False,
        allow_outside: bool = False,
    ) -> None:
        """Create an empty data set.

        Args:
            class_map: see `Dataset.prepare`.
            levels: see `open_subset`.
            stuff: see `open_subset`.
            allow_outside: see `open_subset`.

        Raises:
            ValueError: `levels` is unknown.
        """
        if levels not in LEVELS:
            raise ValueError(f"levels is {levels!r}: choose {', '.join(LEVELS)}")
        super().__init__(class_map, allow_outside=allow_outside)
        self.levels, self.stuff = levels, stuff
        self.add_class(self.source, CLASS_ID, CLASS_NAME)

    def load_cocolvis(
        self,
        folder: Path | str,
        allow_list: Path | str | Collection[object] | None = None,
        progress: Stages | None = None,
    ) -> None:
        """Add the images of a subset, sorted by image id.

        Args:
            folder: the folder that has `hannotation.pickle` in it.
            allow_list: see `open_subset`.
            progress: see `open_subset`.

        Raises:
            DataError: see `open_subset`.
        """
        folder = Path(folder)
        if not self.allow_outside:
            refuse_link(folder / HANNOTATION, folder, "the hierarchy")
        entries, skipped = read_hierarchy(folder / HANNOTATION, progress)
        for where, reason in skipped:
            self.skip(f"{HANNOTATION}: {where}", reason)
        allowed = None if allow_list is None else _read_allow_list(allow_list)
        images, masks = (os.path.join(folder, name) for name in ("images", "masks"))
        files = _image_files(images)
        chosen = [entry for entry in entries if allowed is None or entry.image_id in allowed]
        with (progress or unseen)("listing images") as show:
            for entry in tracked(chosen, show, every=1000):
                if entry.is_repaired:
                    where = f"{HANNOTATION}: image {entry.name}"
                    self.skip(where, "its children disagree with its parents; the parents are used")
                image = os.path.join(images, files.get(entry.name, f"{entry.name}.jpg"))
                # with its leading zeros: it is the name of the files
                image_id = entry.image_id if entry.name == str(entry.image_id) else entry.name
                self.add_annotated_image(
                    image_id, image, None, None, folder, masks=os.path.join(masks, f"{entry.name}.pickle"),
                    num_instance_masks=entry.num_instances, hierarchy=entry.hierarchy,
                )  # fmt: skip
        for missing in sorted((allowed or set()) - {entry.image_id for entry in entries}):
            self.skip(f"image {missing}", "it is in the allow list, but not in the data set")
        self.log_skipped(folder, "images or hierarchies")

    def chosen_ids(self, image_id: Integer) -> list[int]:
        """Return the ids of the objects of an image at the chosen levels, without stuff, ascending."""
        info = self.image_info[image_id]
        everything = range(info["num_instance_masks"])
        if self.levels == "all":
            return list(everything)
        # an object that the hierarchy does not mention is not part of another
        parts = {i for i, node in info["hierarchy"].items() if node and node["parent"] is not None}
        return [i for i in everything if (i in parts) == (self.levels == "parts")]

    def num_instances(self, image_id: Integer) -> int | None:
        """Count the objects of an image; see `Dataset.num_instances`. None with stuff, which only the masks list."""
        if not self.reads(image_id) or overrides_later(self, "load_mask", "num_instances"):
            return super().num_instances(image_id)
        return None if self.stuff else len(self.chosen_ids(image_id))

    def load_masks_file(self, image_id: Integer) -> Masks:
        """Read the masks file of an image. Its layers are not decoded.

        Args:
            image_id: index in the data set.

        Raises:
            DataError: the file is missing, is damaged, contains anything but arrays and plain containers, or has fewer
                objects than the hierarchy states.
        """
        info = self.image_info[image_id]
        if info.get("root"):
            refuse_link(info["masks"], info["root"], f"masks of image {info['id']}")
        masks = read_masks(info["masks"])
        if len(masks.mapping) < info["num_instance_masks"]:
            raise DataError(f"{masks.path}: objs_mapping has {len(masks.mapping)} entries, but {HANNOTATION} says that image "
                            f"{info['id']} has {info['num_instance_masks']} instance masks")  # fmt: skip
        return masks

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Read the objects of an image as RLE.

        Args:
            image_id: index in the data set.

        Returns:
            Annotations by ascending id, including objects without pixels.

        Raises:
            DataError: see `load_masks_file`; or a layer is not a PNG of uint8 [H, W] of the image's size.
        """
        info, masks = self.image_info[image_id], self.load_masks_file(image_id)
        ids = self.chosen_ids(image_id) + (list(range(info["num_instance_masks"], len(masks.mapping))) if self.stuff else [])
        size = self.image_size(image_id)
        rles: dict[int, Rle] = {}
        for layer in sorted({masks.mapping[i][0] for i in ids}):  # one decoded layer in memory at a time
            numbers = masks.layer(layer, size)
            rles |= {i: encode_mask(numbers == masks.mapping[i][1]) for i in ids if masks.mapping[i][0] == layer}
        return [self._annotation(i, rles[i], info) for i in ids]

    def _annotation(self, instance_id: int, rle: Rle, info: Mapping[str, Any]) -> dict[str, Any]:
        node = info["hierarchy"].get(instance_id) or {"children": [], "parent": None, "node_level": 0}
        return {"id": instance_id, "category_id": CLASS_ID, "segmentation": rle, **node,
                "is_stuff": instance_id >= info["num_instance_masks"]}  # fmt: skip


def _is_part(folder: Path) -> bool:
    return (folder / HANNOTATION).is_file()


def _image_files(folder: str) -> dict[str, str]:
    """Map image file names without suffix to file names. The published files are .jpg, but others may differ."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return {os.path.splitext(name)[0]: name for name in names if name.lower().endswith(IMAGE_SUFFIXES)}


def _read_allow_list(allow_list: Any) -> set[int]:
    where = "allow_list"
    if not isinstance(allow_list, list | tuple | set | frozenset):
        where, allow_list = allow_list, read_json(allow_list)
    if not isinstance(allow_list, list | tuple | set | frozenset):
        raise DataError(f"{where} is {shown(allow_list)}, expected a list of image ids")
    image_ids = set()
    for position, value in enumerate(allow_list):
        image_id = whole_number(value)
        if image_id is None:
            raise DataError(f"{where}: entry {position} is {shown(value)}, expected an image id")
        image_ids.add(image_id)
    return image_ids
