"""What is checked: the parts of a data set, each with its images and their annotations, however they are stored.

Shape letters: H W image.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.data.images import read_image
from mrcnn.data.orientation import read_orientation, turn_upright


@dataclass
class CheckedImage:
    """An image of a part.

    Attributes:
        id: int or str. As the data name it.
        file: str. As the data name it, for messages.
        path: Path of its file, or None where there is none, or its name cannot be used.
        size: (height, width) that the data say, or None.
        root: Path. The folder that the file must really lie in, or None.
        upright: bool. Whether size and annotations are those of the image turned by its EXIF orientation.
        load: function that reads its pixels [H, W, C], where they do not simply come from the file; or None.
        entry: dict of the JSON that it stands in, or None.
    """

    id: Any
    file: str
    path: Path | None
    size: tuple | None
    root: Path | None = None
    upright: bool = False
    load: Callable | None = None
    entry: dict | None = None

    def read(self):
        """Read the pixels as the annotations see them: [H, W, C]. Raises: DataError, and what an own `load` raises."""
        if self.load is not None:
            return self.load()
        image = read_image(self.path)
        return np.ascontiguousarray(turn_upright(image, read_orientation(self.path))) if self.upright else image


@dataclass
class Part:
    """A part of a data set.

    Attributes:
        name: str. Of the subset; "" for what is not divided.
        path: str. The file or folder, for messages.
        categories: dict id -> name.
        images: list of CheckedImage.
        annotations: function: position in `images` -> list of (label, annotation). The label is its id, or its place
            in the file; the annotation is a dict in COCO's form, in which anything may be wrong. It may raise DataError.
        left_out: function without arguments -> list of (where, reason): what a reader passed over.
        content: dict. The whole JSON of COCO's form, or None for other formats.
    """

    name: str
    path: str
    categories: dict
    images: list
    annotations: Callable
    left_out: Callable = field(default=list)
    content: dict | None = None
