"""The nucleus sample on a small generated folder, and its run-length encoding compared with hand-computed values."""
import numpy as np
import pytest
import skimage.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samples.nucleus import nucleus

# Counted down the columns from 1: column 0 has the pixels 1 2 3, column 1 the pixels 4 5 6, ...
MASK = np.array([[0, 1, 0, 1],
                 [1, 1, 0, 0],
                 [1, 0, 0, 1]], bool)  # fmt: skip
ENCODED = "2 4 10 1 12 1"


def test_encoding_counts_down_the_columns_from_one():
    assert nucleus.rle_encode(MASK) == ENCODED


def test_decoding_restores_the_mask():
    np.testing.assert_array_equal(nucleus.rle_decode(ENCODED, (3, 4)), MASK)


@pytest.mark.parametrize("mask, encoded", [
    (np.zeros((2, 3), bool), ""),
    (np.ones((2, 3), bool), "1 6"),
    (np.array([[0, 0, 1]], bool), "3 1"),
    (np.array([[1], [0], [1]], bool), "1 1 3 1"),
])  # fmt: skip
def test_encoding_of_edge_cases(mask, encoded):
    assert nucleus.rle_encode(mask) == encoded
    np.testing.assert_array_equal(nucleus.rle_decode(encoded, mask.shape), mask)


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_encoding_and_decoding_are_inverse(mask):
    np.testing.assert_array_equal(nucleus.rle_decode(nucleus.rle_encode(mask), mask.shape), mask)


def test_overlap_belongs_to_the_higher_score():
    masks = np.zeros((2, 2, 2), bool)
    masks[:, 0, 0] = True  # pixels 1 2, score 0.6
    masks[0, :, 1] = True  # pixels 1 3, score 0.9
    assert nucleus.mask_to_rle("abc", masks, np.array([0.6, 0.9])) == "abc, 1 1 3 1\nabc, 2 1"


def test_instance_covered_by_others_has_no_line():
    masks = np.ones((2, 2, 2), bool)
    assert nucleus.mask_to_rle("abc", masks, np.array([0.9, 0.6])) == "abc, 1 4"


def test_an_image_without_nuclei_has_a_line():
    assert nucleus.mask_to_rle("abc", np.zeros((2, 2, 0), bool), np.zeros(0)) == "abc,"


@pytest.fixture
def folder(tmp_path):
    """Twelve images of 6 x 9, each with a nucleus of one pixel and one of 2 x 3, except the last, which has none."""
    for i in range(12):
        image_dir = tmp_path / "stage1_train" / f"image{i:02d}"
        for name in ("images", "masks"):
            (image_dir / name).mkdir(parents=True)
        skimage.io.imsave(image_dir / "images" / f"{image_dir.name}.png", np.full((6, 9, 4), i, np.uint8), check_contrast=False)
        if i == 11:
            continue
        first, second = np.zeros((6, 9), np.uint8), np.zeros((6, 9, 3), np.uint8)
        first[4, 7] = 255
        second[1:3, 2:5] = 255
        skimage.io.imsave(image_dir / "masks" / "a.png", first, check_contrast=False)
        skimage.io.imsave(image_dir / "masks" / "b.png", second, check_contrast=False)
    return tmp_path


def _load(folder, subset):
    dataset = nucleus.NucleusDataset()
    dataset.load_nucleus(folder, subset)
    dataset.prepare()
    return dataset


def test_train_and_val_partition_the_images(folder):
    ids = {subset: [info["id"] for info in _load(folder, subset).image_info]
           for subset in ("train", "val", "stage1_train")}  # fmt: skip
    assert len(ids["train"]) == 11 and len(ids["val"]) == 1
    assert sorted(ids["train"] + ids["val"]) == ids["stage1_train"]


def test_validation_does_not_depend_on_the_order():
    ids = [f"image{i}" for i in range(40)]
    held_out = nucleus.validation_ids(ids)
    assert len(held_out) == 4 and nucleus.validation_ids(ids[::-1]) == held_out


def test_each_file_becomes_a_mask(folder):
    dataset = _load(folder, "stage1_train")
    masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (6, 9, 2) and masks.dtype == bool
    np.testing.assert_array_equal(class_ids, [1, 1])
    assert masks[:, :, 0].sum() == 1 and masks[4, 7, 0]
    assert masks[:, :, 1].sum() == 6 and masks[1:3, 2:5, 1].all()
    assert dataset.load_image(0).shape == (6, 9, 3)
    assert dataset.image_reference(3) == "image03"


def test_an_image_may_have_no_nuclei(folder):
    _, class_ids = _load(folder, "stage1_train").load_mask(11)
    assert len(class_ids) == 0


class FakeModel:
    """Detects one nucleus, the first column, and nothing in the second image."""

    def __init__(self):
        self.calls = 0

    def detect(self, images, verbose=0):
        (image,) = images
        count = int(self.calls != 1)
        self.calls += 1
        mask = np.zeros((*image.shape[:2], count), bool)
        mask[:, 0] = True
        return [{"rois": np.array([[0, 0, image.shape[0], 1]] * count, np.int32).reshape(-1, 4), "masks": mask,
                 "class_ids": np.ones(count, np.int32), "scores": np.full(count, 0.8, np.float32)}]


def test_detection_writes_the_submission_and_pictures(folder, tmp_path):
    submission = nucleus.detect(FakeModel(), folder, "stage1_train", results_dir=tmp_path / "results")
    lines = submission.read_text().splitlines()
    assert lines[:3] == ["ImageId,EncodedPixels", "image00, 1 6", "image01,"] and len(lines) == 13
    assert len(list(submission.parent.glob("*.png"))) == 12


def test_published_weights_are_rejected_for_detection(tmp_path, capsys):
    for dataset, message in ((str(tmp_path), "trained on nuclei"), ("gone", "gone: no such folder")):
        with pytest.raises(SystemExit) as end:
            nucleus.main(["detect", f"--dataset={dataset}", "--weights=coco"])
        assert end.value.code == 2 and message in capsys.readouterr().err
