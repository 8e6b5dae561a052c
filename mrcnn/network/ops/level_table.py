"""The maps of all levels in one table of cells, so that one gather reads from every level.

Shapes: B images, L levels, S cells of one image on all levels together, C channels.
"""

from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass
class LevelTable:
    """Feature maps laid out one behind the other.

    Attributes:
        cells: float32 [B * S, C]. Image by image, level by level, row by row. In float32, for the gradient adds up to
            thousands of samples in a cell, which loses digits in lower precision, and graphics cards add bfloat16 to memory
            ten times more slowly.
        heights, widths: int32 [L]. Of the maps.
        level_starts: int32 [L]. The first cell of each level in its image's part.
        image_starts: int32 [B]. The first cell of each image.
    """

    cells: Any
    heights: Any
    widths: Any
    level_starts: Any
    image_starts: Any

    @classmethod
    def of(cls, feature_maps):
        """Lay out maps: list of float [B, h, w, C], one a level."""
        batch, channels = ops.shape(feature_maps[0])[0], feature_maps[0].shape[-1]
        cells = ops.concatenate([ops.reshape(ops.cast(m, "float32"), (batch, -1, channels)) for m in feature_maps], axis=1)
        sizes = [tuple(ops.cast(side, "int32") for side in ops.shape(m)[1:3]) for m in feature_maps]
        heights, widths = (ops.stack(sides) for sides in zip(*sizes, strict=True))
        ends = ops.cumsum(heights * widths)
        return cls(cells=ops.reshape(cells, (-1, channels)), heights=heights, widths=widths,
                   level_starts=ends - heights * widths, image_starts=ops.arange(batch, dtype="int32") * ends[-1])
