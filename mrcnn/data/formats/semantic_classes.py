"""Files that name the classes of semantic maps: see `mrcnn.data.formats.semantic` for their forms."""

from pathlib import Path

from mrcnn.data.errors import DataError
from mrcnn.data.fields import field, read_json, shown

CLASS_FILES = ("classes.txt", "labels.txt", "classes.json", "labels.json")
MAX_CLASSES = 5000
# the largest number of a pixel
MAX_ID = 65535
# without the underscores that some tools put around them
_BACKGROUND_NAMES = ("background", "bg")
_IGNORE_NAME = "ignore"


def find_classes(folders, given=None):
    """Find and read the file of classes.

    Args:
        folders: list of Paths to look in, in this order.
        given: path of the file, or a list of names in its place; None looks for the file.

    Returns:
        (names, path): {id: name} without the background, and the file, None for a list; (None, None) where there is none.

    Raises:
        DataError: it is damaged, or the file that was given is missing.
    """
    if isinstance(given, list | tuple):
        return _checked(_by_place(given, "labels"), "labels"), None
    if given is not None:
        return read_classes(given), Path(given)
    for folder in folders:
        for name in CLASS_FILES:
            if (folder / name).is_file():
                return read_classes(folder / name), folder / name
    return None, None


def read_classes(path):
    """Read a file of classes.

    Args:
        path: path. A name a line, or JSON.

    Returns:
        {id: name}, without id 0, the background.

    Raises:
        DataError: the file is missing, is damaged, or names no class or one id twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        names = _from_json(read_json(path), path)
    else:
        names = _by_place(_lines(path), path)
    return _checked(names, path)


def _checked(names, path):
    """Leave out the background: {id: name} of the others, which must be some, and not too many."""
    names.pop(0, None)
    if not names:
        raise DataError(f"{path} names no class beside the background")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{path} names {len(names)} classes, and at most {MAX_CLASSES} are read")
    return names


def _lines(path):
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _by_place(names, path):
    """Number names by their place: from 1, or from 0 where the first is the background's."""
    for place, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: entry {place} is {shown(name)}, expected the name of a class")
    names = [name.strip() for name in names]
    if names and names[0].strip("_").lower() == _IGNORE_NAME:  # as labelme's tools begin their lists
        names = names[1:]
    first = 0 if names and names[0].strip("_").lower() in _BACKGROUND_NAMES else 1
    return dict(enumerate(names, start=first))


def _from_json(content, path):
    if isinstance(content, list) and not any(isinstance(entry, dict) for entry in content):
        return _by_place(content, path)
    if isinstance(content, list):
        pairs = [(field(entry, "id", int, f"{path}: [{i}]"), field(entry, "name", str, f"{path}: [{i}]"))
                 for i, entry in enumerate(content)]  # fmt: skip
    elif isinstance(content, dict):
        pairs = [(_number(key, path), field(content, key, str, str(path))) for key in content]
    else:
        raise DataError(f'{path} is {shown(content)}, expected {{"1": "name", ...}} or a list')
    names = {}
    for number, name in pairs:
        if not 0 <= number <= MAX_ID or number in names or not name.strip():
            raise DataError(f"{path}: the class {shown(name)} has the id {shown(number)}, expected a name, and an id from 0 to "
                            f"{MAX_ID} that no other has")  # fmt: skip
        names[number] = name.strip()
    return names


def _number(key, path):
    if not key.isascii() or not key.isdigit() or len(key) > 5:
        raise DataError(f"{path}: the key {shown(key)} is no class id, expected a whole number from 0 to {MAX_ID}")
    return int(key)
