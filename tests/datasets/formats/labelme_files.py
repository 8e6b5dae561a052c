"""Writes labelme files for tests."""
import base64
import io
import json

import numpy as np
from PIL import Image

SIZE = (40, 60)


def ring(left, top, right, bottom, clockwise=True):
    """Return the corners of a rectangle as labelme writes them: [[x, y], ...], clockwise on the screen."""
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return points if clockwise else points[::-1]


def shape(label, points, shape_type="polygon", **kwargs):
    """Return a shape."""
    return {"label": label, "points": points, "group_id": None, "shape_type": shape_type, "flags": {}, **kwargs}


def png(mask):
    """Encode a mask, bool or uint8 [h, w], as labelme stores it: str."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def write(folder, shapes, name="a", size=SIZE, image=True, orientation=1, **fields):
    """Write <name>.json and <name>.png, grey 90 with one white corner, stored at `size`. Returns the path of the JSON."""
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if image:
        save_image(path.with_suffix(".png"), size, orientation)
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": path.with_suffix(".png").name,
               "imageData": None, "imageHeight": size[0], "imageWidth": size[1], **fields}  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def save_image(path, size, orientation=1):
    """Write a grey image with a white pixel at (0, 0), and an EXIF orientation."""
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def box(y1, x1, y2, x2, size=SIZE):
    """Draw the mask of a rectangle."""
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask
