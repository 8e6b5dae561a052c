"""Reading XML files written by other programs. Document types are refused, because the entities they define can be harmful.

With the standard library's parser, refusing them takes three lines, which does not justify a dependency on defusedxml.
"""

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from mrcnn.base.errors import DataError, data_errors

# Maximum size in bytes: the annotations of one image are smaller, however many objects it has.
_MAX_BYTES = 20_000_000


def read_xml(path: Path | str) -> Element:
    """Read an XML file.

    Returns:
        The root element.

    Raises:
        DataError: the file is missing, too large, not well-formed XML, or declares a document type.
    """
    path = Path(path)
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> NoReturn:
        raise DataError(f"{path} declares a document type (<!DOCTYPE), which can make XML exhaust memory: remove it")

    parser.StartDoctypeDeclHandler = refuse
    try:
        with data_errors(path):
            if path.stat().st_size > _MAX_BYTES:
                raise DataError(f"{path} has {path.stat().st_size} bytes, too many for the annotations of one image")
            parser.Parse(path.read_bytes(), True)
            return builder.close()
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be parsed as XML: {error}") from error
