"""The readers of data set formats: one module per format, or a folder where a format needs several modules.

To add a format:

1. Write `formats/NAME.py` with the three functions of `Format` and a subclass of `AnnotatedDataset` (or of `Dataset`, where
   instances are not annotations in COCO's form). `mask_folder.py` is a short example.
2. Add a row to `FORMATS` in `mrcnn/datasets/catalog.py`; the command line lists it from there. Options of `open_subset` that
   the command line should have are added in `mrcnn/cli/options.py`.
3. Test it in `tests/datasets/formats/test_NAME.py`, with a damaged file for each way in which annotators damage it.
4. Describe its layout in `docs/data.md`.

A format that `mrcnn convert` also writes needs a writer in `mrcnn/tools/write` and a name in `catalog.TARGETS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from mrcnn.datasets.dataset import Dataset


@runtime_checkable
class Format(Protocol):
    """The functions that the module of a format defines.

    Attributes:
        open_subset: function (path, subset=None, *, progress=None, **options) -> Dataset, not prepared. `subset` is one of
            `subsets(path)`, or None where there are none; `progress` is a `mrcnn.base.progress.Stages`, or None; the options
            are the format's own. Raises DataError for data that cannot be used as a whole, and records in `skipped`
            which images and annotations cannot be used.
    """

    open_subset: Callable[..., Dataset]

    def recognise(self, path: Path) -> str | None:
        """Return None where a file or folder looks like this format, else a short reason why it does not.

        It must be fast and must not raise for data of other formats: all formats are asked in turn.
        """

    def subsets(self, path: Path | str) -> list[str]:
        """Return the names of the subsets, such as ["train", "val"]; [] where the data set is not divided."""
