"""Objects and detections of an image, coloured by kind of mistake."""
import io

import numpy as np
from PIL import Image

from mrcnn.evaluation.mistakes import find_mistakes
from mrcnn.evaluation.results import to_coco_results
from mrcnn.tools.report.page import CONFUSED, RIGHT, SIDE, WRONG, draw_mistakes
from tests.evaluation.fake_dataset import instance, result
from tests.tools.report.runs import NAMES

SIZE = (60, 120)
A, B, C = (2, 2, 22, 30), (30, 10, 55, 40), (30, 80, 50, 110)


def _truth(*objects, iscrowd=0):
    return [{**instance(SIZE, class_id, box, iscrowd), "category_id": class_id, "image_id": 0} for class_id, box in objects]


def _rows(*detections):
    return to_coco_results(0, result(SIZE, *((class_id, box, 0.9) for class_id, box in detections)))


def _open(content):
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def _is(picture, box, color):
    """Whether the centre of a box has a colour blended with the grey background; pictures are larger than the image."""
    scale = SIDE / SIZE[1]
    y, x = int((box[0] + box[2]) / 2 * scale), int((box[1] + box[3]) / 2 * scale)
    expected = 0.6 * 100 + 0.4 * 255 * np.array(color)  # draw_detections blends with 0.4
    return np.abs(picture[y - 3:y + 3, x - 3:x + 3].mean(axis=(0, 1)) - expected).max() < 12


def test_objects_and_detections_have_the_colours_of_their_mistakes():
    truth = _truth((1, A), (2, B))
    (mistakes,) = find_mistakes(truth, _rows((1, A), (3, B), (1, C)))
    objects, detections = map(_open, draw_mistakes(np.full((*SIZE, 3), 100, np.uint8), mistakes, [], NAMES))
    assert objects.shape == detections.shape == (240, 480, 3)
    assert _is(objects, A, RIGHT) and _is(objects, B, CONFUSED) and _is(objects, C, (100 / 255,) * 3)
    assert _is(detections, A, RIGHT) and _is(detections, B, CONFUSED) and _is(detections, C, WRONG)


def test_missed_objects_and_images_without_detections():
    (mistakes,) = find_mistakes(_truth((1, A)), [])
    objects, detections = map(_open, draw_mistakes(np.full(SIZE, 100, np.uint8), mistakes, _truth((2, C), iscrowd=1), NAMES))
    assert _is(objects, A, WRONG) and _is(objects, C, (0.6, 0.6, 0.6))
    assert np.abs(detections - 100).max() < 5


def test_a_large_image_is_reduced():
    size = (1200, 900)
    row = {**instance(size, 1, (0, 0, 600, 900)), "category_id": 1, "image_id": 0}
    (mistakes,) = find_mistakes([row], [])
    objects, _ = map(_open, draw_mistakes(np.full((*size, 3), 100, np.uint8), mistakes, [], NAMES))
    assert objects.shape == (480, 360, 3)
    assert np.abs(objects[200, 180] - 0.6 * 100 - 0.4 * 255 * np.array(WRONG)).max() < 12
    assert np.abs(objects[300, 180] - 100).max() < 5
