"""Reading XML that somebody else wrote, without what can harm: no document type, and so no entities to expand."""

from pathlib import Path
from xml.etree.ElementTree import TreeBuilder
from xml.parsers import expat

from mrcnn.base.errors import DataError

# the annotations of one image, however many objects it has, are smaller
_MAX_BYTES = 20_000_000


def read_xml(path):
    """Read an XML file.

    Args:
        path: path.

    Returns:
        xml.etree.ElementTree.Element. Its root.

    Raises:
        DataError: the file is missing, too large, no well-formed XML, or declares a document type.
    """
    path = Path(path)
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_):
        raise DataError(f"{path} declares a document type (<!DOCTYPE), by which XML can be made to fill the memory: remove it")

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
        raise DataError(f"{path} is no XML that can be read: {error}") from error
