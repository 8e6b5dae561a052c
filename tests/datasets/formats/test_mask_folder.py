import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.formats import mask_folder
from mrcnn.datasets.formats.mask_folder import open_subset, recognise, subsets
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.recorded_stages import RecordedStages

SIZE = (40, 60)


def rectangle(y1, x1, y2, x2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


A, B = rectangle(5, 10, 25, 30), rectangle(20, 20, 40, 60)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_nested(folder, image_id, masks):
    """Write an image in the layout <id>/images, <id>/masks. `masks`: {stem: bool [H, W]}, or None for no folder."""
    save(folder / image_id / "images" / f"{image_id}.png", np.full((*SIZE, 3), 90, np.uint8))
    if masks is not None:
        (folder / image_id / "masks").mkdir()
        for name, mask in masks.items():
            save(folder / image_id / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)


def write_flat(folder, name, masks):
    """Write an image in the layout images/, masks/; `masks` as for `write_nested`."""
    save(folder / "images" / f"{name}.jpg", np.full((*SIZE, 3), 90, np.uint8))
    if masks is not None:
        (folder / "masks" / name).mkdir(parents=True)
        for mask_name, mask in masks.items():
            save(folder / "masks" / name / f"{mask_name}.png", mask.astype(np.uint8) * 255)


def opened(folder, subset=None, **options):
    dataset = open_subset(folder, subset, **options)
    dataset.prepare()
    return dataset


@pytest.mark.parametrize("write", [write_nested, write_flat])
def test_masks_without_class_folders_have_one_class(tmp_path, write):
    write(tmp_path, "x", {"0": A, "1": B})
    write(tmp_path, "y", {})
    write(tmp_path, "z", None)
    assert recognise_format(tmp_path) == "masks" and subsets(tmp_path) == []
    dataset = mrcnn.datasets.open(tmp_path)
    assert dataset.class_names == ["BG", "object"] and [info["id"] for info in dataset.image_info] == ["x", "y"]
    assert [(where, reason[:32]) for where, reason in dataset.skipped] == [("z", "the image has no folder of masks")]
    masks, class_ids = dataset.load_mask(0)
    np.testing.assert_array_equal(masks, np.dstack([A, B]))
    assert class_ids.tolist() == [1, 1] and [dataset.num_instances(i) for i in (0, 1)] == [2, 0]
    assert dataset.load_mask(1)[0].shape == (*SIZE, 0) and dataset.image_size(0) == SIZE
    sample = make_sample(pickle.loads(pickle.dumps(dataset)), 0, SampleSettings("none", num_classes=2))
    assert sample[3].tolist() == [[5, 10, 25, 30], [20, 20, 40, 60]]
    assert opened(tmp_path, class_name="nucleus").class_names == ["BG", "nucleus"]


@pytest.mark.parametrize("write", [write_nested, write_flat])
def test_class_folders_define_the_classes(tmp_path, write):
    for part, masks in (("stage1_train", {"cell/0": A, "1": B}), ("stage1_test", {"axon/0": B})):
        write(tmp_path / part, "x", {})
        folder = tmp_path / part / ("x/masks" if write is write_nested else "masks/x")
        for name, mask in masks.items():
            save(folder / f"{name}.png", mask.astype(np.uint8))
    assert recognise_format(tmp_path) == "masks" and subsets(tmp_path) == ["stage1_test", "stage1_train"]
    train, test = opened(tmp_path, "stage1_train"), opened(tmp_path, "stage1_test")
    assert train.class_names == test.class_names == ["BG", "axon", "cell", "object"], "a class has the same id in all subsets"
    assert train.load_mask(0)[1].tolist() == [3, 2] and test.load_mask(0)[1].tolist() == [1]
    (tmp_path / "names.txt").write_text("cell\n")
    few = opened(tmp_path, "stage1_train", labels=tmp_path / "names.txt")
    assert few.class_names == ["BG", "cell"] and few.load_mask(0)[1].tolist() == [1] and few.num_instances(0) == 1
    assert [reason for _, reason in few.skipped] == ["its class 'object' is not among the names"]


def test_subsets_have_standard_names(tmp_path):
    for part in ("train", "valid", "fold1"):
        write_nested(tmp_path / part, part[:2], {"0": A})
    assert subsets(tmp_path) == ["fold1", "train", "val"]
    assert [info["id"] for info in opened(tmp_path, "val").image_info] == ["va"]


def test_subfolders_are_part_of_the_image_id(tmp_path):
    write_flat(tmp_path, "day/x", {"0": A})
    write_flat(tmp_path, "night/x", {"0": B, "1": A})
    assert recognise(tmp_path) is None
    dataset = opened(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["day/x", "night/x"]
    assert [dataset.num_instances(i) for i in range(2)] == [1, 2]


@pytest.mark.parametrize("pixels", [
    A, A.astype(np.uint8), A.astype(np.uint16), np.dstack([A * np.uint8(0), A * np.uint8(9), A * np.uint8(0)]),
    np.dstack([A * np.uint8(255)] * 3 + [np.full(SIZE, 255, np.uint8)]),
])  # fmt: skip
def test_masks_of_every_pixel_type_are_read(tmp_path, pixels):
    write_nested(tmp_path, "x", {})
    save(tmp_path / "x/masks/0.png", pixels)
    np.testing.assert_array_equal(opened(tmp_path).load_mask(0)[0][:, :, 0], A)


def test_empty_mask_is_skipped_and_reported_once(tmp_path):
    write_nested(tmp_path, "x", {"0": A, "1": rectangle(0, 0, 0, 0)})
    dataset = opened(tmp_path)
    for _ in range(2):
        assert dataset.load_mask(0)[1].tolist() == [1]
    assert dataset.skipped == [(str(tmp_path / "x/masks/1.png"), "the mask is empty")]


def test_damaged_mask_or_mask_of_another_size_is_an_error(tmp_path):
    write_nested(tmp_path, "x", {"0": A})
    dataset = opened(tmp_path)
    save(tmp_path / "x/masks/0.png", A.T.astype(np.uint8))
    with pytest.raises(DataError, match=r"0.png is of size \(60, 40\), but its image is of size \(40, 60\)"):
        dataset.load_mask(0)
    (tmp_path / "x/masks/0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="0.png cannot be read"):
        dataset.load_mask(0)
    (tmp_path / "x/images/x.png").unlink()
    with pytest.raises(DataError, match="x.png does not exist"):
        dataset.load_image(0)


def test_files_written_on_other_systems_are_read(tmp_path):
    for name in ("Zürich 1", "b"):
        write_nested(tmp_path, name, {"0": A, "1": B})
        (tmp_path / name / "images" / f"{name}.png").rename(tmp_path / name / "images" / f"{name}.PNG")
        (tmp_path / name / "masks" / "0.png").rename(tmp_path / name / "masks" / "0.PNG")
        (tmp_path / name / "masks" / "._1.png").write_bytes(b"of another system")
        (tmp_path / name / "images" / f"._{name}.PNG").write_bytes(b"of another system")
        (tmp_path / name / "masks" / ".thumbs").mkdir()
    assert recognise(tmp_path) is None
    dataset = opened(tmp_path)
    assert sorted(info["id"] for info in dataset.image_info) == ["Zürich 1", "b"] and dataset.class_names == ["BG", "object"]
    assert [dataset.load_mask(i)[0].shape[2] for i in (0, 1)] == [2, 2] and dataset.skipped == []


def test_images_that_differ_only_in_suffix_share_masks_and_are_reported(tmp_path):
    write_flat(tmp_path, "x", {"0": A})
    save(tmp_path / "images/x.png", np.full((*SIZE, 3), 90, np.uint8))
    dataset = opened(tmp_path)
    assert dataset.num_images == 2 and dataset.notes == [
        (f"{tmp_path / 'masks/x'}: x.jpg and x.png", "images that differ only in their suffix share these masks")]  # fmt: skip


@pytest.mark.parametrize("name", ["0.jpg", "cell/0.tif", "cell/deep/0.png"])
def test_image_without_usable_masks_is_skipped(tmp_path, name):
    write_nested(tmp_path, "x", {"0": A})
    write_nested(tmp_path, "y", {})
    save(tmp_path / "y/masks" / name, A.astype(np.uint8) * 255)
    dataset = opened(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["x"], "training on y would teach that it has no objects"
    assert dataset.skipped == [("y", "none of its masks is a PNG in their folder or in that of a class")]


def test_mask_of_several_pieces_is_one_instance(tmp_path):
    write_nested(tmp_path, "x", {"0": A | rectangle(30, 50, 40, 60)})
    masks, class_ids = opened(tmp_path).load_mask(0)
    np.testing.assert_array_equal(masks[:, :, 0], A | rectangle(30, 50, 40, 60))
    assert class_ids.tolist() == [1]


def test_link_out_of_the_folder_is_rejected(tmp_path):
    write_nested(tmp_path / "set", "x", {})
    save(tmp_path / "0.png", A.astype(np.uint8))
    (tmp_path / "set/x/masks/0.png").symlink_to(tmp_path / "0.png")
    with pytest.raises(DataError, match="image x: .* is a link to"):
        opened(tmp_path / "set").load_mask(0)
    assert opened(tmp_path / "set", allow_outside=True).load_mask(0)[1].tolist() == [1]


def test_folder_without_masks_is_reported(tmp_path):
    assert "no <id>/images/<id>.png" in recognise(tmp_path)
    save(tmp_path / "images/x.png", A.astype(np.uint8))
    save(tmp_path / "masks/x.png", A.astype(np.uint8))  # one map per image: semantic
    save(tmp_path / "train/images/x.png", A.astype(np.uint8))
    save(tmp_path / "train/masks/x.png", A.astype(np.uint8))
    assert "no <id>/images/<id>.png" in recognise(tmp_path)
    assert recognise(tmp_path / "images/x.png") == "not a folder"
    with pytest.raises(DataError, match="no <id>/images/<id>.png"):
        open_subset(tmp_path)
    write_nested(tmp_path / "set", "x", {})
    with pytest.raises(DataError, match="names.txt does not exist"):
        open_subset(tmp_path / "set", labels=tmp_path / "names.txt")


def test_unreadable_folder_is_reported(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    write_nested(tmp_path, "x", {"0": A})
    monkeypatch.setattr("mrcnn.datasets.formats.mask_folder.os.scandir", refuse)
    assert "cannot be read: [Errno 13]" in recognise(tmp_path)


boxes = st.tuples(st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60))


@given(st.lists(st.tuples(st.sampled_from(["", "ant/", "bee/"]), boxes), max_size=5))
def test_random_masks_are_read_back(tmp_path_factory, instances):
    folder = tmp_path_factory.mktemp("set")
    write_flat(folder, "x", {})
    expected = []
    for number, (group, box) in enumerate(instances):
        mask = rectangle(*box)
        save(folder / f"masks/x/{group}{number}.png", mask.astype(np.uint8) * 255)
        if mask.any():
            expected.append((group, mask))
    dataset = opened(folder)
    masks, class_ids = dataset.load_mask(0)
    expected.sort(key=lambda pair: pair[0])  # those without a class folder first, then by class
    assert [dataset.class_names[i] for i in class_ids] == [group.rstrip("/") or "object" for group, _ in expected]
    for i, (_, mask) in enumerate(expected):
        np.testing.assert_array_equal(masks[:, :, i], mask)


@given(st.data())
def test_random_damage_raises_no_other_error_than_data_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("set")
    write_flat(folder, "x", {"0": A})
    path = folder / data.draw(st.sampled_from(["masks/x/0.png", "images/x.jpg"]))
    damaged = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    try:
        opened(folder).load_mask(0)
    except DataError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize("write", [write_nested, write_flat])
def test_progress_counts_images_while_masks_are_listed(tmp_path, write, monkeypatch):
    write(tmp_path, "x", {"0": A, "1": B})
    write(tmp_path, "y", {})
    stages = RecordedStages()
    add = mask_folder.MaskFolderDataset.add_masked_image
    monkeypatch.setattr(mask_folder.MaskFolderDataset, "add_masked_image",
                        lambda *args: stages.during("reading", add)(*args))
    assert len(opened(tmp_path, progress=stages).image_ids) == 2
    assert stages.reported == [("reading", [(1, 2), (2, 2)])]
