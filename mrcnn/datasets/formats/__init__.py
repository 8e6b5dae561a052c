"""The readers of data set formats: one module per format, or a folder where a format needs several modules.

To add a format:

1. Write `formats/NAME.py` with the three functions of `Format` and a subclass of `AnnotatedDataset` (or of `Dataset`, if its
   instances are not COCO annotations). `mask_folder.py` is a short example.
2. Add a row to `FORMATS` in `mrcnn/datasets/catalog.py`, from which the command line lists the formats. Add options of
   `open_subset` that the command line should offer in `mrcnn/cli/options.py`.
3. Test it in `tests/datasets/formats/test_NAME.py`, with a damaged file for each mistake that annotators make.
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
            `subsets(path)`, or None if there are none; `progress` is a `mrcnn.base.progress.Stages`, or None; the options
            depend on the format. Raises DataError for a data set that cannot be used at all, and records in `skipped` the
            images and annotations that cannot be used.
    """

    open_subset: Callable[..., Dataset]

    def recognise(self, path: Path) -> str | None:
        """Return None if a file or folder looks like this format, else a short reason why it does not.

        It must be fast and must not raise for data of other formats, because all formats are tried in turn.
        """

    def subsets(self, path: Path | str) -> list[str]:
        """Return the names of the subsets, such as ["train", "val"]; [] if the data set is not divided."""
