"""A raw COCO JSON: what is wrong with its entries, and the part that remains to be looked at.

Where the reader raises at the first fault or leaves an annotation out, everything is named here.
"""

from collections import Counter
from pathlib import Path

from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.annotation_checks import is_id
from mrcnn.datasets.formats.coco import LISTS
from mrcnn.io import images as image_files
from mrcnn.io.json_fields import is_kind, read_json, shown
from mrcnn.io.paths import inside
from mrcnn.tools.doctor.finding import INFO, Place
from mrcnn.tools.doctor.parts import CheckedImage, Part


def read_part(path, image_dir, name, findings, *, allow_outside=False, progress=None):
    """Read a COCO JSON and note what is wrong with its entries.

    Args:
        path: Path of the JSON.
        image_dir: Path. Its file names are relative to it.
        name: str. Of the part.
        findings: Findings, which is added to.
        allow_outside: bool. Whether file names may lead out of `image_dir`.
        progress: maker of stages (`mrcnn.base.progress`), or None: those of `read_json`, and "checking entries".

    Returns:
        Part.

    Raises:
        DataError: the file is missing, or is no JSON with an object in it.
    """
    content = read_json(path, constants=True, progress=progress)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {shown(content)}, expected an object with the lists {', '.join(LISTS)}")
    for key in LISTS:
        if not isinstance(content.get(key), list):
            what = f"{path} has no list {key!r}" + (f", but {shown(content[key])}" if key in content else "")
            findings.add("list_missing", Place(name), what)
            content = {**content, key: []}
    check = _Entries(name, findings)
    categories = check.categories(content["categories"])
    images = check.images(content["images"], Path(image_dir), allow_outside)
    with (progress or unseen)("checking entries") as show:
        by_image = check.annotations(content["annotations"], images, categories, show)
    return Part(name, str(path), categories, images, lambda i: by_image.get(i, []), content=content)


