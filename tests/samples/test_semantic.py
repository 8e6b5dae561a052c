"""The semantic sample: its loss and table computed by hand, and a tiny network that learns colours."""
import cv2
import numpy as np
import pytest

from mrcnn.semantic.evaluation import mean_iou
from samples.semantic import semantic


def test_loss_by_hand():
    """Four pixels: three of background with probability 0.5, one of class 1 with probability 0.25."""
    masks = np.array([0, 0, 0, 1]).reshape(1, 2, 2, 1)
    probs = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.75, 0.25]], np.float32).reshape(1, 2, 2, 2)
    weights = np.array([0.751, 0.251]) ** -0.75
    weights /= (weights * [0.75, 0.25]).sum()
    expected = (0.75 * weights[0] * np.log(2) + 0.25 * weights[1] * np.log(4))
    assert float(semantic.balanced_cross_entropy(masks, probs)) == pytest.approx(expected, rel=1e-5)
    # with fractions of 1 and 0, the absent class has no weight
    plain = (3 * np.log(2) + np.log(4 / 3)) / 4
    assert float(semantic.balanced_cross_entropy(masks * 0, probs)) == pytest.approx(plain, rel=1e-5)


def test_mean_of_the_table_omits_absent_classes():
    before = np.array([[2, 2, 0], [4, 0, 0], [0, 0, 0]])  # IoU 2 / 8, 0 / 6
    after = np.array([[4, 0, 0], [2, 2, 0], [0, 0, 0]])  # 4 / 6, 2 / 4; all background: 4 / 8, 0 / 4
    lines = semantic.table(["background", "cat", "dog"], before, after).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["background", "0.250", "0.667", "0.500"], ["cat", "0.000", "0.500", "0.000"], ["dog", "-", "-", "-"],
        ["mean", "0.125", "0.583", "0.250"],
    ]  # fmt: skip


def test_sizes_that_cannot_be_halved_are_rejected():
    with pytest.raises(ValueError, match="size is 20 x 32: both sides must be multiples of 8"):
        semantic.build_unet((20, 32), 3)


@pytest.fixture
def folder(tmp_path):
    """Semantic maps of a red or a blue rectangle on grey: six for training and three for validation."""
    rng = np.random.default_rng(0)
    for number in range(9):
        part = tmp_path / ("train" if number < 6 else "val")
        class_map, image = np.zeros((32, 48), np.uint8), np.full((32, 48, 3), 120, np.uint8)
        y, x = rng.integers(0, 12), rng.integers(0, 24)
        class_map[y : y + 20, x : x + 24] = 1 + number % 2
        image[class_map == 1], image[class_map == 2] = (0, 0, 255), (255, 0, 0)  # BGR
        for kind, pixels in (("images", image), ("masks", class_map)):
            (part / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(part / kind / f"{number}.png"), pixels)
    (tmp_path / "classes.txt").write_text("red\nblue\n")
    return tmp_path


def test_tiny_network_learns(folder, capsys, monkeypatch):
    monkeypatch.setattr(semantic, "LEVELS", 2)
    figure = folder / "batch.png"
    result = semantic.main([
        "--dataset", str(folder), "--classes", "blue", "red", "--epochs", "8", "--size", "16", "24", "--batch-size", "2",
        "--filters", "8", "--learning-rate", "0.01", "--figure", str(figure),
    ])  # fmt: skip
    assert set(result) == {"training images", "validation images"}
    for part, count in (("training images", 6), ("validation images", 3)):
        before, after = result[part]
        assert before.sum() == after.sum() == count * 16 * 24
        np.testing.assert_array_equal(before.sum(axis=1), after.sum(axis=1))  # the same ground truth
        assert mean_iou(after) > max(mean_iou(before), 0.6)
    out = capsys.readouterr().out
    assert "training images: 6" in out and "validation images: 3" in out and "blue" in out
    assert cv2.imread(str(figure)).shape[2] == 3


def test_a_missing_validation_subset_is_reported(folder, capsys):
    parts = semantic.open_parts(semantic.parse(["--dataset", str(folder), "--classes", "red", "--val", "test"]))
    assert list(parts) == ["training", "training images"] and "no subset 'test'" in capsys.readouterr().out
    training, measured = parts.values()
    assert training.batches.augmentation is not None and measured.batches.augmentation is None
    assert semantic.parse(["--dataset", "x"]).classes == ["laptop", "tv", "cell phone"]
