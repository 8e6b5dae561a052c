"""The things of a panoptic data set in TFRecord shards, read without TensorFlow.

An image is found by the place of its record, and read when it is asked for. See `mrcnn.data.panoptic.shards` for the names of
the files and `mrcnn.data.panoptic.records` for what a record holds.

Shape letters: H W image.
"""

from mrcnn.data.annotated import AnnotatedDataset
from mrcnn.data.errors import DataError
from mrcnn.data.panoptic.coco_categories import coco_categories
from mrcnn.data.panoptic.maps import IGNORE, LABEL_DIVISOR
from mrcnn.data.panoptic.records import decode_jpeg, decode_record, read_name_and_size
from mrcnn.data.panoptic.shards import read_categories, shards_of
from mrcnn.data.stages import tracked, unseen
from mrcnn.data.tfrecord.records import read_record, scan_records
from mrcnn.geometry.label_map import LabelMap


class PanopticShardDataset(AnnotatedDataset):
    """Images and things out of the shards of one split; a class has the id of its category."""

    source = "panoptic"

    def load_shards(self, folder, split, stuff=False, progress=None):
        """Add the images of a split; only the places, names and sizes of the records are read.

        Args:
            folder: path of the shards.
            split: str, as in the file names.
            stuff: bool. True makes each kind of stuff a class too, with one instance an image.
            progress: maker of stages (`mrcnn.data.stages`): "reading", of shards; or None.

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
            mrcnn.data.panoptic.records.Record.

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
        if not self.is_own(image_id):
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
        panoptic = self.record_of(image_id).panoptic if self.is_own(image_id) else None
        return super().ignored_pixels(image_id) if panoptic is None else panoptic == IGNORE

    def num_instances(self, image_id):
        """Say nothing, for the record would have to be read; see `Dataset.num_instances`. Returns: None."""
        return None

    def image_reference(self, image_id):
        """Say which record an image is. Args: image_id: int. Returns: str."""
        return self._where(image_id) if self.is_own(image_id) else super().image_reference(image_id)
