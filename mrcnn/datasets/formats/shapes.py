"""Shapes: a synthetic data set of squares, circles and triangles on plain grounds, made as it is asked for.

It needs no download and is learnt in minutes: for tests, demonstrations and first steps.

Shape letters: H W image, N instances.
"""

import math

import cv2
import numpy as np

from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.boxes import non_max_suppression

SHAPE_NAMES = ("square", "circle", "triangle")
MAX_SHAPES = 4
# distance of a shape's centre from the border, in pixels, and its least half side; a sixth of a small image
_BUFFER = 20
# a shape that another one covers more than this (IoU of their boxes) is not drawn
_MAX_OVERLAP = 0.3


# Seeds far apart, so that no image of one subset is an image of another.
SUBSET_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}


def subsets(path=None):
    """Name the parts: list of str. They differ in their seed alone."""
    return list(SUBSET_SEEDS)


def open_subset(path=None, subset="train", *, count=1000, image_size=128, progress=None):
    """Make a part of an endless set.

    Args:
        path: None.
        subset: str. One of `subsets`.
        count: int. Number of images.
        image_size: int. Pixels a side.
        progress: maker of stages (`mrcnn.base.progress`): "inventing images"; or None.

    Returns:
        ShapesDataset, not prepared.
    """
    dataset = ShapesDataset()
    with (progress or unseen)("inventing images") as show:
        dataset.load_shapes(count, image_size, image_size, SUBSET_SEEDS[subset], show)
    return dataset


class ShapesDataset(Dataset):
    """Images of coloured shapes; what each shows follows from the seed and its number alone."""

    def load_shapes(self, count, height, width, seed=0, progress=None):
        """Add images; nothing is drawn before it is asked for.

        Args:
            count: int. Number of images.
            height: int. Pixels.
            width: int. Pixels.
            seed: int. Another seed gives other images; equal seeds give equal ones.
            progress: function (done, total), or None.
        """
        for class_id, name in enumerate(SHAPE_NAMES, start=1):
            self.add_class("shapes", class_id, name)
        for i in tracked(range(count), progress, every=100):
            number = len(self.image_info)
            rng = np.random.default_rng([seed, i])
            background, shapes = random_scene(height, width, rng)
            self.add_image("shapes", number, None, width=width, height=height, bg_color=background, shapes=shapes)

    def load_image(self, image_id):
        """Draw an image. Args: image_id: int. Returns: uint8 [H, W, 3]."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().load_image(image_id)
        image = np.empty((info["height"], info["width"], 3), np.uint8)
        image[:] = info["bg_color"]
        for name, color, place in info["shapes"]:
            draw_shape(image, name, place, color)
        return image

    def load_mask(self, image_id):
        """Draw the masks of an image's shapes, without what later shapes cover.

        Args:
            image_id: int.

        Returns:
            (masks, class_ids): bool [H, W, N], int32 [N]. A shape that is covered wholly is left out.
        """
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
        class_ids = np.array([SHAPE_NAMES.index(name) + 1 for name, _, _ in info["shapes"]], np.int32)
        kept = masks.any(axis=(0, 1))
        class_ids = np.array([self.map_source_class_id(f"shapes.{i}") for i in class_ids], np.int32)
        return masks[:, :, kept].astype(bool), class_ids[kept]

    def image_reference(self, image_id):
        """Say what an image shows. Args: image_id: int. Returns: str."""
        info = self.image_info[image_id]
        if info["source"] != "shapes":
            return super().image_reference(image_id)
        return f"shapes {info['id']}: " + ", ".join(name for name, _, _ in info["shapes"])


def random_scene(height, width, rng):
    """Invent the ground and the shapes of one image.

    Args:
        height: int. Pixels.
        width: int. Pixels.
        rng: numpy Generator.

    Returns:
        (background, shapes): (r, g, b) of the ground; list of (name, (r, g, b), (centre x, centre y, half side)), in
        pixels.
    """
    background = tuple(int(v) for v in rng.integers(0, 256, 3))
    shapes = [_random_shape(height, width, rng) for _ in range(int(rng.integers(1, MAX_SHAPES + 1)))]
    boxes = np.array([[y - s, x - s, y + s, x + s] for _, _, (x, y, s) in shapes])
    kept = non_max_suppression(boxes, np.arange(len(shapes)), _MAX_OVERLAP)
    return background, [shapes[i] for i in sorted(kept)]


def _random_shape(height, width, rng):
    name = SHAPE_NAMES[int(rng.integers(len(SHAPE_NAMES)))]
    color = tuple(int(v) for v in rng.integers(0, 256, 3))
    side = min(height, width)
    buffer = min(_BUFFER, side // 6)
    y, x = int(rng.integers(buffer, height - buffer)), int(rng.integers(buffer, width - buffer))
    return name, color, (x, y, int(rng.integers(buffer, max(side // 4, buffer + 1))))


def draw_shape(image, name, place, color):
    """Draw one shape, in place.

    Args:
        image: uint8 [H, W] or [H, W, C].
        name: "square", "circle" or "triangle".
        place: (centre x, centre y, half side) in pixels.
        color: number, or one a channel.
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
