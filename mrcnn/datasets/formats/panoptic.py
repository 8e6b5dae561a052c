"""COCO's panoptic annotations, as PNGs or in TFRecord shards. The instances are the things.

A folder holds `annotations/panoptic_{subset}{year}.json`, the PNGs in a folder of the same name next to it, and the images in
`{subset}{year}/`; or it holds shards such as `train-00000-of-01000.tfrecord`. Crowds get negative class ids.

The shards are read without TensorFlow. `mrcnn.datasets.panoptic` says what the files contain.

Source: https://cocodataset.org/#format-data. Shape letters: H W C image.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Num

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.dataset import overrides_later
from mrcnn.datasets.formats.coco.dataset import refuse_images
from mrcnn.datasets.formats.coco.layout import annotation_files
from mrcnn.datasets.panoptic.annotations import (
    AREA,
    CATEGORY_ID,
    IGNORE,
    IS_CROWD,
    LABEL_DIVISOR,
    SEGMENT_ID,
    Category,
    check_segments,
    coco_categories,
    decode_segments,
    read_panoptic,
)
from mrcnn.datasets.panoptic.shards import (
    Record,
    decode_jpeg,
    decode_record,
    read_categories,
    read_name_and_size,
    shards_of,
    splits_in,
)
from mrcnn.geometry.boxes import Integer
from mrcnn.geometry.label_map import LabelMap
from mrcnn.io.json_fields import json_outline
from mrcnn.io.paths import refuse_link
from mrcnn.io.tfrecord import read_record, scan_records


def recognise(path: Path) -> str | None:
    """Return None for a folder of panoptic annotations or shards, or a panoptic JSON, else why it is neither."""
    if path.is_dir():
        if annotation_files(path, "panoptic"):
            if any(path.glob("annotations/instances_*.json")):
                return "its annotations/instances_*.json are read as coco: say panoptic for its panoptic_*.json"
            return None
        return None if splits_in(path) else "no annotations/panoptic_*.json and no *-of-*.tfrecord in it"
    if path.suffix.lower() != ".json":
        return "not a folder or a .json file"
    return None if "segments_info" in json_outline(path).get("annotations", ()) else "the JSON has no 'segments_info'"


def subsets(path: Path | str) -> list[str]:
    """Return the subsets of a folder; [] for a file."""
    path = Path(path)
    if not path.is_dir():
        return []
    return sorted({subset for subset, _, _ in annotation_files(path, "panoptic")}) or splits_in(path)


def open_subset(
    path: Path | str,
    subset: str | None = None,
    *,
    year: str | int | None = None,
    images: Path | str | None = None,
    stuff: bool = False,
    allow_outside: bool = False,
    progress: Stages | None = None,
) -> "PanopticDataset | PanopticShardDataset":
    """Open a subset of a folder, or a JSON file.

    Args:
        path: the folder that has annotations/ in it, a folder of shards, or a panoptic JSON with the folder of its PNGs
            next to it.
        subset: for a folder: the subset in the file names.
        year: for a folder of annotations: the year in the file names, needed if there are several.
        images: for a JSON file: the folder of its images; None for the folder of the file.
        stuff: True adds each kind of stuff as a class, with one instance per image.
        allow_outside: whether file names may point outside the folders of images and PNGs.
        progress: reports the stages of `PanopticDataset.load_panoptic` or `PanopticShardDataset.load_shards`.

    Returns:
        The data set, not prepared.

    Raises:
        DataError: the subset does not exist, `images` is given for a folder, or files are missing or not of this format.
    """
    path = Path(path)
    if path.is_file():
        dataset = PanopticDataset(allow_outside=allow_outside)
        dataset.load_panoptic(path, path.parent if images is None else images, stuff=stuff, progress=progress)
        return dataset
    refuse_images(path, images)
    files = annotation_files(path, "panoptic")
    if not files and subset is not None and subset in splits_in(path):
        shards = PanopticShardDataset()
        shards.load_shards(path, subset, stuff=stuff, progress=progress)
        return shards
    by_year = {its: file for name, its, file in files if name == subset and (year is None or str(year) == its)}
    if not by_year:
        raise DataError(f"{path}: no annotations/panoptic_{subset or '*'}{year or '*'}.json and no "
                        f"{subset or '*'}-*-of-*.tfrecord in it, which a panoptic data set has")  # fmt: skip
    if len(by_year) > 1:
        raise DataError(f"{path} has the subset {subset!r} for the years {', '.join(by_year)}: say which "
                        "with year=YEAR (--year YEAR)")
    ((its_year, file),) = by_year.items()
    dataset = PanopticDataset(allow_outside=allow_outside)
    dataset.load_panoptic(file, path / f"{subset}{its_year}", stuff=stuff, progress=progress)
    return dataset


class PanopticDataset(AnnotatedDataset):
    """A data set of panoptic PNGs, which are read when an image is loaded. The id of a class is that of its category."""

    source = "panoptic"

    def load_panoptic(
        self,
        path: Path | str,
        image_dir: Path | str,
        png_dir: Path | str | None = None,
        stuff: bool = False,
        progress: Stages | None = None,
    ) -> None:
        """Add the images of a panoptic JSON. An image whose annotation is faulty is skipped.

        Args:
            path: the JSON.
            image_dir: folder that the images' file names are relative to.
            png_dir: folder of the PNGs; None for the folder next to the JSON with the same name.
            stuff: True adds each kind of stuff as a class, with one instance per image.
            progress: reports the stages of `read_panoptic`, and "listing images".

        Raises:
            DataError: the file is missing, or not of this format.
        """
        png_dir = Path(path).with_suffix("") if png_dir is None else Path(png_dir)
        index = read_panoptic(path, image_dir, png_dir, strict=False, allow_outside=self.allow_outside,
                              progress=progress)  # fmt: skip
        for category in index.categories.values():
            if category.is_thing or stuff:
                self.add_class(self.source, category.id, category.name)
        wanted = {category.id for category in index.categories.values() if category.is_thing or stuff}
        with (progress or unseen)("listing images") as show:
            for image in tracked(index.images, show, every=100):
                self.add_annotated_image(image.id, image.path, image.size, None, image_dir, png=str(image.png),
                                         png_root=str(png_dir), segments=image.segments, wanted=wanted)  # fmt: skip
        for where, reason in index.skipped:
            self.skip(f"{Path(path).name}: {where}", reason)
        self.log_skipped(path, "images")

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Return the things of an image, optionally with stuff, as annotations in RLE; see `AnnotatedDataset`."""
        info = self.image_info[image_id]
        labels = LabelMap(self._segment_ids(image_id))
        segments = info["segments"]
        check_segments(labels, segments, f"{info['png']}: image {info['id']}")
        positions = {number: position for position, number in enumerate(labels.values.tolist())}
        rows = [row for row in segments.tolist() if row[CATEGORY_ID] in info["wanted"] and row[AREA]]
        drawn = labels.encode([positions[row[SEGMENT_ID]] for row in rows])
        return [
            {"id": number, "category_id": category_id, "iscrowd": iscrowd, "segmentation": rle, "area": area,
             "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for (number, category_id, area, iscrowd), (rle, (y1, x1, y2, x2)) in zip(rows, drawn, strict=True)
        ]  # fmt: skip

    def _segment_ids(self, image_id: Integer) -> Int32[np.ndarray, "H W"]:
        """Read the PNG of an image."""
        info = self.image_info[image_id]
        where = f"{info['png']} of image {info['id']}"
        if not self.allow_outside:
            refuse_link(info["png"], info["png_root"], where)
        try:
            data = Path(info["png"]).read_bytes()
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error}") from error
        return decode_segments(data, self.image_size(image_id), where)

    def ignored_pixels(self, image_id: Integer) -> Bool[np.ndarray, "H W"] | None:
        """Return which pixels of an image belong to no segment; see `Dataset.ignored_pixels`."""
        if not self.reads(image_id):
            return super().ignored_pixels(image_id)
        return self._segment_ids(image_id) == 0

    def num_instances(self, image_id: Integer) -> int | None:
        """Return the number of things in an image, crowds excluded, without its PNG; see `Dataset.num_instances`."""
        if not self.reads(image_id) or overrides_later(self, "load_mask", "num_instances"):
            return super().num_instances(image_id)
        info = self.image_info[image_id]
        rows = info["segments"].tolist()
        return sum(not row[IS_CROWD] and row[AREA] > 0 and row[CATEGORY_ID] in info["wanted"] for row in rows)


