"""Reading XML files written by other programs. Document types are refused, and with them entities, which can be harmful.

Refusing them takes three lines on the parser of the standard library, fewer than a dependency on defusedxml.
"""

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mrcnn.base.errors import DataError

# The annotations of one image are smaller, however many objects it has.
_MAX_BYTES = 20_000_000


def read_xml(path: Path | str) -> Element:
    """Read an XML file.

    Returns:
        Its root.

    Raises:
        DataError: The file is missing, too large, not well-formed XML, or declares a document type.
    """
    path = Path(path)
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> NoReturn:
        raise DataError(f"{path} declares a document type (<!DOCTYPE), with which XML can fill the memory: remove it")

    parser.StartDoctypeDeclHandler = refuse
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} has {path.stat().st_size} bytes, more than the annotations of one image have")
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not XML that can be read: {error}") from error
