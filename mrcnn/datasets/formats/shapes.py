"""Shapes: a synthetic data set of squares, circles and triangles on plain backgrounds, drawn on demand.

It needs no download, and a network learns it in minutes: for tests, demonstrations and first steps.

Shape letters: H W C image, N instances.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.boxes import Integer, non_max_suppression

SHAPE_NAMES = ("square", "circle", "triangle")
MAX_SHAPES = 4
# Seeds far apart, so that no two subsets have an image in common.
SUBSET_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
# minimum distance of a shape's centre from the border, and minimum half side, in pixels; a sixth of a small image
_BUFFER = 20
# a shape that overlaps another by more than this (IoU of their boxes) is not drawn
_MAX_OVERLAP = 0.3

# (name, (r, g, b), (centre x, centre y, half side) in pixels)
Drawn = tuple[str, tuple[int, int, int], tuple[int, int, int]]


def recognise(path: Path) -> str | None:
    """Return why no path has this format: shapes are not read from files."""
    return "shapes are generated, not read from files"


def subsets(path: Path | str | None = None) -> list[str]:
    """Return the names of the subsets, which differ only in their seed."""
    return list(SUBSET_SEEDS)


def open_subset(
    path: Path | str | None = None,
    subset: str = "train",
    *,
    count: int = 1000,
    image_size: int = 128,
    progress: Stages | None = None,
) -> "ShapesDataset":
    """Generate a subset.

    Args:
        path: None.
        subset: one of `subsets`.
        count: number of images.
        image_size: height and width in pixels.
        progress: reports the stage "generating images".
    """
    dataset = ShapesDataset()
    with (progress or unseen)("generating images") as show:
        dataset.load_shapes(count, image_size, image_size, SUBSET_SEEDS[subset], show)
    return dataset


class ShapesDataset(Dataset):
    """Images of coloured shapes; an image depends only on the seed and its number."""

    def load_shapes(self, count: int, height: Integer, width: Integer, seed: int = 0, progress: Show | None = None) -> None:
        """Add images, which are drawn when they are needed.

        Args:
            count: number of images.
            height: pixels.
            width: pixels.
            seed: seed of the images.
            progress: called after every hundred images.
        """
        height, width = int(height), int(width)  # scripts pass items of IMAGE_SHAPE, which are NumPy integers
        for class_id, name in enumerate(SHAPE_NAMES, start=1):
            self.add_class("shapes", class_id, name)
        for i in tracked(range(count), progress, every=100):
            number = len(self.image_info)
            rng = np.random.default_rng([seed, i])
            background, shapes = random_scene(height, width, rng)
            self.add_image("shapes", number, None, width=width, height=height, bg_color=background, shapes=shapes)

    def load_image(self, image_id: Integer) -> Shaped[np.ndarray, "H W C"]:
        """Draw an image; see `Dataset.load_image`."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().load_image(image_id)
        image = np.empty((info["height"], info["width"], 3), np.uint8)
        image[:] = info["bg_color"]
        for name, color, place in info["shapes"]:
            draw_shape(image, name, place, color)
        return image

    def load_mask(self, image_id: Integer) -> tuple[Shaped[np.ndarray, "H W N"], Shaped[np.ndarray, " N"]]:
        """Draw the visible part of each shape; see `Dataset.load_mask`. Hidden shapes are skipped."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().load_mask(image_id)
        masks = np.zeros((info["height"], info["width"], len(info["shapes"])), np.uint8)
        visible = np.ones(masks.shape[:2], np.uint8)
        for i in reversed(range(len(info["shapes"]))):
            name, _, place = info["shapes"][i]
            alone = np.zeros(masks.shape[:2], np.uint8)
            draw_shape(alone, name, place, 1)
            masks[:, :, i] = alone & visible
            visible &= 1 - alone
        numbers = [SHAPE_NAMES.index(name) + 1 for name, _, _ in info["shapes"]]
        class_ids = np.array([self.map_source_class_id(f"shapes.{i}") for i in numbers], np.int32)
        kept = masks.any(axis=(0, 1))
        return masks[:, :, kept].astype(bool), class_ids[kept]

    def image_reference(self, image_id: Integer) -> str:
        """Return the number of an image and the names of its shapes."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().image_reference(image_id)
        return f"shapes {info['id']}: " + ", ".join(name for name, _, _ in info["shapes"])


def random_scene(height: int, width: int, rng: np.random.Generator) -> tuple[tuple[int, int, int], list[Drawn]]:
    """Generate the background and the shapes of one image.

    Args:
        height: pixels.
        width: pixels.
        rng: source of randomness.

    Returns:
        (background, shapes): (r, g, b), and a list of shapes.
    """
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    shapes = [_random_shape(height, width, rng) for _ in range(int(rng.integers(1, MAX_SHAPES + 1)))]
    boxes = np.array([[y - s, x - s, y + s, x + s] for _, _, (x, y, s) in shapes])
    kept = non_max_suppression(boxes, np.arange(len(shapes)), _MAX_OVERLAP)
    return (red, green, blue), [shapes[i] for i in sorted(kept)]


def _random_shape(height: int, width: int, rng: np.random.Generator) -> Drawn:
    name = SHAPE_NAMES[int(rng.integers(len(SHAPE_NAMES)))]
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    side = min(height, width)
    buffer = min(_BUFFER, side // 6)
    y, x = int(rng.integers(buffer, height - buffer)), int(rng.integers(buffer, width - buffer))
    return name, (red, green, blue), (x, y, int(rng.integers(buffer, max(side // 4, buffer + 1))))


def draw_shape(
    image: UInt8[np.ndarray, "H W *C"], name: str, place: tuple[int, int, int], color: int | Sequence[int]
) -> None:
    """Draw one shape, in place.

    Args:
        image: grey or colour image.
        name: "square", "circle" or "triangle".
        place: (centre x, centre y, half side) in pixels.
        color: number, or one per channel.
    """
    x, y, s = place
    if name == "square":
        cv2.rectangle(image, (x - s, y - s), (x + s, y + s), color, -1)
    elif name == "circle":
        cv2.circle(image, (x, y), s, color, -1)
    else:
        half = s / math.sin(math.radians(60))
        corners = np.array([[x, y - s], [x - half, y + s], [x + half, y + s]], np.int32)
        cv2.fillPoly(image, [corners], color)
