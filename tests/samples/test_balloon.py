"""The balloon sample on a small generated folder."""
import json

import cv2
import numpy as np
import pytest
import skimage.io

from samples.balloon import balloon

# A rectangle of rows 2..5 and columns 3..8, corners included, in an image of 10 x 16.
RECTANGLE = {"name": "polygon", "all_points_x": [3, 8, 8, 3], "all_points_y": [2, 2, 5, 5]}
# Its right half is outside the image.
AT_THE_EDGE = {"name": "polygon", "all_points_x": [14, 20, 20, 14], "all_points_y": [0, 0, 3, 3]}
HEIGHT, WIDTH = 10, 16


@pytest.fixture
def folder(tmp_path):
    """An image with regions in the format of VIA 1, one in that of VIA 2, and one without regions."""
    train = tmp_path / "train"
    train.mkdir()
    for name in ("one.png", "two.png", "none.png"):
        skimage.io.imsave(train / name, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), check_contrast=False)
    region = [{"shape_attributes": shape, "region_attributes": {}} for shape in (RECTANGLE, AT_THE_EDGE)]
    _write(train, {
        "one.png1": {"filename": "one.png", "regions": {"0": region[0], "1": region[1]}},
        "two.png1": {"filename": "two.png", "regions": [region[0]]},
        "none.png1": {"filename": "none.png", "regions": []},
    })  # fmt: skip
    return tmp_path


def _write(folder, annotations):
    (folder / "via_region_data.json").write_text(json.dumps(annotations))


def _load(folder):
    dataset = balloon.BalloonDataset()
    dataset.load_balloon(folder, "train")
    dataset.prepare()
    return dataset


def test_both_versions_of_via_are_read(folder):
    dataset = _load(folder)
    assert dataset.class_names == ["BG", "balloon"]
    assert [info["id"] for info in dataset.image_info] == ["one.png", "two.png"]
    assert [len(info["polygons"]) for info in dataset.image_info] == [2, 1]
    assert dataset.image_reference(0).endswith("train/one.png")


def test_saved_project_is_read(folder):
    annotations = json.loads((folder / "train" / "via_region_data.json").read_text())
    _write(folder / "train", {"_via_settings": {}, "_via_img_metadata": annotations})
    assert len(_load(folder).image_info) == 2


def test_polygons_become_masks(folder):
    masks, class_ids = _load(folder).load_mask(0)
    assert masks.shape == (HEIGHT, WIDTH, 2) and masks.dtype == bool
    np.testing.assert_array_equal(class_ids, [1, 1])
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[2:6, 3:9] = True
    np.testing.assert_array_equal(masks[:, :, 0], expected)
    # clipped at the edge of the image
    expected[:] = False
    expected[0:4, 14:16] = True
    np.testing.assert_array_equal(masks[:, :, 1], expected)


def test_splash_keeps_only_the_colours_of_instances():
    image = np.full((2, 3, 3), (200, 100, 50), np.uint8)
    mask = np.zeros((2, 3, 2), bool)
    mask[0, 1, 0] = mask[1, 2, 1] = True
    splash = balloon.color_splash(image, mask)
    # ITU-R 709 luma: 0.2125 * 200 + 0.7154 * 100 + 0.0721 * 50 = 117.645
    expected = np.full((2, 3, 3), 117, np.uint8)
    expected[0, 1] = expected[1, 2] = (200, 100, 50)
    np.testing.assert_array_equal(splash, expected)
    assert splash.dtype == np.uint8


def test_splash_is_grey_without_instances():
    image = np.full((2, 3, 3), (200, 100, 50), np.uint8)
    np.testing.assert_array_equal(balloon.color_splash(image, np.zeros((2, 3, 0), bool)), np.full((2, 3, 3), 117))


class FakeModel:
    """Detects one instance, the left half of every image."""

    def detect(self, images, verbose=0):
        (image,) = images
        mask = np.zeros((*image.shape[:2], 1), bool)
        mask[:, : image.shape[1] // 2] = True
        return [{"masks": mask}]


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_splash_of_an_image(tmp_path, monkeypatch, channels):
    monkeypatch.chdir(tmp_path)
    shape = (8, 12) if channels is None else (8, 12, channels)
    skimage.io.imsave("in.png", np.full(shape, 60, np.uint8), check_contrast=False)
    name = balloon.detect_and_color_splash(FakeModel(), image_path="in.png")
    assert name.startswith("splash_") and skimage.io.imread(name).shape == (8, 12, 3)


def test_splash_of_a_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = cv2.VideoWriter("in.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 250), np.uint8))  # red
    writer.release()
    name = balloon.detect_and_color_splash(FakeModel(), video_path="in.avi")
    film = cv2.VideoCapture(name)
    frames = []
    while (frame := film.read())[0]:
        frames.append(frame[1])
    assert len(frames) == 3 and frames[0].shape == (48, 64, 3)
    blue, _, red = frames[0].transpose(2, 0, 1).astype(int)
    # JPEG blurs colours at the edge at column 32
    assert red[:, :24].min() > 200 and blue[:, :24].max() < 60
    assert np.abs(red - blue)[:, 40:].max() < 12


def test_video_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="gone.avi"):
        balloon.detect_and_color_splash(FakeModel(), video_path="gone.avi")
    with pytest.raises(ValueError, match="either"):
        balloon.detect_and_color_splash(FakeModel())


@pytest.mark.parametrize("arguments, message", [
    (["train", "--weights=coco"], "train needs --dataset"),
    (["splash", "--weights=last"], "--image or --video"),
    (["splash", "--weights=coco", "--image=x.png"], "trained on balloons"),
])  # fmt: skip
def test_inconsistent_arguments_are_reported(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        balloon.main(arguments)
    assert end.value.code == 2 and message in capsys.readouterr().err
