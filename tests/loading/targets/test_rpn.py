import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors
from mrcnn.geometry.boxes import apply_box_deltas, box_refinement, compute_overlaps
from mrcnn.loading.generator import dense_rpn_match
from mrcnn.loading.targets.anchor_index import AnchorIndex
from mrcnn.loading.targets.rpn import build_rpn_targets

STD = np.array([0.1, 0.1, 0.2, 0.2])
STRIDES = (4, 8, 16)
IMAGE = (128, 192)
ANCHORS = generate_pyramid_anchors((16, 32, 64), (0.5, 1, 2), backbone_shapes(IMAGE, STRIDES), STRIDES, 1)


def sparse(anchors, class_ids, boxes, count=256, seed=0, build=build_rpn_targets):
    boxes = np.array(boxes, np.int32).reshape(-1, 4)
    rng = np.random.default_rng(seed)
    return build(anchors, np.array(class_ids, int), boxes, num_train_anchors=count, bbox_std_dev=STD, rng=rng)


def targets(anchors, class_ids, boxes, count=256, seed=0):
    """Return the targets in the classic format: a label per anchor, and the deltas of the positive anchors first."""
    positions, labels, deltas = sparse(anchors, class_ids, boxes, count, seed)
    return dense_rpn_match(positions, labels, len(anchors)), deltas


