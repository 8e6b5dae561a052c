"""COCO's panoptic annotations, as PNGs or in TFRecord shards: the things of them are the instances.

A folder holds `annotations/panoptic_{subset}{year}.json`, the PNGs in a folder of that name beside it, and the images in
`{subset}{year}/`; or it holds shards such as `train-00000-of-01000.tfrecord`. Crowds get negative class ids.

Source: https://cocodataset.org/#format-data. Shape letters: H W image.

The things of a panoptic data set in TFRecord shards, read without TensorFlow.

An image is found by the place of its record, and read when it is asked for. See `mrcnn.datasets.panoptic.shards` for the
names of the files and `mrcnn.datasets.panoptic.shards` for what a record holds.

Shape letters: H W image.
"""

from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotated_dataset import AnnotatedDataset
from mrcnn.datasets.dataset import overrides_later
from mrcnn.datasets.formats.coco import annotation_files, refuse_images
from mrcnn.datasets.panoptic.annotations import (
    AREA,
    IGNORE,
    IS_CROWD,
    LABEL_DIVISOR,
    SEGMENT_ID,
    check_segments,
    coco_categories,
    decode_segments,
    read_panoptic,
)
from mrcnn.datasets.panoptic.shards import decode_jpeg, decode_record, read_categories, read_name_and_size, shards_of, splits_in
from mrcnn.geometry.label_map import LabelMap
from mrcnn.io.json_fields import json_outline
from mrcnn.io.paths import refuse_link
from mrcnn.io.tfrecord import read_record, scan_records


def recognise(path):
    """Say why a path is no panoptic data set, or None. Args: path: Path of a folder or a JSON. Returns: str or None."""
    if path.is_dir():
        if annotation_files(path, "panoptic"):
            if any(path.glob("annotations/instances_*.json")):
                return "its annotations/instances_*.json are read as coco: say panoptic for its panoptic_*.json"
            return None
        return None if splits_in(path) else "no annotations/panoptic_*.json and no *-of-*.tfrecord in it"
    if path.suffix.lower() != ".json":
        return "no folder and no .json file"
    return None if "segments_info" in json_outline(path).get("annotations", ()) else "the JSON has no 'segments_info'"


def subsets(path):
    """Name the parts of a folder. Args: path: path of a folder or a JSON. Returns: list of str, [] for a file."""
    path = Path(path)
    if not path.is_dir():
        return []
    return sorted({subset for subset, _, _ in annotation_files(path, "panoptic")}) or splits_in(path)


def open_subset(path, subset=None, *, year=None, images=None, stuff=False, allow_outside=False, progress=None):
    """Open a part of a folder, or a JSON file.

    Args:
        path: path of the folder with annotations/ in it, of a folder of shards, or of one panoptic JSON with the folder
            of its PNGs beside it.
        subset: str. Of a folder: as in the file names.
        year: str or int. Of a folder of annotations: as in the file names, needed where there are several.
        images: path. Where the images of a JSON file lie; None for its own folder.
        stuff: bool. True makes each kind of stuff a class too, with one instance an image.
        allow_outside: bool. Whether file names may lead out of the folders of images and PNGs.
        progress: see `PanopticDataset.load_panoptic` and `PanopticShardDataset.load_shards`.

    Returns:
        PanopticDataset or PanopticShardDataset, not prepared.

    Raises:
        DataError: there is no such subset, `images` is given for a folder, or its files are missing or not of this format.
    """
    path = Path(path)
    if path.is_file():
        dataset = PanopticDataset(allow_outside=allow_outside)
        dataset.load_panoptic(path, path.parent if images is None else images, stuff=stuff, progress=progress)
        return dataset
    refuse_images(path, images)
    files = annotation_files(path, "panoptic")
    if not files and subset in splits_in(path):
        dataset = PanopticShardDataset()
        dataset.load_shards(path, subset, stuff=stuff, progress=progress)
        return dataset
    found = {its: file for name, its, file in files if name == subset and (year is None or str(year) == its)}
    if not found:
        raise DataError(f"{path}: no annotations/panoptic_{subset or '*'}{year or '*'}.json and no "
                        f"{subset or '*'}-*-of-*.tfrecord in it, as a panoptic data set has")  # fmt: skip
    if len(found) > 1:
        raise DataError(f"{path}: the subset {subset!r} is there for the years {', '.join(found)}: say which (year, --year)")
    ((its_year, file),) = found.items()
    dataset = PanopticDataset(allow_outside=allow_outside)
    dataset.load_panoptic(file, path / f"{subset}{its_year}", stuff=stuff, progress=progress)
    return dataset


