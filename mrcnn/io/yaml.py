"""Reading small YAML files that somebody else wrote: text, lists and mappings, and nothing that can do harm."""

from pathlib import Path

import yaml

from mrcnn.base.errors import DataError

# a list of a hundred thousand names is smaller
_MAX_BYTES = 4_000_000


class _PlainLoader(yaml.BaseLoader):
    """Makes str, list and dict alone: a name such as `no` or `2020-01-01` stays text, and no tag makes an object."""

    def compose_node(self, parent, index):
        # a chain of aliases stands for more nodes than any memory holds
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name), which is not read here")
        return super().compose_node(parent, index)


def read_yaml(path):
    """Read a YAML file of plain values.

    Args:
        path: path.

    Returns:
        dict of str -> str (numbers too), list or dict; empty for an empty file.

    Raises:
        DataError: the file is missing, too large, no valid YAML, no mapping, nested too deeply, or uses aliases.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} has {path.stat().st_size} bytes, more than a description of a data set has")
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_PlainLoader)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a data file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no YAML that can be read: {' '.join(str(error).split())}") from error
    if content in ("", None):
        return {}
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {'a list' if isinstance(content, list) else 'text'}, expected names with values")
    return content
