"""Detections compared with objects per image: correct, confused, missed, false; the confusion matrix."""
import numpy as np
import pytest

from mrcnn.evaluation.mistakes import (
    Confusion,
    ImageMistakes,
    confusion_matrix,
    find_mistakes,
    most_confused,
    worst_images,
)
from mrcnn.geometry.rle import encode_mask
from tests.evaluation.fake_dataset import rectangle

SIZE = (60, 100)
# boxes of 10 x 20 pixels that do not overlap
A, B, C = (0, 0, 10, 20), (20, 0, 30, 20), (40, 60, 50, 80)
HALF = (0, 0, 10, 10)  # half of A: IoU 0.5
THIRD = (0, 10, 10, 30)  # as large as A, and half on it: IoU 1/3
CAT, DOG = 1, 2


def obj(category_id, box, image_id=0, iscrowd=0):
    return {"image_id": image_id, "category_id": category_id, "iscrowd": iscrowd,
            "segmentation": encode_mask(rectangle(SIZE, box))}  # fmt: skip


def detection(category_id, box, score=0.9, image_id=0):
    return {"image_id": image_id, "category_id": category_id, "score": score,
            "segmentation": encode_mask(rectangle(SIZE, box))}  # fmt: skip


def _counts(truth, rows, **options):
    """Return the counts (correct, confused, missed, false) of the only image."""
    (image,) = find_mistakes(truth, rows, **options)
    return tuple(len(part) for part in (image.correct, image.confused, image.missed, image.false))


@pytest.mark.parametrize("truth, rows, counts", [
    ([obj(CAT, A)], [detection(CAT, A)], (1, 0, 0, 0)),
    ([obj(CAT, A)], [detection(CAT, HALF)], (1, 0, 0, 0)),  # an IoU of exactly 0.5 counts
    ([obj(CAT, A)], [detection(CAT, THIRD)], (0, 0, 1, 1)),
    ([obj(CAT, A)], [detection(DOG, A)], (0, 1, 0, 0)),
    ([obj(CAT, A)], [detection(CAT, A), detection(CAT, A)], (1, 0, 0, 1)),  # detected twice: the second is false
    ([obj(CAT, A)], [], (0, 0, 1, 0)),
    ([], [detection(CAT, A)], (0, 0, 0, 1)),
    # the right class is matched, though a detection of another class has a better overlap and a higher score
    ([obj(CAT, A)], [detection(DOG, A, 0.95), detection(CAT, HALF, 0.3)], (1, 0, 0, 1)),
    ([obj(CAT, A), obj(DOG, B), obj(CAT, C)], [detection(CAT, A), detection(CAT, B), detection(DOG, THIRD)], (1, 1, 1, 1)),
])  # fmt: skip
def test_mistakes_by_hand(truth, rows, counts):
    assert _counts(truth, rows) == counts


def test_detection_with_the_higher_score_is_matched():
    (image,) = find_mistakes([obj(CAT, A)], [detection(CAT, HALF, 0.4), detection(CAT, A, 0.3)])
    assert [row["score"] for _, row in image.correct] == [0.4] and [row["score"] for row in image.false] == [0.3]


def test_scores_below_the_minimum_are_ignored():
    rows = [detection(CAT, A, 0.7), detection(CAT, C, 0.69)]
    assert _counts([obj(CAT, A)], rows, min_score=0.7) == (1, 0, 0, 0)
    assert _counts([obj(CAT, A)], [detection(CAT, A, 0.2)], min_score=0.7) == (0, 0, 1, 0)
    assert find_mistakes([], rows, min_score=0.8) == []


def test_detections_in_a_crowd_of_their_class_are_ignored():
    crowd = [obj(CAT, (0, 0, 40, 40), iscrowd=1)]
    assert _counts(crowd, [detection(CAT, A)]) == (0, 0, 0, 0)
    assert _counts(crowd, [detection(DOG, A), detection(CAT, C)]) == (0, 0, 0, 2)
    assert _counts([*crowd, obj(CAT, A)], [detection(CAT, A)]) == (1, 0, 0, 0)


