"""Reading small YAML files written by other programs, as text, lists and mappings.

This builds on PyYAML's `BaseLoader`, because `SafeLoader` would convert a class named `no` to False, and expand aliases without
limit.
"""

from pathlib import Path
from typing import Any

import yaml

from mrcnn.base.errors import DataError

# Maximum size in bytes, which takes a second or two to read: a list of fifty thousand names is smaller.
_MAX_BYTES = 1_000_000


class _PlainLoader(yaml.BaseLoader):
    """Makes only str, list and dict: a name such as `no` or `2020-01-01` stays text, and tags create no objects."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        # a chain of aliases can expand to more nodes than fit into memory
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name), which is not supported here")
        return super().compose_node(parent, index)


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
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_PlainLoader)
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
