"""The accuracy benchmark: both sides see the same images, and boxes and masks are converted correctly between them."""
import importlib
import sys

import numpy as np
import pytest

from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation import coco
from mrcnn.training.settings import make_loader
from tests.shared_data import REPOSITORY


def benchmark(name):
    """Import a script of benchmarks/, which is not a package."""
    path = sys.path[:]
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = path


accuracy = benchmark("accuracy")


@pytest.fixture(scope="module")
def peer():
    """The module of torchvision's side of the comparison."""
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    return benchmark("torchvision_side")


def two_objects():
    """Masks [8, 12, 2] of rows 2..4, columns 3..8 and of the pixel (7, 11), and their classes."""
    masks = np.zeros((8, 12, 2), bool)
    masks[2:5, 3:9, 0] = True
    masks[7, 11, 1] = True
    return masks, np.array([3, 1], np.int32)


def test_torchvision_target_matches_hand_computed_boxes_and_masks(peer):
    target = peer.to_target(*two_objects())
    assert target["boxes"].tolist() == [[3, 2, 9, 5], [11, 7, 12, 8]]  # x1, y1, x2, y2
    assert target["labels"].tolist() == [3, 1]
    assert tuple(target["masks"].shape) == (2, 8, 12) and target["masks"].sum((1, 2)).tolist() == [18, 1]
    assert target["masks"][0, 2:5, 3:9].all() and target["masks"][1, 7, 11]


def test_torchvision_input_is_channels_first_and_in_0_to_1(peer):
    image = np.zeros((8, 12, 3), np.uint8)
    image[1, 5] = 255, 51, 0
    given = peer.as_input(peer.to_image(image), "cpu")
    assert tuple(given.shape) == (3, 8, 12)
    assert given[:, 1, 5].tolist() == pytest.approx([1.0, 0.2, 0.0]) and given.sum() == pytest.approx(1.2)


def detections_of(target):
    """Return torchvision's output for perfect detections of a target; masks are probabilities [N, 1, H, W]."""
    import torch

    masks = target["masks"][:, None].float() * 0.98 + 0.01
    scores = torch.linspace(0.9, 0.8, len(masks)).to(torch.bfloat16)
    return {"boxes": target["boxes"], "labels": target["labels"], "scores": scores, "masks": masks}


def test_torchvision_detections_match_hand_computed_result(peer):
    masks, class_ids = two_objects()
    result = peer.to_result(detections_of(peer.to_target(masks, class_ids)))
    assert result["rois"].tolist() == [[2, 3, 5, 9], [7, 11, 8, 12]]  # y1, x1, y2, x2
    assert result["class_ids"].tolist() == [3, 1]
    assert result["masks"].dtype == bool and (result["masks"] == masks).all()


def test_no_detections_give_empty_arrays(peer):
    target = peer.to_target(np.zeros((8, 12, 0), bool), np.zeros(0, np.int32))
    result = peer.to_result(detections_of(target))
    assert result["rois"].shape == (0, 4) and result["masks"].shape == (8, 12, 0)


def test_ground_truth_converted_both_ways_scores_perfectly(peer):
    # twice as wide as high, to catch swapped x and y
    dataset = accuracy.ShapesDataset()
    dataset.load_shapes(12, 96, 192, seed=3)
    dataset.prepare()
    order = iter(dataset.image_ids)

    def detect(images):
        return [peer.to_result(detections_of(peer.to_target(*dataset.load_mask(next(order))))) for _ in images]

    metrics = coco.evaluate(detect, dataset, batch_size=5).metrics
    assert {metrics[name] for name in ("mask_AP", "mask_AP50", "box_AP", "box_AP50")} == {1.0}


def test_cached_shapes_are_drawn_once_and_equal_those_of_the_data_set():
    cached = accuracy.CachedShapes(3, 64, "val")
    plain = accuracy.ShapesDataset()
    plain.load_shapes(3, 64, 64, seed=accuracy.SUBSET_SEEDS["val"])
    plain.prepare()
    for i in plain.image_ids:
        assert cached.load_image(i) is cached.load_image(i)
        assert (cached.load_image(i) == plain.load_image(i)).all()
        for kept, made in zip(cached.load_mask(i), plain.load_mask(i), strict=True):
            assert (kept == made).all()
    assert isinstance(cached, Dataset) and cached.num_classes == 4


def test_both_sides_use_the_same_images_in_the_same_order():
    settings = accuracy.common.config(NUM_CLASSES=4, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64, IMAGES_PER_GPU=4)
    loader = make_loader(accuracy.CachedShapes(8, 64, "train"), settings)
    for step in range(5):  # two passes and a half
        ours = loader[step][1][:, 0]  # a meta row begins with the image id
        assert accuracy.batch_image_ids(loader, step).tolist() == ours.tolist()


def test_learning_rate_rises_over_a_tenth_and_falls_to_a_hundredth():
    parts = accuracy.schedule(0.02, 1000)
    rates = [rate for _, rate in parts]
    assert len(parts) == 50 and {count for count, _ in parts} == {20}
    # the middle of the first part is step 10 of the 100 warm-up steps
    assert rates[:5] == pytest.approx([0.002, 0.006, 0.010, 0.014, 0.018])
    assert max(rates) == rates[5] <= 0.02 and rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0.0002, rel=0.05)
    assert [count for count, _ in accuracy.schedule(0.02, 3)] == [1, 1, 1]
    assert sum(count for count, _ in accuracy.schedule(0.02, 77)) == 77


class FakeSide:
    """A side whose training returns given losses."""

    def __init__(self, losses):
        self.losses, self.evaluated = losses, 0

    def restart(self):
        self.left = iter(self.losses)

    def train(self, steps, rate):
        return next(self.left)

    def evaluate(self, held_out):
        self.evaluated += 1
        return coco.CocoResult({"mask_AP": 0.5, "mask_AP50": 0.75, "box_AP50": 0.25}, {})


def test_diverged_run_scores_zero_and_is_not_evaluated():
    args = accuracy.parse("--steps 3 --batch-size 2 --images 8 --learning-rates 0.1".split())
    good, bad = FakeSide([3.0, 2.0, 1.0]), FakeSide([3.0, float("nan")])
    run = accuracy.measure(good, args, None)[0]
    assert (run["mask AP"], run["mask AP50"], run["box AP50"], run["loss"], run["rate"]) == (0.5, 0.75, 0.25, 1.0, 0.1)
    assert accuracy.measure(bad, args, None)[0]["mask AP"] == 0 and bad.evaluated == 0


def test_number_of_images_must_be_a_multiple_of_the_batch_size():
    with pytest.raises(SystemExit):
        accuracy.parse("--images 9 --batch-size 2".split())


def test_table_is_printed_when_a_metric_is_zero_or_a_side_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["accuracy.py"])
    monkeypatch.delenv("MRCNN_BENCH_ROWS", raising=False)
    ours = {"mask AP": 0.5, "mask AP50": 0.75, "box AP50": 0.6, "images/s": 30.0}
    peer = {"mask AP": 0.0, "mask AP50": 0.5, "box AP50": 0.6, "images/s": 20.0}
    for theirs, ratios in ((peer, ["1.50", "1.00", "1.50"]), ({}, [])):
        monkeypatch.setattr(accuracy, "best", {"ours": ours, "theirs": theirs}.get)
        accuracy.main()
        rows = capsys.readouterr().out.splitlines()
        assert len(rows) == 4 and rows[0].startswith("mask AP after 600 steps of 8 at 128") and "0.500" in rows[0]
        assert [row.split("ratio")[1].strip() for row in rows if "ratio" in row] == ratios
