"""Bad data: the exception, the errors of reading a file, and warnings of what is skipped.

A data set may cause hundreds of such warnings: the first ones are logged in full, the others are only counted.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from mrcnn.base.text import printable

# number of warnings that are logged in full
SHOWN = 10


class DataError(ValueError):
    """A data set, an image or an annotation is not usable.

    The message names the file or the image id, the field, what was found and what to do. The loader skips and reports a
    sample that raises it. Any other exception means a bug or a wrong setting, and stops training.
    """


@contextlib.contextmanager
def data_errors(path: Path | str) -> Iterator[None]:
    """Turn errors of reading a data file into a DataError that names it: it is missing, unreadable or nested too deeply."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a data file") from error


def warn_of_one_more(logger: logging.Logger, count: int, text: str) -> None:
    """Log a warning of a series: the first ten, and the 20th, 40th, 80th and so on with their number.

    Args:
        count: number of warnings of the series so far, with this one.
        text: what is skipped, and why.
    """
    text = printable(text)
    if count <= SHOWN:
        logger.warning("skipped in training: %s", text)
    elif count % SHOWN == 0 and (count // SHOWN).bit_count() == 1:
        logger.warning("skipped in training: %d images so far, the last one: %s (`mrcnn check` lists all)", count, text)
