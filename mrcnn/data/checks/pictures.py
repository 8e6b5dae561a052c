"""Small pictures of findings for the page: the image around the place, with the outline and the box that stand there.

Shape letters: H W image, P points.
"""

import cv2
import numpy as np

from mrcnn.data.checks.outlines import box_fault, ring_fault, rle_fault
from mrcnn.geometry.polygon_clip import clip_polygon
from mrcnn.geometry.rle import decode_rle
from mrcnn.viz.draw import to_rgb

# sides of a picture, and of the least part of the image that is shown, in pixels
SIDE, _LEAST = 300, 40
# what is around an outline, as a share of its size; how far beyond the image is shown, as a share of the image
_AROUND, _BEYOND = 0.6, 0.25
_OUTLINE, _BOX, _PAPER = (255, 90, 0), (0, 150, 255), (96, 96, 96)
_QUALITY = 80


def draw_picture(picture):
    """Draw a picture of a finding.

    Args:
        picture: Picture.

    Returns:
        list of bytes, a JPEG for each of its images.

    Raises:
        What reading an image raises.
    """
    images = [to_rgb(read()) for read in picture.images]
    first = _draw(images[0], _outlines(picture.segmentation, images[0].shape[:2]), _corners(picture.box))
    return [_jpeg(first), *(_jpeg(_scaled(image)[0]) for image in images[1:])]


def _outlines(segmentation, size):
    """Give what can be drawn of a segmentation: list of float [P, 2] x, y."""
    if isinstance(segmentation, dict):
        if rle_fault(segmentation, size):
            return []
        found, _ = cv2.findContours(decode_rle(segmentation).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        return [contour.reshape(-1, 2) + 0.5 for contour in found]
    rings = segmentation if isinstance(segmentation, list | tuple) else []
    # what lies far outside would make the picture one of nothing
    margin = _BEYOND * max(size)
    rings = [clip_polygon(ring, size, margin) for ring in rings if ring_fault(ring) is None]
    return [ring.reshape(-1, 2) for ring in rings if len(ring)]


def _corners(box):
    """Give the corners of a bbox: float [4, 2] x, y, or None where it is none."""
    if box is None or (box_fault(box) and "above 0" not in box_fault(box)):
        return None
    x, y, w, h = (float(np.clip(v, -1e6, 1e6)) for v in box)
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def _draw(image, outlines, corners):
    """Cut out what is around the outlines, and draw them: uint8 [h, w, 3]."""
    lines = [(ring, _OUTLINE) for ring in outlines] + ([(corners, _BOX)] if corners is not None else [])
    region = _region([points for points, _ in lines], image.shape[:2])
    part, scale = _scaled(_cut(image, region))
    for points, color in lines:
        moved = np.clip((points - (region[1], region[0])) * scale, -1e4, 1e4)
        corners = np.rint(moved * 16).astype(np.int32).reshape(-1, 1, 2)  # sixteenths of a pixel
        cv2.polylines(part, [corners], True, (255, 255, 255), 3, cv2.LINE_AA, 4)
        cv2.polylines(part, [corners], True, color, 1 if color == _BOX else 2, cv2.LINE_AA, 4)
    return part


def _region(points, size):
    """Choose the part of an image to show: (y1, x1, y2, x2) int, which may reach out of it."""
    if not points:
        return 0, 0, int(size[0]), int(size[1])
    points = np.concatenate(points)
    x1, y1 = points.min(axis=0)
    x2, y2 = points.max(axis=0)
    around = max(_AROUND * max(y2 - y1, x2 - x1), _LEAST / 2)
    beyond = _BEYOND * max(size)

    def reach(low, high, length):
        """From where to where to show an axis: beyond the image only as far as something lies there."""
        first = max(low - around, 0 if low >= 0 else max(low - _LEAST / 4, -beyond))
        last = min(high + around, length if high <= length else min(high + _LEAST / 4, length + beyond))
        return int(np.floor(first)), int(np.ceil(last))

    (y1, y2), (x1, x2) = reach(y1, y2, size[0]), reach(x1, x2, size[1])
    if y2 - y1 < 2 or x2 - x1 < 2:  # it all lies far outside: show the image
        return 0, 0, int(size[0]), int(size[1])
    return y1, x1, y2, x2


def _cut(image, region):
    """Cut a region out of an image; beyond it lies grey paper."""
    y1, x1, y2, x2 = region
    part = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    part[:] = _PAPER
    top, left = max(y1, 0), max(x1, 0)
    inside = image[top : max(y2, 0), left : max(x2, 0)]
    part[top - y1 : top - y1 + inside.shape[0], left - x1 : left - x1 + inside.shape[1]] = inside
    return part


def _scaled(image):
    """Bring the longer side of an image to SIDE: (uint8 [h, w, 3], scale)."""
    scale = SIDE / max(image.shape[:2])
    size = tuple(max(round(v * scale), 1) for v in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST), scale


def _jpeg(image):
    done, content = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} could not be written as JPEG")
    return content.tobytes()