class PanopticDataset(AnnotatedDataset):
    """A data set of panoptic PNGs, which are read when an image is asked for; a class has the id of its category."""

    source = "panoptic"

    def load_panoptic(self, path, image_dir, png_dir=None, stuff=False, progress=None):
        """Add the images of a panoptic JSON.

        Args:
            path: path of the JSON.
            image_dir: path that the images' file names are relative to.
            png_dir: path of the PNGs; None for the folder of the JSON's name beside it.
            stuff: bool. True makes each kind of stuff a class too, with one instance an image.
            progress: maker of stages (`mrcnn.base.progress`), or None: those of `read_panoptic`, and "listing images".

        Raises:
            DataError: the file is missing, or not of this format. An image whose annotation is faulty is left out.
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
        for where, reason in index.left_out:
            self.skip(where, reason)
        self.log_skipped(path, "images")

    def annotations_of(self, image_id):
        """Give the things of an image, with stuff by choice, as annotations in RLE; see `AnnotatedDataset`."""
        info = self.image_info[image_id]
        labels = LabelMap(self._segment_ids(info))
        segments = info["segments"]
        check_segments(labels, segments, f"{info['png']}: image {info['id']}")
        place = {number: position for position, number in enumerate(labels.values.tolist())}
        rows = [row for row in segments.tolist() if row[1] in info["wanted"] and row[AREA]]
        drawn = labels.encode([place[row[SEGMENT_ID]] for row in rows])
        return [
            {"id": number, "category_id": category_id, "iscrowd": iscrowd, "segmentation": rle, "area": area,
             "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for (number, category_id, area, iscrowd), (rle, (y1, x1, y2, x2)) in zip(rows, drawn, strict=True)
        ]  # fmt: skip

    def _segment_ids(self, info):
        """Read the PNG of an image: int32 [H, W]."""
        where = f"{info['png']} of image {info['id']}"
        if not self.allow_outside:
            refuse_link(info["png"], info["png_root"], where)
        try:
            data = Path(info["png"]).read_bytes()
        except OSError as error:
            raise DataError(f"{where} cannot be read: {error}") from error
        return decode_segments(data, (info["height"], info["width"]), where)

    def ignored_pixels(self, image_id):
        """Tell which pixels of an image are of no segment; see `Dataset.ignored_pixels`."""
        if not self.reads(image_id):
            return super().ignored_pixels(image_id)
        return self._segment_ids(self.image_info[image_id]) == 0

    def num_instances(self, image_id):
        """Count an image's things that are no crowds, without its PNG. Returns: int, None if unknown."""
        if not self.reads(image_id) or overrides_later(self, "load_mask", "num_instances"):
            return super().num_instances(image_id)
        info = self.image_info[image_id]
        return sum(not row[IS_CROWD] and row[AREA] > 0 and row[1] in info["wanted"] for row in info["segments"].tolist())


class PanopticShardDataset(AnnotatedDataset):
    """Images and things out of the shards of one split; a class has the id of its category."""

    source = "panoptic"

    def load_shards(self, folder, split, stuff=False, progress=None):
        """Add the images of a split; only the places, names and sizes of the records are read.

        Args:
            folder: path of the shards.
            split: str, as in the file names.
            stuff: bool. True makes each kind of stuff a class too, with one instance an image.
            progress: maker of stages (`mrcnn.base.progress`): "reading", of shards; or None.

        Raises:
            DataError: files are missing, or damaged.
        """
        # shards of another program have no manifest: theirs are COCO's categories
        categories = read_categories(folder, split)
        categories = coco_categories() if categories is None else categories
        self._by_number = {category.semantic_id: category for category in categories.values()}
        self._stuff, self._last = stuff, (None, None)
        for category in categories.values():
            if category.is_thing or stuff:
                self.add_class(self.source, category.id, category.name)
        with (progress or unseen)("reading") as show:
            for path in tracked(shards_of(folder, split), show):
                self._add_shard(path)

    def _add_shard(self, path):
        places = scan_records(path)
        with open(path, "rb", buffering=0) as file:
            for number, (offset, length) in enumerate(places):
                name, size = read_name_and_size(file, offset, length, f"{path}: record {number}")
                self.add_annotated_image(name, None, size, None, shard=str(path), record=number, offset=offset,
                                         length=length)  # fmt: skip

    def record_of(self, image_id):
        """Read the record of an image.

        Args:
            image_id: int.

        Returns:
            mrcnn.datasets.panoptic.shards.Record.

        Raises:
            DataError: the file is missing or damaged.
        """
        last, record = self._last
        if last != image_id:  # image and instances are asked for one after the other: read once for both
            info = self.image_info[image_id]
            data = read_record(info["shard"], info["offset"], info["length"])
            record = decode_record(data, self._where(image_id))
            if record.size != (info["height"], info["width"]):
                raise DataError(f"{self._where(image_id)}: its size is {record.size}, and was "
                                f"{(info['height'], info['width'])}: the file has changed, open it again")  # fmt: skip
            self._last = image_id, record
        return record

    def _where(self, image_id):
        info = self.image_info[image_id]
        return f"{info['shard']}: record {info['record']}, image {info['id']}"

    def load_image(self, image_id):
        """Decode an image; see `Dataset.load_image`."""
        if not self.reads(image_id):
            return super().load_image(image_id)
        record = self.record_of(image_id)
        return decode_jpeg(record.jpeg, record.size, self._where(image_id))

    def annotations_of(self, image_id):
        """Give the things of an image, with stuff by choice, as annotations in RLE; see `AnnotatedDataset`."""
        panoptic = self.record_of(image_id).panoptic
        if panoptic is None:
            return []
        labels, wanted = LabelMap(panoptic), []
        for position, number in enumerate(labels.values.tolist()):
            semantic, instance = divmod(number, LABEL_DIVISOR)
            if semantic == 0:
                continue
            category = self._by_number.get(semantic)
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

    def ignored_pixels(self, image_id):
        """Tell which pixels of an image have the number that is to be ignored; see `Dataset.ignored_pixels`."""
        panoptic = self.record_of(image_id).panoptic if self.reads(image_id) else None
        return super().ignored_pixels(image_id) if panoptic is None else panoptic == IGNORE

    def num_instances(self, image_id):
        """Say nothing, for the record would have to be read; see `Dataset.num_instances`. Returns: None."""
        return None

    def image_reference(self, image_id):
        """Say which record an image is. Args: image_id: int. Returns: str."""
        return self._where(image_id) if self.reads(image_id) else super().image_reference(image_id)
