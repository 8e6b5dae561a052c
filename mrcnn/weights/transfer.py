"""Weights that were trained for other classes or for images with other channels: what a model takes over from them.

Class heads: the rows of classes with the same name are taken over.

The first convolution, for images whose channels are not red, green and blue: each input channel gets the mean of the pretrained
kernel over red, green and blue, scaled so that the sum over the input channels is unchanged. An image whose channels are all
the same then has the features of the grey RGB image.

Shape letters: K classes with background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num, Shaped

from mrcnn.base.text import printable, short
from mrcnn.datasets.class_names import folded
from mrcnn.datasets.coco_names import CLASS_NAMES, THINGS
from mrcnn.weights.tensors import WeightsError

# The layers with values for each class, and the number of values of a class on the last axis of their tensors.
CLASS_LAYERS = {"mrcnn_class_logits": 1, "mrcnn_bbox_fc": 4, "mrcnn_mask": 1}
# the value of `classes_from` that stands for the classes of COCO
COCO = "coco"
# maximum number of rows of the table in a report
_LISTED = 30
# channels of the images that published weights were trained on
RGB = 3


class ClassNames(NamedTuple):
    """Names of the classes of a model and of a weight file, the background first.

    Attributes:
        ours: those of the model.
        theirs: those of the file; or "coco" for COCO's 80 things, in the order of their ids: a file of 81 rows, or of 91 if
            ids that are not used have rows too, as torchvision's.
    """

    ours: Sequence[str]
    theirs: Sequence[str] | str


@dataclass(frozen=True)
class ClassRows:
    """Which row of a file's class layers each class of the model takes over.

    Attributes:
        ours: names of the model's classes, the background first.
        theirs: names of the file's, None for a row without a class.
        rows: for each class of the model, its row in the file; None for a class that keeps its initial values.
    """

    ours: tuple[str, ...]
    theirs: tuple[str | None, ...]
    rows: tuple[int | None, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every class of the model is taken over."""
        return None not in self.rows

    def merge(self, layer: str, values: Shaped[np.ndarray, "..."], current: Shaped[np.ndarray, "..."]) -> np.ndarray:
        """Return the tensor of a class layer with the rows that are taken over.

        Args:
            layer: a key of CLASS_LAYERS.
            values: the tensor of the file, the classes on its last axis.
            current: the tensor of the model.
        """
        per_class = CLASS_LAYERS[layer]
        theirs = values.reshape(*values.shape[:-1], len(self.theirs), per_class)
        merged = current.astype(np.float32).reshape(*current.shape[:-1], len(self.ours), per_class)
        for number, row in enumerate(self.rows):
            if row is not None:
                merged[..., number, :] = theirs[..., row, :]
        return merged.reshape(current.shape)

    def table(self) -> str:
        """Return a table of the classes, one a line: the name, and the row that it is taken over from or "initialised".

        If all are taken over under the same names, there is only the first line, with their number.
        """
        pairs = list(zip(self.ours, self.rows, strict=True))[1:]
        if all(row is not None and self.theirs[row] == name for name, row in pairs):
            return f"classes taken over: all {len(pairs)}"
        taken = sum(row is not None for _, row in pairs)
        lines = [f"classes taken over: {taken} of {len(pairs)}"]
        for name, row in pairs[:_LISTED]:
            source = "initialised" if row is None else f"row {row}, {printable(self.theirs[row])}"
            lines.append(f"  {short(name, 36):<36}  {short(source, 38)}")
        return "\n".join(lines + ([f"  and {len(pairs) - _LISTED} more"] if len(pairs) > _LISTED else []))


def match_classes(names: ClassNames, in_model: int, in_file: int, where: Any) -> ClassRows:
    """Match the classes of a model with those of a file by name, ignoring case, spaces and punctuation.

    Without any match, the background is initialised too: trained alone, it would suppress every other class.

    Args:
        names: of the classes.
        in_model: K of the model.
        in_file: K of the file.
        where: the file, for messages.

    Raises:
        WeightsError: there are more or fewer names than classes.
    """
    ours = list(names.ours)
    theirs = _coco_names(in_file, where) if names.theirs == COCO else list[str | None](names.theirs)
    for whose, given, count, argument in (("the file", theirs, in_file, "classes_from, --classes-from"),
                                          ("the model", ours, in_model, "class_names")):  # fmt: skip
        if len(given) != count:
            raise WeightsError(f"{where}: the class layers of {whose} have {count} rows, background included, but {len(given)} "
                               f"class names were given for them ({argument})")
    exact = {name: row for row, name in reversed(list(enumerate(theirs))) if row and name is not None}
    similar = {folded(name): row for name, row in exact.items()}
    rows = [exact.get(name, similar.get(folded(name))) for name in ours[1:]]
    background = 0 if any(row is not None for row in rows) else None
    return ClassRows(tuple(ours), tuple(theirs), (background, *rows))


def _coco_names(count: int, where: Any) -> list[str | None]:
    if count == len(CLASS_NAMES):
        return list(CLASS_NAMES)
    by_id = dict(THINGS)
    if count == max(by_id) + 1:
        return [CLASS_NAMES[0], *(by_id.get(number) for number in range(1, count))]
    raise WeightsError(f"{where}: the class layers have {count} rows, background included, but those of COCO have "
                       f"{len(CLASS_NAMES)}, or {max(by_id) + 1} by id: give a classes.json with the names of the file's "
                       "classes (classes_from, --classes-from)")



def is_rgb_stem(in_file: Sequence[int], in_model: Sequence[int], channels: int | None) -> bool:
    """Return whether a tensor of a file is the kernel of a first convolution for RGB, and that of the model for other images.

    Args:
        in_file: shape of the tensor of the file.
        in_model: shape of the tensor of the model.
        channels: number of channels of the model's images. If it is None, the answer is False.
    """
    if len(in_file) != 4 or len(in_model) != 4 or in_file[2] != RGB or in_model[2] != channels or channels == RGB:
        return False
    return all(in_file[axis] == in_model[axis] for axis in (0, 1, 3))


def inflate(kernel: Num[np.ndarray, "h w C F"], channels: int) -> np.ndarray:
    """Return the kernel for another number of input channels: [h, w, channels, F]."""
    mean = kernel.mean(axis=2, keepdims=True)
    return np.repeat(mean * (kernel.shape[2] / channels), channels, axis=2)
