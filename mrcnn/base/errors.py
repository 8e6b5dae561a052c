"""The exception raised for bad data."""


class DataError(ValueError):
    """A data set, an image or an annotation is not usable.

    The message names the file or the image id, the field, what was found and what to do. The loader skips and reports a
    sample that raises it. Any other exception means a bug or a wrong setting, and stops training.
    """
