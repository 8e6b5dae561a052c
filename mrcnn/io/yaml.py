"""Reading small YAML files written by other programs, as text, lists and mappings.

This builds on the events of PyYAML's parser, because `SafeLoader` would convert a class named `no` to False.
"""

from pathlib import Path
from typing import Any

import yaml

from mrcnn.base.errors import DataError, data_errors

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
        with data_errors(path):
            if path.stat().st_size > _MAX_BYTES:
                raise DataError(f"{path} has {path.stat().st_size} bytes, too many for the description of a data set")
            content = _load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be parsed as YAML: {' '.join(str(error).split())}") from error
    if content in ("", None):
        return {}
    if not isinstance(content, dict):
        raise DataError(f"{path} contains {'a list' if isinstance(content, list) else 'text'}, expected a mapping")
    return content


def _load(text: str) -> Any:
    """Make str, list and dict of YAML: a name such as `no` or `2020-01-01` stays text, and tags create no objects.

    This reads the parser's events itself, because PyYAML's constructors take four times as long and recurse.

    Returns:
        The first document; None if there is none.

    Raises:
        YAMLError: it is not valid, has a key that is a collection, or has an alias; a chain of aliases can expand to more
            values than fit into memory.
        RecursionError: it is nested too deeply.
    """
    documents: list[Any] = []
    open_collections: list[Any] = [documents]
    keys: list[str | None] = [None]  # of each open collection: the key whose value comes next
    for event in yaml.parse(text, Loader=yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader):
        if isinstance(event, yaml.ScalarEvent):
            value: Any = event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
        elif isinstance(event, yaml.MappingStartEvent):
            value = {}
        elif isinstance(event, yaml.CollectionEndEvent):
            open_collections.pop()
            keys.pop()
            continue
        elif isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name), which is not supported here")
        else:
            continue
        parent = open_collections[-1]
        if isinstance(parent, list):
            parent.append(value)
        elif keys[-1] is not None:
            parent[keys[-1]] = value
            keys[-1] = None
        elif isinstance(value, str):
            keys[-1] = value
            continue
        else:
            raise yaml.YAMLError(f"it has a list or mapping as a key {str(event.start_mark).strip()}")
        if not isinstance(value, str):
            open_collections.append(value)
            keys.append(None)
            if len(keys) > _MAX_DEPTH + 1:
                raise RecursionError
    if len(documents) > 1:
        raise yaml.YAMLError("it has several documents")
    return documents[0] if documents else None
