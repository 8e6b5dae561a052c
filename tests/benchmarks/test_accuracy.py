"""The accuracy benchmark: both sides see the same images, and boxes and masks are converted correctly between them."""
import sys

import numpy as np
import pytest

from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation import coco
from mrcnn.training.optimizers import scheduled_rate
from mrcnn.training.settings import make_loader
from tests.benchmarks.scripts import benchmark

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
    rates = [accuracy.rate_at(step, 0.02, 1000) for step in range(1000)]
    # from a twentieth of the peak, in 100 steps: step 50 is half-way
    assert rates[0] == pytest.approx(0.001) and rates[50] == pytest.approx(0.0105) and rates[100] == pytest.approx(0.02)
    assert rates[550] == pytest.approx(0.02 * 0.505)  # half of the cosine
    assert rates[100:] == sorted(rates[100:], reverse=True) and rates[-1] == pytest.approx(0.0002, rel=0.01)


def test_both_sides_have_the_same_schedule():
    config = accuracy.common.config(LEARNING_RATE_SCHEDULE="cosine", LEARNING_RATE_WARMUP=30)
    ours = scheduled_rate(config, 0.02, 300)
    for step in (0, 1, 29, 30, 31, 165, 299):
        assert accuracy.rate_at(step, 0.02, 300) == pytest.approx(float(ours(step)), rel=1e-4)


class FakeSide:
    """A side whose runs have given losses."""

    def __init__(self, *losses):
        self.losses, self.trained, self.evaluated = iter(losses), [], 0

    def train(self, rate, seed):
        self.trained.append((rate, seed))
        return {"loss": next(self.losses), "images/s": 8.0}

    def evaluate(self, held_out):
        self.evaluated += 1
        return coco.CocoResult({"mask_AP": 0.5, "mask_AP50": 0.75, "box_AP50": 0.25}, {})


def test_each_rate_is_tried_with_each_seed_and_a_diverged_run_scores_zero():
    args = accuracy.parse("--steps 3 --batch-size 2 --images 8 --learning-rates 0.1 0.2 --seeds 4 5".split())
    side = FakeSide(1.0, 2.0, float("nan"), 3.0)
    runs = accuracy.measure(side, args, None)
    assert side.trained == [(0.1, 4), (0.1, 5), (0.2, 4), (0.2, 5)] and side.evaluated == 3
    assert [run["mask AP"] for run in runs] == [0.5, 0.5, 0, 0.5]
    assert runs[0].items() >= {"mask AP50": 0.75, "box AP50": 0.25, "loss": 1.0, "rate": 0.1, "seed": 4}.items()


def test_best_rate_is_that_of_the_best_mean_mask_ap():
    def run(rate, seed, ap):
        return {"rate": rate, "seed": seed, "mask AP": ap, "mask AP50": ap + 0.1, "box AP50": 0.3, "images/s": 10 * ap}

    # the best single run has the other rate
    best = accuracy.best_rate([run(0.1, 0, 0.8), run(0.1, 1, 0.2), run(0.2, 0, 0.5), run(0.2, 1, 0.7)])
    assert best == pytest.approx({"mask AP": 0.6, "mask AP50": 0.7, "box AP50": 0.3, "images/s": 6.0})


def test_recipe_is_that_of_our_side():
    args = accuracy.parse("--size 64".split())
    ours, peer = accuracy.settings(args, args.recipe), accuracy.settings(args, "classic")
    assert ours["PROPOSALS_PER_LEVEL"] is True and "PROPOSALS_PER_LEVEL" not in peer
    assert ours["BACKBONE"] == peer["BACKBONE"] and ours["IMAGE_MAX_DIM"] == peer["IMAGE_MAX_DIM"] == 64


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