class _Entries:
    """Looks at the entries of one part. Attributes: part: str, its name; findings: Findings."""

    def __init__(self, part, findings):
        self.part, self.findings = part, findings

    def _malformed(self, place, where, field, value, expected):
        self.findings.add("entry_malformed", place, f"{where}: {field!r} is {shown(value)}, expected {expected}")

    def _is_entry(self, entry, where):
        """Whether an entry is an object with a usable id; if not, that is noted."""
        place = Place(self.part)
        if not isinstance(entry, dict):
            self.findings.add("entry_malformed", place, f"{where} is {shown(entry)}, expected an object")
            return False
        if not is_id(entry.get("id")):
            self._malformed(place, where, "id", entry.get("id"), "a whole number or text")
            return False
        return True

    def categories(self, entries):
        """Read the categories. Returns: dict id -> name; of those that share an id, the first."""
        names, texts = {}, {}
        for position, entry in enumerate(entries):
            where = f"categories[{position}]"
            if not self._is_entry(entry, where):
                continue
            name = entry.get("name")
            if not isinstance(name, str) or not name:
                self._malformed(Place(self.part), where, "name", name, "text")
                name = f"category {entry['id']}"
            first = texts.setdefault(str(entry["id"]), entry["id"])  # 7 and "7" are one for the readers
            if first in names:
                told = f"{names[first]!r} and {name!r} share the id {_both(first, entry['id'])}"
                self.findings.add("category_id_collision", Place(self.part), told)
                continue
            names[entry["id"]] = name
        for name, count in Counter(names.values()).items():
            if count > 1:
                ids = ", ".join(str(i) for i, n in names.items() if n == name)
                self.findings.add("category_name_collision", Place(self.part), f"the ids {ids} are all named {name!r}")
        return names

    def images(self, entries, folder, allow_outside):
        """Read the images. Returns: list of CheckedImage, those that share an id too."""
        found, ids, files = [], {}, {}
        for position, entry in enumerate(entries):
            where = f"images[{position}]"
            if not self._is_entry(entry, where):
                continue
            image = self._image(entry, where, folder, allow_outside)
            place = Place(self.part, image.file, image.id)
            first_id, first = ids.setdefault(str(image.id), (image.id, where))
            if first != where:
                told = f"{where} and {first} share the id {_both(first_id, image.id)}"
                self.findings.add("image_id_collision", place, told)
            if image.path is not None and image.path in files:
                self.findings.add("file_listed_twice", place, f"{where} and {files[image.path]} are the same file")
            files.setdefault(image.path, where)
            found.append(image)
        return found

    def _image(self, entry, where, folder, allow_outside):
        name, size, path = entry.get("file_name"), (entry.get("height"), entry.get("width")), None
        place = Place(self.part, name if isinstance(name, str) else "", entry["id"])
        if isinstance(name, str) and name:
            try:
                path = inside(folder, name, f"{where}: file_name", allow_outside=allow_outside)
            except DataError as error:
                self.findings.add("image_outside", place, str(error))
        else:
            self._malformed(place, where, "file_name", name, "the name of a file")
        for field, value in zip(("height", "width"), size):
            if not is_kind(value, int) or value <= 0:
                self._malformed(place, where, field, value, "a whole number above 0")
                size = None
                break
        if size and size[0] * size[1] > image_files.MAX_PIXELS:
            self._malformed(place, where, "height", size[0], f"at most {image_files.MAX_PIXELS} pixels with 'width'")
            size = None
        root = None if allow_outside else folder
        return CheckedImage(entry["id"], place.file, path, size, root, entry.get("exif_applied") is True, entry=entry)

    def annotations(self, entries, images, categories, show):
        """Sort the annotations. Returns: dict position of the image -> list of (label, annotation)."""
        positions = {}
        for position, image in enumerate(images):
            positions.setdefault(image.id, position)
        by_image, ids = {}, set()
        for position, entry in enumerate(tracked(entries, show, every=1000)):
            where = f"annotations[{position}]"
            if not isinstance(entry, dict):
                self.findings.add("entry_malformed", Place(self.part), f"{where} is {shown(entry)}, expected an object")
                continue
            label = entry["id"] if is_id(entry.get("id")) else where
            image_id = entry.get("image_id")
            known = is_id(image_id) and image_id in positions
            file = images[positions[image_id]].file if known else ""
            place = Place(self.part, file, image_id if is_id(image_id) else None, label)
            self._fields(entry, where, place, ids)
            if not is_id(entry.get("category_id")) or entry["category_id"] not in categories:
                told = f"no category has the id {shown(entry.get('category_id'))}"
                self.findings.add("category_missing", place, told)
            if not known:
                self.findings.add("annotation_orphan", place, f"no image has the id {shown(image_id)}")
                continue
            by_image.setdefault(positions[image_id], []).append((label, entry))
        return by_image

    def _fields(self, entry, where, place, ids):
        """Look at the fields of an annotation that need no image."""
        missing = [name for name in ("id", "area", "bbox", "iscrowd") if entry.get(name) is None]
        if missing:
            self.findings.add("fields_missing", place, f"{where} has no {', '.join(missing)}", severity=INFO)
        if entry.get("id") is not None:
            if not is_id(entry["id"]):
                self._malformed(place, where, "id", entry["id"], "a whole number or text")
            elif entry["id"] in ids:
                self.findings.add("annotation_id_collision", place, f"{where} has the id of another: {entry['id']!r}")
            else:
                ids.add(entry["id"])
        if entry.get("iscrowd") not in (None, 0, 1):
            self._malformed(place, where, "iscrowd", entry["iscrowd"], "0 or 1")
        area = entry.get("area")
        if area is not None and not (is_kind(area, float) and area >= 0):
            self._malformed(place, where, "area", area, "a number of pixels")


def _both(first, second):
    """Show an id that two entries share, though one may be a number and the other text."""
    return shown(first) if type(first) is type(second) else f"{shown(first)}, which is read as {shown(second)} is"
