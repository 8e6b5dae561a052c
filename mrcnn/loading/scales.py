"""Random scales of training images within the fixed square that the network takes.

Each class plans the size of one image from (height, width), the side of the square, a random generator and where padding goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mrcnn.geometry.boxes import Integer, Number
from mrcnn.geometry.resize import ResizePlan, plan_square


@dataclass(frozen=True)
class ShortSides:
    """Scale the short side to one of several lengths, up or down, as far as the long side fits into the square.

    Attributes:
        sides: lengths in pixels, each as probable as the others.

    Source: R. Girshick et al., Detectron, 2018, TRAIN.SCALES; INPUT.MIN_SIZE_TRAIN of detectron2.
    """

    sides: tuple[int, ...]

    def plan(
        self, size: Sequence[Integer], square: int, rng: np.random.Generator, in_corner: bool = False
    ) -> ResizePlan:
        """Plan the size of one image; it is never cropped."""
        side = self.sides[int(rng.integers(len(self.sides)))]
        return plan_square(size, min(side / min(size), square / max(size)), square, rng, in_corner)


@dataclass(frozen=True)
class ScaleJitter:
    """Scale the long side to a random multiple of the square's side, then crop what is longer and pad what is shorter.

    Attributes:
        low, high: bounds of the multiple, which is drawn uniformly.

    Source: G. Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, 2021, section 3:
    0.8 to 1.25 is their standard jitter, 0.1 to 2 their large one.
    """

    low: Number
    high: Number

    def plan(
        self, size: Sequence[Integer], square: int, rng: np.random.Generator, in_corner: bool = False
    ) -> ResizePlan:
        """Plan the size of one image."""
        return plan_square(size, rng.uniform(self.low, self.high) * square / max(size), square, rng, in_corner)


RandomScale: TypeAlias = ShortSides | ScaleJitter
