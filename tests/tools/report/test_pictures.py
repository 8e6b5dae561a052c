"""What is there beside what was found, in colours that say which is wrong."""
import io

import numpy as np
from PIL import Image

from mrcnn.evaluation.mistakes import find_mistakes
from mrcnn.evaluation.results import to_coco_results
from mrcnn.tools.report.figures import CONFUSED, RIGHT, SIDE, WRONG, draw_mistakes
from tests.evaluation.fake_dataset import instance, result
from tests.tools.report.runs import NAMES

SIZE = (60, 120)
A, B, C = (2, 2, 22, 30), (30, 10, 55, 40), (30, 80, 50, 110)


def _truth(*things, iscrowd=0):
    return [{**instance(SIZE, class_id, box, iscrowd), "category_id": class_id, "image_id": 0} for class_id, box in things]


def _rows(*things):
    return to_coco_results(0, result(SIZE, *((class_id, box, 0.9) for class_id, box in things)))


def _open(content):
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def _is(picture, box, color):
    """Whether the middle of a box has a colour laid over the grey ground; the pictures are larger than the image."""
    scale = SIDE / SIZE[1]
    y, x = int((box[0] + box[2]) / 2 * scale), int((box[1] + box[3]) / 2 * scale)
    expected = 0.6 * 100 + 0.4 * 255 * np.array(color)  # draw_detections covers by 0.4
    return np.abs(picture[y - 3:y + 3, x - 3:x + 3].mean(axis=(0, 1)) - expected).max() < 12


def test_both_sides_have_the_colours_of_their_mistakes():
    truth = _truth((1, A), (2, B))
    (mistakes,) = find_mistakes(truth, _rows((1, A), (3, B), (1, C)))
    there, found = map(_open, draw_mistakes(np.full((*SIZE, 3), 100, np.uint8), mistakes, [], NAMES))
    assert there.shape == found.shape == (240, 480, 3)
    assert _is(there, A, RIGHT) and _is(there, B, CONFUSED) and _is(there, C, (100 / 255,) * 3)
    assert _is(found, A, RIGHT) and _is(found, B, CONFUSED) and _is(found, C, WRONG)


def test_missed_objects_and_images_without_anything_found():
    (mistakes,) = find_mistakes(_truth((1, A)), [])
    there, found = map(_open, draw_mistakes(np.full(SIZE, 100, np.uint8), mistakes, _truth((2, C), iscrowd=1), NAMES))
    assert _is(there, A, WRONG) and _is(there, C, (0.6, 0.6, 0.6))
    assert np.abs(found - 100).max() < 5


def test_a_large_image_is_made_small():
    size = (1200, 900)
    row = {**instance(size, 1, (0, 0, 600, 900)), "category_id": 1, "image_id": 0}
    (mistakes,) = find_mistakes([row], [])
    there, _ = map(_open, draw_mistakes(np.full((*size, 3), 100, np.uint8), mistakes, [], NAMES))
    assert there.shape == (480, 360, 3)
    assert np.abs(there[200, 180] - 0.6 * 100 - 0.4 * 255 * np.array(WRONG)).max() < 12
    assert np.abs(there[300, 180] - 100).max() < 5
