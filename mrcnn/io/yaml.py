"""Reading small YAML files written by other programs, as text, lists and mappings.

This builds on PyYAML's `BaseLoader`, because `SafeLoader` would convert a class named `no` to False.
"""

from pathlib import Path
from typing import Any

import yaml

from mrcnn.base.errors import DataError

# Maximum size in bytes: a list of a hundred thousand names is smaller.
_MAX_BYTES = 4_000_000
# Maximum number of collections in each other: a description of a data set needs three.
_MAX_DEPTH = 100


def read_yaml(path: Path | str) -> dict:
    """Read a YAML file of plain values.

    Returns:
        str (numbers too), list or dict by name; empty for an empty file.

    Raises:
        DataError: the file is missing, too large, not valid YAML, not a mapping, nested too deeply, or uses aliases.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} has {path.stat().st_size} bytes, too many for the description of a data set")
        text = path.read_text(encoding="utf-8-sig")
        _check_structure(text)
        content = _load(text)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a data file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be parsed as YAML: {' '.join(str(error).split())}") from error
    if content in ("", None):
        return {}
    if not isinstance(content, dict):
        raise DataError(f"{path} contains {'a list' if isinstance(content, list) else 'text'}, expected a mapping")
    return content


def _load(text: str) -> Any:
    """Read YAML as str, list and dict: a name such as `no` or `2020-01-01` stays text, and tags create no objects."""
    if yaml.__with_libyaml__:  # it is seven times as fast
        return yaml.load(text, Loader=yaml.CBaseLoader)
    return yaml.load(text, Loader=yaml.BaseLoader)


def _check_structure(text: str) -> None:
    """Refuse what could take too much memory or too many calls, before values are made.

    Raises:
        YAMLError: it has an alias; a chain of aliases can expand to more nodes than fit into memory.
        RecursionError: it is nested too deeply.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name), which is not supported here")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise RecursionError
