"""Errors of reading a data file name the file."""
import pytest

from mrcnn.base.errors import DataError, data_errors


@pytest.mark.parametrize(
    "error, message",
    [
        (FileNotFoundError(2, "No such file"), "toys.json does not exist"),
        (IsADirectoryError(21, "Is a directory"), r"toys.json cannot be read: \[Errno 21\] Is a directory"),
        (RecursionError("maximum recursion depth"), "toys.json is nested too deeply to be a data file"),
        (DataError("toys.json has no images"), "toys.json has no images"),
    ],
)
def test_errors_of_reading_are_data_errors_with_the_name_of_the_file(error, message):
    with pytest.raises(DataError, match=f"^{message}$"), data_errors("toys.json"):
        raise error


def test_other_errors_are_unchanged():
    with pytest.raises(KeyError, match="images"), data_errors("toys.json"):
        raise KeyError("images")