def dense_reference(anchors, gt_class_ids, gt_boxes, *, num_train_anchors, bbox_std_dev, rng):
    """Return the classic dense targets, int32 [A] and float64 [T, 4], as built before they became sparse."""
    index = AnchorIndex(anchors)
    has_area = (gt_boxes[:, 2:] > gt_boxes[:, :2]).all(axis=1)
    boxes, crowds = gt_boxes[has_area & (gt_class_ids > 0)], gt_boxes[has_area & (gt_class_ids < 0)]

    def choose(items, count):
        return items if len(items) <= count else items[rng.choice(len(items), count, replace=False, shuffle=False)]

    def is_negative(chosen):
        far = (compute_overlaps(index.anchors[chosen], boxes) < 0.3).all(axis=1)
        return far & (compute_overlaps(index.anchors[chosen], crowds) < 0.001).all(axis=1) & ~np.isin(chosen, positive)

    positive = index.match(boxes, 0.7)
    kept = np.sort(choose(positive, num_train_anchors // 2))
    count = num_train_anchors - len(kept)
    negative = np.zeros(0, int)
    if count * 10 < len(index):
        drawn = rng.choice(len(index), 2 * count, replace=False)
        negative = drawn[is_negative(drawn)][:count]
    if count and len(negative) < count:
        every = np.arange(len(index))
        negative = choose(every[is_negative(every)], count)
    match = np.zeros(len(index), np.int32)
    match[negative], match[kept] = -1, 1
    deltas = np.zeros((num_train_anchors, 4))
    if len(kept):
        best = boxes[compute_overlaps(index.anchors[kept], boxes).argmax(axis=1)]
        deltas[: len(kept)] = box_refinement(index.anchors[kept], best.astype(float)) / bbox_std_dev
    return match, deltas


def by_the_rules(anchors, class_ids, boxes):
    """Match by the plain rules, without random choice, so that the result is the same for every seed."""
    class_ids, boxes = np.array(class_ids), np.array(boxes).reshape(-1, 4)
    anchors = anchors.astype(np.float64)
    objects = compute_overlaps(anchors, boxes[class_ids > 0])
    crowds = compute_overlaps(anchors, boxes[class_ids < 0])
    match = np.where((objects < 0.3).all(axis=1) & (crowds < 0.001).all(axis=1), -1, 0)
    for column in objects.T:
        if column.max() > 0:
            match[column == column.max()] = 1
    match[(objects >= 0.7).any(axis=1)] = 1
    return match


def test_rpn_targets_by_hand():
    anchors = np.array([
        [0, 0, 10, 10],  # the object itself
        [0, 0, 10, 13],  # 100 / 130 = 0.77: positive
        [0, 0, 10, 20],  # 0.5: neutral
        [0, 0, 10, 40],  # 0.25: negative
        [50, 50, 60, 60],  # negative
        [80, 80, 90, 90],  # best anchor of the second object, 25 / 175 = 0.14: positive
    ], float)  # fmt: skip
    match, deltas = targets(anchors, [3, 7], [[0, 0, 10, 10], [85, 85, 95, 95]], count=8)
    assert match.dtype == np.int32 and match.tolist() == [1, 1, 0, -1, -1, 1]
    assert deltas.dtype == np.float32 and deltas.shape == (8, 4)
    np.testing.assert_allclose(deltas[0], 0)
    np.testing.assert_allclose(deltas[1], [0, -1.5 / 13 / 0.1, 0, np.log(10 / 13) / 0.2], rtol=1e-6)
    np.testing.assert_allclose(deltas[2], [0.5 / 0.1, 0.5 / 0.1, 0, 0])
    np.testing.assert_array_equal(deltas[3:], 0)
    positions, labels, _ = sparse(anchors, [3, 7], [[0, 0, 10, 10], [85, 85, 95, 95]], count=8)
    assert positions.tolist() == [0, 1, 5, 3, 4, 0, 0, 0] and labels.tolist() == [1, 1, 1, -1, -1, 0, 0, 0]
    assert positions.dtype == labels.dtype == np.int32


CROWDED = [[y, x, y + 16, x + 16] for y in range(0, 112, 8) for x in range(0, 176, 8)]


@pytest.mark.parametrize("count", [1, 2, 20, 255, 256, 2 * len(ANCHORS)])
@pytest.mark.parametrize(
    ("class_ids", "boxes"),
    [
        ([], []),
        ([1, 2], [[10, 20, 40, 60], [50, 5, 90, 33]]),
        ([1, -1, 0, 3], [[40, 60, 72, 92], [40, 40, 100, 150], [0, 0, 0, 0], [70, 70, 70, 90]]),
        ([1] * len(CROWDED), CROWDED),
        ([-1, 1], [[0, 0, 128, 192], [8, 8, 120, 180]]),
    ],
)
def test_targets_equal_the_dense_reference(count, class_ids, boxes):
    for seed in range(3):
        match, dense_deltas = sparse(ANCHORS, class_ids, boxes, count, seed, build=dense_reference)
        positions, labels, deltas = sparse(ANCHORS, class_ids, boxes, count, seed)
        for label in (1, -1):  # each in ascending order
            np.testing.assert_array_equal(positions[labels == label], np.flatnonzero(match == label))
        order = [1] * (match == 1).sum() + [-1] * (match == -1).sum()
        assert labels.tolist() == order + [0] * (count - len(order))
        assert not positions[len(order) :].any()
        np.testing.assert_allclose(deltas, dense_deltas, rtol=1e-6, atol=1e-6)


def test_iou_equal_to_a_threshold_is_positive_or_not_negative():
    anchors = np.array([[0, 0, 10, 10], [0, 0, 10, 7], [0, 0, 10, 3], [0, 0, 9, 3]], float)
    assert targets(anchors, [1], [[0, 0, 10, 10]], count=8)[0].tolist() == [1, 1, 0, -1]


def test_no_anchor_near_a_crowd_is_negative():
    boxes = [[40, 40, 100, 150]]
    match, deltas = targets(ANCHORS, [-1], boxes, count=2 * len(ANCHORS))
    touched = compute_overlaps(ANCHORS, np.array(boxes))[:, 0] >= 0.001
    assert (match[touched] == 0).all() and (match[~touched] == -1).all()
    assert not deltas.any()


def test_crowd_does_not_remove_positives():
    match, _ = targets(ANCHORS, [1, -1], [[40, 60, 72, 92], [0, 0, 128, 192]], count=2 * len(ANCHORS))
    assert (match == 1).sum() > 0 and (match == -1).sum() < 50


def test_all_chosen_anchors_are_negative_without_objects():
    match, deltas = targets(ANCHORS, [], [])
    assert (match == -1).sum() == 256 and (match == 1).sum() == 0
    assert not deltas.any()


def test_padding_rows_and_boxes_without_area_change_nothing():
    plain = targets(ANCHORS, [1, 2], [[10, 20, 40, 60], [50, 5, 90, 33]])
    padded = targets(ANCHORS, [1, 2, 0, 3], [[10, 20, 40, 60], [50, 5, 90, 33], [0, 0, 0, 0], [70, 70, 70, 90]])
    np.testing.assert_array_equal(plain[0], padded[0])
    np.testing.assert_array_equal(plain[1], padded[1])


def test_box_that_no_anchor_overlaps_has_no_positive_anchor():
    match, _ = targets(ANCHORS, [1], [[5000, 5000, 5010, 5010]])
    assert (match == 1).sum() == 0 and (match == -1).sum() == 256


def test_perfect_anchor_is_not_treated_as_padding():
    anchor = ANCHORS[len(ANCHORS) // 2]
    boxes = np.around(anchor).astype(int)
    match, deltas = targets(boxes[None].astype(float), [1], boxes, count=4)
    assert match.tolist() == [1] and not deltas.any()


def test_at_most_half_are_positive_and_the_rest_is_filled():
    match, deltas = targets(ANCHORS, [1] * len(CROWDED), CROWDED, count=64)
    assert (match == 1).sum() == 32 and (match == -1).sum() == 32
    assert (np.abs(deltas).sum(axis=1) > 0)[32:].sum() == 0


def test_deltas_lead_to_the_best_box():
    boxes = np.array([[10, 20, 40, 60], [12, 25, 44, 62], [50, 5, 90, 33]])
    match, deltas = targets(ANCHORS, [1, 2, 3], boxes)
    positive = np.flatnonzero(match == 1)
    reached = apply_box_deltas(ANCHORS[positive], deltas[: len(positive)] * STD)
    best = boxes[compute_overlaps(ANCHORS[positive], boxes).argmax(axis=1)]
    np.testing.assert_allclose(reached, best, atol=1e-3)


small_box = st.tuples(st.integers(-20, 120), st.integers(-20, 180), st.integers(1, 100), st.integers(1, 100))
objects = st.lists(st.tuples(st.sampled_from([1, 2, -1]), small_box), min_size=0, max_size=5)


@settings(max_examples=60, deadline=None)
@given(objects, st.sampled_from([np.float64, np.float32]), st.integers(0, 3))
def test_index_agrees_with_the_matching_rules(instances, dtype, how):
    anchors = ANCHORS.astype(dtype)
    if how == 1:  # in random order
        anchors = np.random.default_rng(1).permutation(anchors)
    elif how == 2:  # lattices with gaps
        anchors = anchors[np.random.default_rng(1).random(len(anchors)) < 0.9]
    elif how == 3:  # no lattice at all
        anchors = anchors[:400] + np.random.default_rng(1).uniform(-2, 2, (400, 4)).astype(dtype)
    class_ids = [class_id for class_id, _ in instances]
    boxes = [[y, x, y + h, x + w] for _, (y, x, h, w) in instances]
    expected = by_the_rules(anchors, class_ids, boxes)
    match, _ = targets(anchors, class_ids, boxes, count=2 * len(anchors))
    np.testing.assert_array_equal(match, expected)
    # a smaller number of anchors is a subset
    few, _ = targets(anchors, class_ids, boxes, count=32)
    assert (expected[few == 1] == 1).all() and (expected[few == -1] == -1).all()
    assert (few == 1).sum() == min((expected == 1).sum(), 16)
    assert (few == -1).sum() == min((expected == -1).sum(), 32 - (few == 1).sum())


def test_negatives_are_drawn_from_everywhere():
    drawn = np.zeros(len(ANCHORS), int)
    for seed in range(40):
        drawn += targets(ANCHORS, [1], [[40, 60, 72, 92]], seed=seed)[0] == -1
    negative = by_the_rules(ANCHORS, [1], [[40, 60, 72, 92]]) == -1
    thirds = np.array_split(drawn[negative], 3)
    expected = drawn.sum() / 3
    assert all(abs(part.sum() - expected) < 5 * expected**0.5 for part in thirds)


def test_targets_depend_on_the_seed_only():
    first, again, other = (targets(ANCHORS, [1], [[40, 60, 72, 92]], count=20, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_global_numpy_seed_applies_without_a_generator():
    def draw():
        np.random.seed(5)
        return build_rpn_targets(
            ANCHORS, np.array([1]), np.array([[40, 60, 72, 92]]), num_train_anchors=16, bbox_std_dev=STD
        )

    np.testing.assert_array_equal(draw()[0], draw()[0])


def test_anchors_changed_in_place_get_a_new_index():
    anchors = ANCHORS.copy()
    box = [[40, 60, 72, 92]]
    before = targets(anchors, [1], box)[0]
    anchors += 30
    after = targets(anchors, [1], box)[0]
    np.testing.assert_array_equal(np.flatnonzero(after == 1), np.flatnonzero(by_the_rules(anchors, [1], box) == 1))
    assert (before != after).any()


def test_all_anchors_of_a_pyramid_are_in_lattices():
    index = AnchorIndex(ANCHORS)
    assert len(index) == len(ANCHORS) and len(index.lattices) == 9
    assert sum(lattice.positions.size for lattice in index.lattices) == len(ANCHORS)


@pytest.mark.parametrize("threshold", [0.001, 0.1, 0.3, 0.7])
def test_overlapping_returns_the_exact_overlaps(threshold):
    index = AnchorIndex(ANCHORS)
    box = np.array([30, 50, 77, 120])
    positions, overlaps = index.overlapping(box, threshold)
    expected = compute_overlaps(ANCHORS, box[None])[:, 0]
    np.testing.assert_array_equal(np.sort(positions), np.flatnonzero(expected >= threshold))
    np.testing.assert_array_equal(overlaps, expected[positions])
