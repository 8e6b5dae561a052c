"""The error that bad data raises."""


class DataError(ValueError):
    """A data set, an image or an annotation is not usable.

    The message names the file or the image id, the field, what was found and what to do. The loader leaves out a sample that
    raises it, and reports it. Any other error is a fault of the program or of its settings, and stops the training.
    """
