"""Behaviour that all readers inherit: image sizes, links, and reports of what was skipped."""
import logging

import cv2
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.annotated_dataset import AnnotatedDataset


class Squares(AnnotatedDataset):
    source = "squares"


def make(folder, size=None):
    cv2.imwrite(str(folder / "a.png"), np.zeros((4, 7, 3), np.uint8))
    dataset = Squares()
    dataset.add_class("squares", 5, "square")
    dataset.add_annotated_image("a", folder / "a.png", size,
                                [{"category_id": 5, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}], folder)  # fmt: skip
    dataset.prepare()
    return dataset


def test_unknown_size_is_read_from_the_image_header(tmp_path):
    dataset = make(tmp_path)
    assert "height" not in dataset.image_info[0] and dataset.image_size(0) == (4, 7)
    masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (4, 7, 1) and masks.sum() == 4 and class_ids.tolist() == [1]
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="a.png does not exist"):
        dataset.image_size(0)
    assert make(tmp_path, (40, 70)).image_size(0) == (40, 70)


def test_size_is_that_of_the_loaded_image_if_load_image_is_overridden(tmp_path):
    class Transposed(Squares):
        def load_image(self, image_id):
            return super().load_image(image_id).transpose(1, 0, 2)

    dataset = make(tmp_path)
    dataset.__class__ = Transposed
    assert dataset.image_size(0) == (7, 4)


def test_link_out_of_the_folder_is_rejected(tmp_path):
    (tmp_path / "set").mkdir()
    dataset = make(tmp_path / "set")
    (tmp_path / "set" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "a.png")
    for use in (dataset.load_image, dataset.image_size):
        with pytest.raises(DataError, match="image a: .*is a link to"):
            use(0)


def test_skipped_entries_are_recorded_once_and_logged_by_reason(tmp_path, caplog):
    dataset = make(tmp_path)
    for where in (1, 2, 1):
        dataset.skip(where, "it has no mask")
    dataset.skip(2, "it has no class")
    assert dataset.skipped == [(1, "it has no mask"), (2, "it has no mask"), (2, "it has no class")]
    with caplog.at_level(logging.WARNING):
        dataset.log_skipped("a.json", "objects")
    assert [record.getMessage() for record in caplog.records] == [
        "a.json: 2 objects skipped, such as 1: it has no mask", "a.json: 1 objects skipped, such as 2: it has no class"]


def test_exif_orientation_is_applied_if_the_annotations_refer_to_it(tmp_path):
    from PIL import Image

    pixels = np.arange(4 * 7 * 3, dtype=np.uint8).reshape(4, 7, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    for info, expected in (({}, pixels), ({"exif_applied": True}, np.rot90(pixels, -1))):
        dataset = Squares()
        dataset.add_annotated_image("a", tmp_path / "a.png", expected.shape[:2], [], tmp_path, **info)
        np.testing.assert_array_equal(dataset.load_image(0), expected)
        assert dataset.load_image(0).flags.c_contiguous


def test_control_characters_of_names_are_escaped_in_the_log(tmp_path, caplog):
    dataset = make(tmp_path)
    dataset.skip("\x1b[31ma.jpg", "class '\x1b[2J' is unknown")
    dataset.log_skipped("a.json", "images")
    assert r"such as \x1b[31ma.jpg: class '\x1b[2J' is unknown" in caplog.text and "\x1b" not in caplog.text


def test_note_about_one_place_is_logged_without_a_count(tmp_path, caplog):
    dataset = make(tmp_path)
    dataset.notes += [("images[0]", "it is mended"), ("images[1]", "it is bent"), ("images[2]", "it is bent")]
    dataset.log_skipped("a.json")
    assert [record.getMessage() for record in caplog.records] == [
        "a.json: images[0]: it is mended", "a.json: 2 times, such as images[1]: it is bent"]  # fmt: skip
