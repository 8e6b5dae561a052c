"""The confusion matrix, counted by hand."""
import numpy as np

from mrcnn.evaluation.confusion import Confusion, confusion_matrix, most_confused
from mrcnn.evaluation.mistakes import find_mistakes
from tests.evaluation.test_mistakes import CAT, DOG, A, B, C, found, thing

NAMES = ["BG", "cat", "dog"]


def test_rows_are_what_is_there_and_columns_what_was_found():
    truth = [thing(CAT, A), thing(CAT, B), thing(DOG, C), thing(DOG, A, 1), thing(CAT, C, 1, iscrowd=1)]
    rows = [found(CAT, A), found(DOG, B), found(CAT, C, 0.5), found(CAT, B, 0.4, 1)]
    # image 0: a cat found, a cat taken for a dog, a dog taken for a cat; image 1: a dog missed, a cat made up
    confusion = confusion_matrix(find_mistakes(truth, rows), NAMES)
    np.testing.assert_array_equal(confusion.counts, [[0, 1, 0], [0, 1, 1], [1, 1, 0]])
    assert confusion.between_classes == 2 and confusion.names == NAMES
    assert confusion.counts[1:].sum() == 4  # the objects, without the crowd
    assert confusion.counts[:, 1:].sum() == len(rows)


def test_without_detections_everything_is_missed():
    confusion = confusion_matrix(find_mistakes([thing(CAT, A), thing(DOG, C)], []), NAMES)
    np.testing.assert_array_equal(confusion.counts, [[0, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert not confusion_matrix([], NAMES).counts.any()


def test_of_many_classes_the_most_confused_stay_in_order():
    counts = np.zeros((6, 6), int)
    counts[4, 2] = 5  # fourth class taken for the second
    counts[1, 1], counts[3, 3] = 90, 80
    counts[5, 0] = 3
    confusion = Confusion(counts, ["BG", "a", "b", "c", "d", "e"])
    assert most_confused(confusion, 5) is confusion
    two = most_confused(confusion, 2)
    assert two.names == ["BG", "b", "d"]
    np.testing.assert_array_equal(two.counts, [[0, 0, 0], [0, 0, 0], [0, 5, 0]])
    assert most_confused(confusion, 3).names == ["BG", "a", "b", "d"]  # more objects first


def test_classes_that_do_not_occur_go_first():
    counts = np.zeros((30, 30), int)
    counts[7, 7] = counts[0, 9] = 1
    assert most_confused(Confusion(counts, [str(ix) for ix in range(30)])).names == ["0", "7", "9"]
