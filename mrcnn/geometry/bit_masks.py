"""Many masks of one image in few maps: each mask is a bit of an int32 map.

Whatever moves the pixels of a map without mixing them, a nearest-neighbour warp say, moves all of its masks at once.

Shape letters: H W image, N masks, M maps.
"""

import numpy as np

from mrcnn.geometry.boxes import boxes_of_profiles

# whole numbers of 24 bits are exact in float32 too, should the maps pass through it on their way
BITS = 24


class BitMasks:
    """Masks of one image.

    Attributes:
        maps: int32 [H, W, M], M = ceil(N / 24).
        count: int. N.
    """

    def __init__(self, maps, count):
        self.maps, self.count = maps, count

    @classmethod
    def empty(cls, size, count):
        """Make masks without a pixel. Args: size: (H, W); count: int."""
        return cls(np.zeros((*size, -(-count // BITS)), np.int32), count)

    def put(self, i, box, mask):
        """Add the pixels of a mask.

        Args:
            i: int. Its number.
            box: (y1, x1, y2, x2) where it lies, in pixels.
            mask: bool [y2 - y1, x2 - x1].
        """
        y1, x1, y2, x2 = box
        self.maps[y1:y2, x1:x2, i // BITS] |= mask.astype(np.int32) << (i % BITS)

    def boxes(self):
        """Find the tight boxes: int32 [N, 4] pixels, zero for masks without a pixel."""
        of_mask, bit = np.divmod(np.arange(self.count), BITS)
        rows, cols = (np.bitwise_or.reduce(self.maps, axis=axis) for axis in (1, 0))  # [H, M], [W, M]
        return boxes_of_profiles(*((profile[:, of_mask] >> bit) & 1 != 0 for profile in (rows, cols)))

    def cut(self, i, box):
        """Cut a mask to a box. Args: i: int. Its number; box: (y1, x1, y2, x2) pixels. Returns: bool."""
        y1, x1, y2, x2 = box
        return (self.maps[y1:y2, x1:x2, i // BITS] & (1 << (i % BITS))) != 0
