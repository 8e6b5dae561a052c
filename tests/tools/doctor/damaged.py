"""A valid data set in COCO's layout, and ways to damage it, each with the findings that it must cause."""
import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mrcnn.geometry.rle import as_rle, rle_area

HEIGHT, WIDTH = 96, 128
NAMES = ("ball", "brick", "cat")


def octagon(x, y, radius):
    """Return the points of an octagon around (x, y), as a flat list."""
    angles = np.arange(8) * np.pi / 4
    return np.round(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1), 2).ravel().tolist()


def annotation(number, image_id, category_id, polygon):
    """Return an annotation in COCO format with the correct area and box."""
    x, y = np.reshape(polygon, (-1, 2)).T
    area = rle_area(as_rle([polygon], (HEIGHT, WIDTH)))
    box = [float(v) for v in (x.min(), y.min(), x.max() - x.min(), y.max() - y.min())]
    return {"id": number, "image_id": image_id, "category_id": category_id, "segmentation": [polygon], "bbox": box,
            "area": float(area), "iscrowd": 0}


@dataclass
class Part:
    """A subset on disk. `content` is written by `save`."""

    name: str
    folder: Path
    content: dict = field(default_factory=dict)

    @property
    def images(self):
        return self.content["images"]

    @property
    def annotations(self):
        return self.content["annotations"]

    def file(self, i):
        """Return the path of the file of image i."""
        return self.folder / self.name / self.images[i]["file_name"]

    def of(self, i):
        """Return the two annotations of image i."""
        return self.annotations[2 * i : 2 * i + 2]

    def save(self):
        path = self.folder / "annotations" / f"instances_{self.name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(self.content))


def write_photograph(path, seed, **options):
    """Write an image of random blots that is not similar to any other."""
    blots = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(cv2.resize(blots, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)).save(path, **options)


def healthy(folder, train=8, val=3):
    """Write a valid data set and return its subsets train and val."""
    parts, number = [], 0
    for name, count in (("train", train), ("val", val)):
        (folder / name).mkdir(parents=True)
        part = Part(name, folder, {"images": [], "annotations": [], "info": {"year": 2026}})
        part.content["categories"] = [{"id": i, "name": n} for i, n in enumerate(NAMES, start=1)]
        for i in range(count):
            number += 1
            write_photograph(folder / name / f"{number:03}.jpg", number, quality=92)
            part.images.append({"id": number, "file_name": f"{number:03}.jpg", "height": HEIGHT, "width": WIDTH})
            for k, x in enumerate((36, 92)):
                outline = octagon(x, 48, 22 + i % 5)
                part.annotations.append(annotation(2 * number + k, number, (2 * i + k) % 3 + 1, outline))
        part.save()
        parts.append(part)
    return parts


