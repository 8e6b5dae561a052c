"""Ring 0 data: data sets, the sample made of one image, the loader, and the readers of formats."""

from mrcnn.data.catalog import open_dataset as open

__all__ = ["open"]
