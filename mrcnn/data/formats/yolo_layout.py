"""Where a YOLO data set has its images, labels and names: see `mrcnn.data.formats.yolo` for the format."""

import os
from dataclasses import dataclass
from pathlib import Path

from mrcnn.data.errors import DataError
from mrcnn.data.fields import shown
from mrcnn.data.formats.part_folders import PARTS, part_name
from mrcnn.data.plain_yaml import read_yaml

_NAME_FILES = ("classes.txt", "labels/classes.txt")


@dataclass(frozen=True)
class Layout:
    """Where the images lie: base (folder of the data set), parts {name or None: list of str}, relative to one of `roots`,
    names {class: name} or None, and the file that says so, for messages.
    """

    base: Path
    parts: dict
    names: dict | None
    described: Path
    roots: tuple


def find_layout(path):
    """Find the parts and names of a folder or of a YAML file. Returns: Layout; its parts are {} for anything else."""
    base = path.parent if path.is_file() else path
    described, content = _description(path, base)
    names = _names_of_yaml(content, described) if "names" in content else _names_of_files(base)
    parts = {}
    for part, called in PARTS.items():
        key = next((name for name in called if content.get(name)), None)
        if key is not None:
            parts[part] = _texts(content[key], f"{described}: {key}")
    (root,) = _texts(content.get("path") or ".", f"{described}: path", most=1)
    if not parts and not path.is_file():
        try:
            parts, root = _parts_of_folders(base), "."
        except OSError as error:
            raise DataError(f"{base} cannot be read: {error}") from error
    return Layout(base, parts, names, described, tuple(dict.fromkeys([root, "."])))


def _description(path, base):
    """Find the YAML file that names the classes: (its path, what it holds), or (path, {})."""
    if path.is_file():
        return path, read_yaml(path)
    found = sorted(file for file in base.glob("*") if file.suffix.lower() in (".yaml", ".yml") and file.is_file())
    for file in sorted(found, key=lambda file: file.name != "data.yaml"):
        try:
            content = read_yaml(file)
        except DataError:
            if file.name == "data.yaml":
                raise
            continue  # some other file that lies there
        if "names" in content:
            return file, content
    return path, {}


def _texts(value, where, most=None):
    """Check a value that is one text, or a list of them: list of str."""
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, str) and one for one in found) or len(found) > (most or len(found)):
        raise DataError(f"{where} is {shown(value)}, expected the name of a folder or file")
    return found


def _parts_of_folders(base):
    """Find the parts where no YAML file names them: {name, or None where undivided: list of folders of the images}."""
    images, labels = base / "images", base / "labels"
    if images.is_dir() and labels.is_dir():
        divided = [(p.name, f"images/{p.name}") for p in sorted(images.iterdir()) if _has_labels(labels / p.name)]
        if not divided:
            return {None: ["images"]} if _has_labels(labels) else {}
    else:
        folders = sorted(base.iterdir()) if base.is_dir() else []
        divided = [(p.name, f"{p.name}/images") for p in folders if (p / "images").is_dir() and _has_labels(p / "labels")]
    parts = {}
    for name, folder in divided:
        parts.setdefault(part_name(name), []).append(folder)
    return parts


def _has_labels(folder):
    return folder.is_dir() and any(map(is_label_name, os.listdir(folder)))


def is_label_name(name):
    """Tell whether a file's name is that of labels, and neither of class names nor hidden: bool."""
    return name.lower().endswith(".txt") and name != "classes.txt" and not name.startswith(".")


def _names_of_yaml(content, path):
    """Read `names`, a list or a mapping from numbers, and hold `nc`, their number, against it: {class: name}."""
    names, count = content["names"], content.get("nc")
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    found = {}
    for key, name in pairs:
        if not isinstance(name, str) or not name or not (isinstance(key, int) or key.isdecimal() and len(key) < 10):
            raise DataError(f"{path}: names has {shown(key)}: {shown(name)}, expected the number of a class and its name")
        found[int(key)] = name
    if not found:
        raise DataError(f"{path}: names is {shown(names)}, expected a list of names, or numbers with names")
    if count and count != str(len(found)):
        raise DataError(f"{path}: nc is {shown(count)}, and there are {len(found)} names, {', '.join(found.values()):.200}: "
                        "correct one of them")  # fmt: skip
    return dict(sorted(found.items()))


def _names_of_files(base):
    for name in _NAME_FILES:
        if (base / name).is_file():
            return names_of_lines(base / name)
    return None


def names_of_lines(path):
    """Read a name a line: {class: name}."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of names: {error}") from error
    if not any(lines):
        raise DataError(f"{path} holds no names, expected one a line")
    return {number: name for number, name in enumerate(lines) if name}


def label_of(image, base):
    """Find the place of an image's label file, whose ending is .txt, or .TXT where that is there; see `labels_folder`."""
    label = labels_folder(image.parent, base) / (image.stem + ".txt")
    shouted = label.with_suffix(".TXT")
    return shouted if not label.exists() and shouted.exists() else label


def labels_folder(folder, base):
    """Find the folder of the labels: the last `images` in the path, below the data set's folder, becomes `labels`."""
    within = folder.relative_to(base).parts if folder.is_relative_to(base) else folder.parts
    above, parts = folder.parts[: len(folder.parts) - len(within)], list(within)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*above, *parts)