def test_federated_classes_count_only_in_images_where_they_were_searched_for():
    """Cats are known to be absent, and dogs are partially annotated; nothing is known about class 3."""
    coverage_of = lambda image_id: ({CAT}, {DOG})  # noqa: E731
    rows = [detection(CAT, A), detection(DOG, C), detection(3, C)]
    assert _counts([obj(DOG, B)], rows, coverage=coverage_of) == (0, 0, 1, 1)
    assert _counts([obj(DOG, B)], rows, coverage=lambda image_id: None) == (0, 0, 1, 3)


def test_images_are_separate_and_in_order():
    images = find_mistakes([obj(CAT, A, 7), obj(CAT, A, 2)], [detection(CAT, A, 0.9, 2), detection(CAT, A, 0.8, 5)])
    assert [image.image_id for image in images] == [2, 5, 7]
    assert [image.count for image in images] == [0, 1, 1]


def test_worst_images_have_the_most_mistakes():
    def image(image_id, right, wrong):
        return ImageMistakes(image_id, correct=[({}, {})] * right, missed=[{}] * wrong)

    images = [image(0, 0, 0), image(1, 3, 2), image(2, 1, 2), image(3, 0, 5), image(4, 1, 2)]
    assert [image.image_id for image in worst_images(images)] == [3, 2, 4, 1]
    assert [image.image_id for image in worst_images(images, 2)] == [3, 2]
    mixed = ImageMistakes(0, confused=[({}, {})], missed=[{}], false=[{}])
    assert mixed.count == 3


def test_detection_without_a_mask_is_an_error():
    with pytest.raises(ValueError, match="image 4: a detection has no segmentation"):
        find_mistakes([], [{"image_id": 4, "category_id": 1, "score": 0.5, "bbox": [0, 0, 5, 5]}])


NAMES = ["BG", "cat", "dog"]


def test_rows_are_objects_and_columns_detections():
    truth = [obj(CAT, A), obj(CAT, B), obj(DOG, C), obj(DOG, A, 1), obj(CAT, C, 1, iscrowd=1)]
    rows = [detection(CAT, A), detection(DOG, B), detection(CAT, C, 0.5), detection(CAT, B, 0.4, 1)]
    # image 0: a correct cat, a cat detected as dog, a dog detected as cat; image 1: a missed dog, a false cat
    confusion = confusion_matrix(find_mistakes(truth, rows), NAMES)
    np.testing.assert_array_equal(confusion.counts, [[0, 1, 0], [0, 1, 1], [1, 1, 0]])
    assert confusion.between_classes == 2 and confusion.names == NAMES
    assert confusion.counts[1:].sum() == 4  # the objects, without the crowd
    assert confusion.counts[:, 1:].sum() == len(rows)


def test_everything_is_missed_without_detections():
    confusion = confusion_matrix(find_mistakes([obj(CAT, A), obj(DOG, C)], []), NAMES)
    np.testing.assert_array_equal(confusion.counts, [[0, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert not confusion_matrix([], NAMES).counts.any()


def test_most_confused_classes_keep_their_order():
    counts = np.zeros((6, 6), int)
    counts[4, 2] = 5  # the fourth class detected as the second
    counts[1, 1], counts[3, 3] = 90, 80
    counts[5, 0] = 3
    confusion = Confusion(counts, ["BG", "a", "b", "c", "d", "e"])
    assert most_confused(confusion, 5) is confusion
    two = most_confused(confusion, 2)
    assert two.names == ["BG", "b", "d"]
    np.testing.assert_array_equal(two.counts, [[0, 0, 0], [0, 0, 0], [0, 5, 0]])
    assert most_confused(confusion, 3).names == ["BG", "a", "b", "d"]  # more objects first


def test_classes_that_do_not_occur_are_dropped():
    counts = np.zeros((30, 30), int)
    counts[7, 7] = counts[0, 9] = 1
    assert most_confused(Confusion(counts, [str(ix) for ix in range(30)])).names == ["0", "7", "9"]