class PanopticShardDataset(AnnotatedDataset):
    """Images and things from the shards of one split. The id of a class is that of its category.

    Only the place of an image's record is kept; the record is read when the image is loaded.
    """

    source = "panoptic"

    def load_shards(
        self, folder: Path | str, split: str, stuff: bool = False, progress: Stages | None = None
    ) -> None:
        """Add the images of a split; only the places, names and sizes of the records are read.

        Args:
            folder: folder of the shards.
            split: the split in the file names.
            stuff: True adds each kind of stuff as a class, with one instance per image.
            progress: reports the stage "reading", of shards.

        Raises:
            DataError: files are missing, or damaged.
        """
        # shards written by another program have no manifest; assume COCO's categories
        listed = read_categories(folder, split)
        categories = coco_categories() if listed is None else listed
        self._by_semantic_id: dict[int, Category] = {category.semantic_id: category for category in categories.values()}
        self._stuff = stuff
        self._last: tuple[Integer, Record] | None = None
        for category in categories.values():
            if category.is_thing or stuff:
                self.add_class(self.source, category.id, category.name)
        with (progress or unseen)("reading") as show:
            for path in tracked(shards_of(folder, split), show):
                self._add_shard(path)

    def _add_shard(self, path: Path) -> None:
        places = scan_records(path)
        with open(path, "rb", buffering=0) as file:
            for number, (offset, length) in enumerate(places):
                name, size = read_name_and_size(file, offset, length, f"{path}: record {number}")
                self.add_annotated_image(name, None, size, None, shard=str(path), record=number, offset=offset,
                                         length=length)  # fmt: skip

    def record_of(self, image_id: Integer) -> Record:
        """Read the record of an image.

        Args:
            image_id: index in the data set.

        Raises:
            DataError: the file is missing or damaged.
        """
        # the image and its instances are loaded one after the other: keep the record for both
        if self._last is not None and self._last[0] == image_id:
            return self._last[1]
        info = self.image_info[image_id]
        data = read_record(info["shard"], info["offset"], info["length"])
        record = decode_record(data, self._where(image_id))
        if record.size != (info["height"], info["width"]):
            raise DataError(f"{self._where(image_id)}: its size is {record.size}, but it was "
                            f"{(info['height'], info['width'])}: the file has changed, open it again")  # fmt: skip
        self._last = image_id, record
        return record

    def _where(self, image_id: Integer) -> str:
        info = self.image_info[image_id]
        return f"{info['shard']}: record {info['record']}, image {info['id']}"

    def load_image(self, image_id: Integer) -> Num[np.ndarray, "H W C"]:
        """Decode an image; see `Dataset.load_image`."""
        if not self.reads(image_id):
            return super().load_image(image_id)
        record = self.record_of(image_id)
        return decode_jpeg(record.jpeg, record.size, self._where(image_id))

    def annotations_of(self, image_id: Integer) -> list[dict[str, Any]]:
        """Return the things of an image, optionally with stuff, as annotations in RLE; see `AnnotatedDataset`."""
        panoptic = self.record_of(image_id).panoptic
        if panoptic is None:
            return []
        labels, wanted = LabelMap(panoptic), []
        for position, number in enumerate(labels.values.tolist()):
            semantic, instance = divmod(number, LABEL_DIVISOR)
            if semantic == 0:  # ignored
                continue
            category = self._by_semantic_id.get(semantic)
            if category is None or (instance and not category.is_thing):
                raise DataError(f"{self._where(image_id)}: the panoptic map holds {number}, semantic id {semantic} and "
                                f"instance {instance}, which no category of this set has")  # fmt: skip
            if category.is_thing or self._stuff:
                wanted.append((position, category, int(category.is_thing and not instance)))
        drawn = labels.encode([position for position, _, _ in wanted])
        return [
            {"id": int(labels.values[position]), "category_id": category.id, "iscrowd": iscrowd, "segmentation": rle,
             "area": int(labels.areas[position]), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for (position, category, iscrowd), (rle, (y1, x1, y2, x2)) in zip(wanted, drawn, strict=True)
        ]  # fmt: skip

    def ignored_pixels(self, image_id: Integer) -> Bool[np.ndarray, "H W"] | None:
        """Return which pixels of an image have the ignored value; see `Dataset.ignored_pixels`."""
        panoptic = self.record_of(image_id).panoptic if self.reads(image_id) else None
        return super().ignored_pixels(image_id) if panoptic is None else panoptic == IGNORE

    def num_instances(self, image_id: Integer) -> int | None:
        """Return None: the record would have to be read; see `Dataset.num_instances`."""
        return None

    def image_reference(self, image_id: Integer) -> str:
        """Return the shard and record of an image."""
        return self._where(image_id) if self.reads(image_id) else super().image_reference(image_id)