def bomb():
    """Return a PNG of a few bytes that declares 3,000 million pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


# --- Each of the following damages image i of train or its annotations. `damage(train, val, i)` returns the image id and
# annotation id that the finding must report, or None.
def _file(write):
    def damage(train, val, i):
        write(train.file(i))
        return train.images[i]["id"], None

    return damage


def _image(**fields):
    def damage(train, val, i):
        train.images[i].update(fields)
        return train.images[i]["id"], None

    return damage


def _annotation(change):
    """Damage an image by `change`, a function of its first and second annotation."""

    def damage(train, val, i):
        first, second = train.of(i)
        change(first, second)
        return train.images[i]["id"], first["id"]

    return damage


def _set(**fields):
    return _annotation(lambda a, _: a.update(fields))


def _cut(path, fraction):
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])


def _cut_png(path):
    write_photograph(path, 1000, format="PNG")
    _cut(path, 0.6)


def _with_orientation(value, rotate_annotations=False):
    def damage(train, val, i):
        exif = Image.Exif()
        exif[0x0112] = value
        write_photograph(train.file(i), 2000 + value, format="JPEG", exif=exif)
        if rotate_annotations:
            train.images[i].update(height=WIDTH, width=HEIGHT)
            for k, a in enumerate(train.of(i)):
                a.update(annotation(a["id"], a["image_id"], a["category_id"], octagon(48, 36 + 56 * k, 22)))
                size = (WIDTH, HEIGHT)
                a["area"] = float(rle_area(as_rle(a["segmentation"], size)))
        return train.images[i]["id"], None

    return damage


def _link_outside(train, val, i):
    outside = train.folder.parent / f"outside_{train.folder.name}.jpg"
    train.file(i).rename(outside)
    train.file(i).symlink_to(outside)
    return train.images[i]["id"], None


def _copy(to_val, **options):
    """Copy image i over the next image or an image of val. With options, it is encoded again."""

    def damage(train, val, i):
        part, j = (val, i % len(val.images)) if to_val else (train, i + 1)
        if options:
            Image.open(train.file(i)).save(part.file(j), format="JPEG", **options)
        else:
            part.file(j).write_bytes(train.file(i).read_bytes())
        return part.images[j]["id"], None

    return damage


def _listed_twice(train, val, i):
    train.images[i + 1]["file_name"] = train.images[i]["file_name"]
    return train.images[i + 1]["id"], None


def _shared_image_id(train, val, i):
    train.images[i + 1]["id"] = train.images[i]["id"]
    for a in train.of(i + 1):
        a["image_id"] = train.images[i]["id"]
    # at other positions in the image, so that they are not duplicates
    for k, a in enumerate(train.of(i + 1)):
        a.update(annotation(a["id"], a["image_id"], a["category_id"], octagon(40 + 50 * k, 60, 15)))
    return train.images[i]["id"], None


def _image_id_as_number_and_text(train, val, i):
    """Give the next image the same id, as text."""
    number = train.images[i]["id"]
    train.images[i + 1]["id"] = str(number)
    for a in train.of(i + 1):
        a["image_id"] = str(number)
    return str(number), None


def _rles_of_both_sizes(train, val, i):
    """Enlarge the listed width. One mask has the listed size, the other the size of the file."""
    train.images[i]["width"] += 30
    for a, width in zip(train.of(i), (WIDTH + 30, WIDTH)):
        rle = as_rle(a["segmentation"], (HEIGHT, width))
        a["segmentation"] = {"size": [HEIGHT, width], "counts": rle["counts"].decode()}
    return train.images[i]["id"], None


def _orphan(train, val, i):
    first, _ = train.of(i)
    first["image_id"] = 987_654
    return 987_654, first["id"]


def _shared_annotation_id(train, val, i):
    first, second = train.of(i)
    second["id"] = first["id"]
    return train.images[i]["id"], first["id"]


def _annotated_twice(train, val, i):
    first, second = train.of(i)
    second.update({**first, "id": second["id"]})
    return train.images[i]["id"], second["id"]


def _conflict(train, val, i):
    first, second = train.of(i)
    second.update({**first, "id": second["id"], "category_id": first["category_id"] % 3 + 1})
    return train.images[i]["id"], second["id"]


def _annotation_is_list(train, val, i):
    train.annotations[2 * i] = ["not", "an", "object"]
    return None, None


def _empty_image(train, val, i):
    train.images.append({"id": 5000, "file_name": "empty.jpg", "height": HEIGHT, "width": WIDTH})
    write_photograph(train.folder / "train" / "empty.jpg", 5000)
    return None, None


def _categories(*more, part=0):
    def damage(train, val, i):
        (train, val)[part].content["categories"].extend(more)
        return None, None

    return damage


def _category_renamed_in_val(train, val, i):
    val.content["categories"][2]["name"] = "dog"
    return None, None


def _only_in_val(train, val, i):
    for part in (train, val):
        part.content["categories"].append({"id": 4, "name": "rare"})
    val.annotations[0]["category_id"] = 4
    return None, None


def _gap(train, val, i):
    for part in (train, val):
        part.content["categories"][2]["id"] = 7
        for a in part.annotations:
            a["category_id"] = 7 if a["category_id"] == 3 else a["category_id"]
    return None, None


def _rle(size=(HEIGHT, WIDTH), counts=(), **fields):
    return _set(segmentation={"size": list(size), "counts": list(counts) or "PP"}, **fields)


def _flatten(a, _):
    (a["segmentation"],) = a["segmentation"]


def _shifted(dx, dy):
    def change(a, _):
        moved = (np.reshape(a["segmentation"][0], (-1, 2)) + (dx, dy)).ravel().tolist()
        a["segmentation"], a["bbox"] = [moved], [a["bbox"][0] + dx, a["bbox"][1] + dy, *a["bbox"][2:]]

    return _annotation(change)


def _polygon(*points, **fields):
    return _set(segmentation=[list(points)], **fields)


_BOW_TIE = (10.0, 20, 60, 70, 60, 20, 10, 70)

# name: (kinds of the findings, of which the first is located where the damage says; damage)
DAMAGES = {
    "a missing file": (["image_missing"], _file(Path.unlink)),
    "a file that is not an image": (["image_unreadable"], _file(lambda path: path.write_text("not an image"))),
    "an empty file": (["image_unreadable"], _file(lambda path: path.write_bytes(b""))),
    "a truncated JPEG": (["image_truncated"], _file(lambda path: _cut(path, 0.7))),
    "a JPEG without its last bytes": (["image_truncated"], _file(lambda path: _cut(path, 0.998))),
    "a truncated PNG": (["image_truncated"], _file(_cut_png)),
    "an image bomb": (["image_too_large"], _file(lambda path: path.write_bytes(bomb()))),
    "a wrong size": (["size_mismatch"], _image(width=WIDTH + 30)),
    "a wrong size, and masks of both sizes": (["size_mismatch"], _rles_of_both_sizes),
    "a size swapped by EXIF": (["size_swapped"], _with_orientation(6, rotate_annotations=True)),
    "a mirrored image": (["exif_orientation"], _with_orientation(2)),
    "a file name that points outside the folder": (["image_outside"], _image(file_name="../../photograph.jpg")),
    "a link out of the folder": (["image_outside"], _link_outside),
    "a duplicate image": (["image_duplicate"], _copy(False)),
    "a re-encoded image": (["image_near_duplicate"], _copy(False, quality=40)),
    "an image of train in val": (["image_leak"], _copy(True)),
    "a re-encoded image of train in val": (["image_near_leak"], _copy(True, quality=40)),
    "a file listed twice": (["file_listed_twice"], _listed_twice),
    "two images with one id": (["image_id_collision"], _shared_image_id),
    "two images with one id, as a number and as text": (["image_id_collision"], _image_id_as_number_and_text),
    "an image without a file name": (["entry_malformed"], _image(file_name=None)),
    "a height that is text": (["entry_malformed"], _image(height="tall")),
    "an annotation of an unlisted image": (["annotation_orphan"], _orphan),
    "an annotation of an unlisted category": (["category_missing"], _set(category_id=77)),
    "two annotations with one id": (["annotation_id_collision"], _shared_annotation_id),
    "no segmentation": (["segmentation_missing"], _set(segmentation=[])),
    "a polygon of two points": (["segmentation_malformed"], _polygon(1, 2, 3, 4)),
    "a polygon of seven numbers": (["segmentation_malformed"], _polygon(10, 20, 60, 20, 60, 60, 3)),
    "a polygon with NaN": (["segmentation_malformed"], _polygon(10, 20, float("nan"), 20, 60, 60)),
    "a polygon that is not in a list": (["value_mended"], _annotation(_flatten)),
    "a segmentation that is text": (["segmentation_malformed"], _set(segmentation="all of it")),
    "an RLE of a different size": (["segmentation_malformed"], _rle((10, 10), (50, 50))),
    "an RLE that does not fill the image": (["segmentation_malformed"], _rle(counts=(50, 50))),
    "an invalid RLE": (["segmentation_malformed"], _rle()),
    "a polygon partly outside the image": (["polygon_outside", "box_outside"], _shifted(-30, 0)),
    "a polygon outside the image": (["polygon_outside", "box_outside"], _shifted(500, 0)),
    "a polygon with huge coordinates": (["polygon_outside"], _polygon(10, 20, 1e15, 20, 1e15, 1e15, bbox=None, area=None)),
    "a polygon that crosses itself": (["polygon_crosses_itself"], _polygon(*_BOW_TIE, bbox=[10, 20, 50, 50], area=1250)),
    "a polygon without area": (["mask_empty"], _polygon(10, 20, 40, 20, 60, 20, bbox=None, area=None)),
    "a mask of one pixel": (["mask_one_pixel"], _polygon(10, 20, 11, 20, 11, 21, 10, 21, bbox=[10, 20, 1, 1], area=1)),
    "a box of three numbers": (["value_mended"], _set(bbox=[1, 2, 3])),
    "a box of negative width": (["value_mended"], _set(bbox=[40, 20, -20, 30])),
    "a box outside the image": (["box_outside", "box_mismatch"], _set(bbox=[1000, 20, 40, 40])),
    "a box far outside the image": (["value_mended"], _set(bbox=[1e300, 20, 40, 40])),
    "an area beyond the image": (["value_mended"], _set(area=1e9)),
    "a box of a different object": (["box_mismatch"], _set(bbox=[2, 2, 20, 20])),
    "a wrong area": (["area_mismatch"], _set(area=3.0)),
    "an area that is text": (["value_mended"], _set(area="large")),
    "an object annotated twice": (["annotation_duplicate"], _annotated_twice),
    "an object with two classes": (["annotation_conflict"], _conflict),
    "an iscrowd that is text": (["entry_malformed"], _set(iscrowd="yes")),
    "an annotation that is a list": (["entry_malformed"], _annotation_is_list),
    "missing fields": (["fields_missing"], _annotation(lambda a, _: [a.pop(name) for name in ("area", "iscrowd")])),
    "an image without objects": (["image_without_objects"], _empty_image),
    "two categories with one id": (["category_id_collision"], _categories({"id": 1, "name": "dog"})),
    "two categories with one id, as a number and as text": (["category_id_collision"], _categories({"id": "2", "name": "dog"})),
    "two categories with one name": (["category_name_collision"], _categories({"id": 5, "name": "cat"})),
    "an unused category": (["category_unused"], _categories({"id": 4, "name": "ghost"})),
    "a gap in the ids": (["category_ids_gaps"], _gap),
    "a different category in val": (["category_differs"], _category_renamed_in_val),
    "a class only in val": (["category_not_trained"], _only_in_val),
}  # fmt: skip

# further kinds that the damage may cause
FOLLOWS = {
    "a polygon with huge coordinates": {"fields_missing"},
    "a polygon without area": {"fields_missing"},
    "a polygon with NaN": {"value_mended"},
    "two images with one id": {"image_without_objects"},
    "a different category in val": {"category_unused", "category_not_trained"},
}
