import pickle
import unicodedata

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.formats import yolo
from mrcnn.datasets.formats.yolo import open_subset, recognise, subsets
from mrcnn.geometry.polygons import rasterize_polygons
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.datasets.formats.labelme_files import save_image
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

SIZE = (40, 60)
# the rectangle from (y 5, x 15) to (y 25, x 30): x / 60 and y / 40
RECTANGLE = "0.25 0.125 0.5 0.125 0.5 0.625 0.25 0.625"
YAML = "path: .\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: cat\n  1: dog\n"


def write_image(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def write(folder, labels, yaml=YAML, images="images/train", texts="labels/train"):
    """Write images of SIZE with their label files; `labels` is {stem: text, or None for no file}."""
    for stem, text in labels.items():
        write_image(folder / images / f"{stem}.png")
        (folder / texts).mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / texts / f"{stem}.txt").write_text(text)
    if yaml is not None:
        (folder / "data.yaml").write_text(yaml)
    if yaml == YAML:
        (folder / "images" / "val").mkdir(parents=True, exist_ok=True)
    return folder


def rectangle(y1, x1, y2, x2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def opened(folder, subset="train", **options):
    dataset = open_subset(folder, subset, **options)
    dataset.prepare()
    return dataset


def test_classes_images_and_masks_are_read(tmp_path):
    write(tmp_path, {"a": f"1 {RECTANGLE}\n\n0 0 0 0.5 0 0.5 0.5 0 0.5\n", "b": None, "c": ""})
    assert recognise_format(tmp_path) == "yolo" and subsets(tmp_path) == ["train", "val"]
    dataset = mrcnn.datasets.open(tmp_path, subset="train")
    assert dataset.class_names == ["BG", "cat", "dog"] and dataset.skipped == []
    assert [info["id"] for info in dataset.image_info] == ["a.png", "b.png", "c.png"]
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [2, 1] and masks.shape == (*SIZE, 2)
    np.testing.assert_array_equal(masks[:, :, 0], rectangle(5, 15, 25, 30))
    np.testing.assert_array_equal(masks[:, :, 1], rectangle(0, 0, 20, 30))
    assert [dataset.num_instances(i) for i in range(3)] == [2, 0, 0]
    assert dataset.load_mask(1)[0].shape == (*SIZE, 0) and dataset.image_size(0) == SIZE
    assert dataset.get_source_class_id(2, "yolo") == 1
    sample = make_sample(pickle.loads(pickle.dumps(dataset)), 0, SampleSettings("none", num_classes=3))
    assert sample[2].tolist() == [2, 1] and sample[3].tolist() == [[5, 15, 25, 30], [0, 0, 20, 30]]


@pytest.mark.parametrize(("line", "reason"), [
    ("0 0.5 0.5 0.25 0.25", "it is a box without a mask"),
    (f"2 {RECTANGLE}", "its class is not among the names"),
    (f"0.5 {RECTANGLE}", "its class is not among the names"),
    (f"-1 {RECTANGLE}", "its class is not among the names"),
    (f"cat {RECTANGLE}", "it is not a line of finite numbers"),
    ("0 nan 0 0.5 0 0.5 0.5", "it is not a line of finite numbers"),
    ("0 1e999 0 0.5 0 0.5 0.5", "it is not a line of finite numbers"),
    ("0 0 0 0.5 0 0.5", "it does not have three or more pairs x y after the class"),
    ("0", "it does not have three or more pairs x y after the class"),
    ("0 0 0 30 0 30 20", "its coordinates are not fractions of the image, from 0 to 1"),
    ("0 -0.2 0 0.5 0 0.5 0.5", "its coordinates are not fractions of the image, from 0 to 1"),
])  # fmt: skip
def test_unusable_line_is_skipped_and_reported(tmp_path, caplog, line, reason):
    dataset = opened(write(tmp_path, {"a": f"0 {RECTANGLE}\n{line}\n"}))
    assert dataset.skipped == [(f"{tmp_path / 'labels/train/a.txt'}:2", reason)]
    assert dataset.load_mask(0)[1].tolist() == [1] and dataset.num_instances(0) == 1
    assert any(f"1 lines or files skipped, such as {tmp_path}" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_labels_refer_to_the_image_after_its_exif_orientation(tmp_path, orientation):
    write(tmp_path, {"a": f"1 {RECTANGLE}"})
    (tmp_path / "images/train/a.png").unlink()
    save_image(tmp_path / "images/train/a.jpg", SIZE, orientation)
    dataset = opened(tmp_path)
    size = SIZE if orientation != 6 else SIZE[::-1]
    image, (masks, _) = dataset.load_image(0), dataset.load_mask(0)
    assert image.shape[:2] == dataset.image_size(0) == masks.shape[:2] == size
    bright = np.unravel_index(image[:, :, 0].argmax(), size)
    assert bright == {1: (0, 0), 3: (39, 59), 6: (0, 39)}[orientation]
    h, w = size  # a quarter to a half of the width, an eighth to five eighths of the height
    expected = np.zeros(size, bool)
    expected[h // 8 : round(h * 0.625), w // 4 : w // 2] = True
    assert (masks[:, :, 0] != expected).sum() <= 60  # the rim, which is between pixels


def test_point_slightly_outside_is_accepted_as_rounding(tmp_path):
    dataset = opened(write(tmp_path, {"a": "0 -0.001 0 1.001 0 1.001 1 -0.001 1"}))
    np.testing.assert_array_equal(dataset.load_mask(0)[0][:, :, 0], rectangle(0, 0, 40, 60))


def test_label_files_that_are_not_text_or_have_no_image_are_skipped(tmp_path):
    write(tmp_path, {"a": f"0 {RECTANGLE}", "b": ""})
    (tmp_path / "labels/train/b.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "labels/train/z.txt").write_text(f"0 {RECTANGLE}")
    dataset = opened(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["a.png"], "training on b would teach that it has no objects"
    assert [(where.rsplit("/")[-1], reason.split(",")[0]) for where, reason in dataset.skipped] == [
        ("z.txt", "the label file has no image"), ("b.txt", "the label file is not text")]


def test_image_without_labels_is_skipped_if_label_files_of_its_folder_have_no_image(tmp_path):
    """One of them may be meant for it: without its labels, training on it would teach that it has no objects."""
    write(tmp_path, {"a": f"0 {RECTANGLE}", "b": None, "c": ""})
    assert [info["id"] for info in opened(tmp_path).image_info] == ["a.png", "b.png", "c.png"]
    (tmp_path / "labels/train/README.txt").write_text("Labels of 2024, 5 people: see the wiki.")
    assert opened(tmp_path).num_images == 3, "a text is not a label file"
    (tmp_path / "labels/train/b_1.txt").write_text(f"0 {RECTANGLE}")
    dataset = opened(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["a.png", "c.png"]
    assert dataset.skipped == [
        (str(tmp_path / "labels/train/b_1.txt"), "the label file has no image"),
        ("b.png", "it has no label file, and label files of its folder have no image: correct their names, or make an empty "
                  "label file if it shows no objects")]  # fmt: skip


def test_label_file_in_another_unicode_form_or_other_capital_letters_is_found(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write(tmp_path, {nfd: None, "Photo": None, "b": None})
    labels = tmp_path / "labels" / "train"
    (labels / f"{nfc}.txt").write_text(f"0 {RECTANGLE}")
    (labels / "photo.txt").write_text(f"1 {RECTANGLE}")
    dataset = opened(tmp_path)
    assert {info["id"]: dataset.load_mask(i)[1].tolist() for i, info in enumerate(dataset.image_info)} == {
        f"{nfd}.png": [1], "Photo.png": [2], "b.png": []}  # fmt: skip
    note = "its name differs from that of its image in capital letters or Unicode form"
    assert sorted(dataset.notes) == sorted([(str(labels / f"{nfc}.txt"), note), (str(labels / "photo.txt"), note)])
    (labels / "PHOTO.txt").write_text("")
    assert [info["id"] for info in opened(tmp_path).image_info] == [f"{nfd}.png"], "it may be either, and b is in doubt"


def test_labels_beside_the_images_are_read(tmp_path):
    for stem, text in (("a", f"1 {RECTANGLE}"), ("b", f"0 {RECTANGLE}")):
        write_image(tmp_path / f"{stem}.png")
        (tmp_path / f"{stem}.txt").write_text(text)
    with pytest.raises(DataError, match="unknown data set format"):
        recognise_format(tmp_path)  # texts beside images may be captions
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    dataset = mrcnn.datasets.open(tmp_path, "yolo", labels=tmp_path / "names.txt")
    assert [dataset.load_mask(i)[1].tolist() for i in range(2)] == [[2], [1]] and dataset.skipped == []
    (tmp_path / "names.txt").rename(tmp_path / "classes.txt")
    assert recognise_format(tmp_path) == "yolo" and subsets(tmp_path) == []
    for subset in ("train", "valid"):
        (tmp_path / subset).mkdir()
        for name in ("a.png", "a.txt"):
            (tmp_path / subset / name).write_bytes((tmp_path / name).read_bytes())
    for name in ("a.png", "a.txt", "b.png", "b.txt"):
        (tmp_path / name).unlink()
    assert subsets(tmp_path) == ["train", "val"]
    dataset = mrcnn.datasets.open(tmp_path, subset="val")
    assert dataset.load_mask(0)[1].tolist() == [2] and dataset.skipped == []
    (tmp_path / "train" / "a.txt").write_text("a photograph of a cat")
    (tmp_path / "valid" / "a.txt").write_text("a photograph of a dog")
    with pytest.raises(DataError, match="unknown data set format"):
        recognise_format(tmp_path)


def test_darknet_files_of_cvat_are_read(tmp_path):
    write(tmp_path, {"a": f"1 {RECTANGLE}", "b": f"0 {RECTANGLE}"}, None, "obj_train_data", "obj_train_data")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/a.png\ndata/obj_train_data/b.png\ndata/gone/c.png\n/x/../d.png\n")
    assert recognise_format(tmp_path) == recognise_format(tmp_path / "obj.data") == "yolo" and subsets(tmp_path) == ["train"]
    dataset = mrcnn.datasets.open(tmp_path)
    assert dataset.class_names == ["BG", "cat", "dog"]
    assert [dataset.load_mask(i)[1].tolist() for i in range(2)] == [[2], [1]]
    assert dataset.notes[0][1] == "'data/train.txt' does not exist: 'train.txt' in the data set's folder is used"
    ((where, reason),) = dataset.skipped
    assert where.endswith("train.txt: line 4") and "leads out of the data set's folder" in reason


@pytest.mark.parametrize(("entry", "folder"), [
    ("/content/datasets/set/train/images", "train/images"), ("C:\\data\\set\\train\\images", "train/images"),
    ("../../train/images", "train/images"), ("/content/set/images/train", "images/train"), ("/content/set/train", "train"),
])  # fmt: skip
def test_entry_of_another_computer_is_found_by_the_end_of_its_path(tmp_path, entry, folder):
    write(tmp_path, {"a": f"1 {RECTANGLE}"}, f"train: {entry}\nval: /content/set/valid/images\nnames: [cat, dog]\n", folder,
          folder.replace("images", "labels"))  # fmt: skip
    assert subsets(tmp_path) == ["train"], "the folder of val does not exist"
    dataset = mrcnn.datasets.open(tmp_path)
    assert dataset.load_mask(0)[1].tolist() == [2]
    assert dataset.notes == [(str(tmp_path / "data.yaml"),
                              f"{entry!r} does not exist: {folder!r} in the data set's folder is used")]  # fmt: skip
    ((where, reason),) = dataset.skipped
    assert where == "data.yaml: val" and "/content/set/valid/images does not exist in" in reason
    with pytest.raises(DataError, match="no subset 'val'; it has train"):
        mrcnn.datasets.open(tmp_path, subset="val")


def test_folder_of_all_images_is_not_taken_for_a_subset_of_another_computer(tmp_path):
    """.../valid/images ends like images/, which holds the training images too."""
    write(tmp_path, {"a": f"1 {RECTANGLE}"}, "train: images/train\nval: /content/valid/images\nnames: [cat, dog]\n")
    assert subsets(tmp_path) == ["train"]


@pytest.mark.parametrize(("case", "subset"), [
    ("beside", None), ("colab", "train"), ("colab2", "train"), ("cvat_ultra", "train"), ("cvat_yolo11", "train")])
def test_cases_from_public_reports(case, subset):
    dataset = mrcnn.datasets.open(shared_path(f"cases/15-yolo-layouts/{case}"), subset=subset)
    assert dataset.class_names == ["BG", "cat"] and dataset.load_image(0).shape == (64, 96, 3)
    masks, class_ids = dataset.load_mask(0)
    # (0.104167, 0.15625) to (0.416667, 0.625) of 96 x 64 pixels is (10, 10) to (40, 40)
    assert class_ids.tolist() == [1] and masks[10:40, 10:40].all() and masks.sum() == 900


def test_images_that_differ_only_in_suffix_share_labels_and_are_reported(tmp_path, caplog):
    write(tmp_path, {"a": f"0 {RECTANGLE}", "b": None})
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / "images/train" / name)
    dataset = opened(tmp_path)
    assert dataset.num_images == 4 and [dataset.num_instances(i) for i in range(4)] == [1, 1, 0, 0]
    assert dataset.notes == [(f"{tmp_path / 'labels/train/a.txt'}: a.jpg and a.png",
                             "images that differ only in their suffix share it")]  # fmt: skip
    assert "a.jpg and a.png: images that differ" in caplog.text


def test_files_written_on_other_systems_are_read(tmp_path):
    names = ("été 1", "B", "c.1")
    write(tmp_path, dict.fromkeys(names), "\ufeffnames: [cat, dog]\r\ntrain: images/train\r\nvalidation: images/train\r\n")
    for name, encoding in zip(names, ("utf-8", "utf-8-sig", "utf-8"), strict=True):
        (tmp_path / "labels/train" / f"{name}.txt").write_bytes(f"1 {RECTANGLE}\r\n\r\n".encode(encoding))
    for hidden in ("labels/train/._c.1.txt", "images/train/._c.1.png"):
        (tmp_path / hidden).write_bytes(b"of another system")
    (tmp_path / "labels/train/B.txt").rename(tmp_path / "labels/train/B.TXT")
    (tmp_path / "images/train/B.png").rename(tmp_path / "images/train/B.PNG")
    for part in subsets(tmp_path):
        dataset = opened(tmp_path, part)
        assert sorted(info["id"] for info in dataset.image_info) == ["B.PNG", "c.1.png", "été 1.png"] and dataset.skipped == []
        assert [dataset.load_mask(i)[1].tolist() for i in range(3)] == [[2]] * 3
    assert subsets(tmp_path) == ["train", "val"]


@pytest.mark.parametrize(("images", "texts", "part"), [
    ("images", "labels", None), ("images/valid", "labels/valid", "val"), ("images/train", "labels/train", "train"),
    ("train/images", "train/labels", "train"), ("valid/images", "valid/labels", "val"),
])  # fmt: skip
def test_folders_without_a_yaml_file_are_read(tmp_path, images, texts, part):
    write(tmp_path, {"a": f"1 {RECTANGLE}"}, None, images, texts)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert recognise_format(tmp_path) == "yolo" and subsets(tmp_path) == ([part] if part else [])
    dataset = mrcnn.datasets.open(tmp_path)
    assert dataset.class_names == ["BG", "cat", "dog"] and dataset.load_mask(0)[1].tolist() == [2]


def test_class_names_are_required(tmp_path):
    write(tmp_path, {"a": f"1 {RECTANGLE}"}, None, "images", "labels")
    with pytest.raises(DataError, match="the classes have no names: .*classes.txt"):
        opened(tmp_path, None)
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    assert opened(tmp_path, None, labels=tmp_path / "names.txt").class_names == ["BG", "ant", "bee"]


@pytest.mark.parametrize(("names", "expected"), [
    ("names: [yes, 2020-01-01, on]", ["yes", "2020-01-01", "on"]),
    ("names:\n- a\n- b # the second\n", ["a", "b"]),
    ("names: {3: d, 0: a}", ["a", "d"]),
    ('names: {0: "caf\\u00e9: au lait"}', ["caf\u00e9: au lait"]),
])  # fmt: skip
def test_class_names_stay_text_in_yaml(tmp_path, names, expected):
    write(tmp_path, {"a": None}, f"train: images/train\n{names}")
    assert opened(tmp_path).class_names == ["BG", *expected]


@pytest.mark.parametrize("yaml", [
    "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]",  # as exported by one tool
    "path: /content/datasets/mine\ntrain: train/images\nval: valid/images\nnames: [cat, dog]",  # path on another machine
    "path: mine\ntrain: train/images\nval: valid/images\nnames: [cat, dog]\nnc: 2",  # relative to the tool's data folder
    "train: [train/images]\nval: [valid/images]\nnames: [cat, dog]",
])  # fmt: skip
def test_paths_written_by_other_tools_are_found(tmp_path, yaml):
    write(tmp_path, {"a": f"1 {RECTANGLE}"}, yaml, "train/images", "train/labels")
    write(tmp_path, {"b": f"0 {RECTANGLE}"}, yaml, "valid/images", "valid/labels")
    assert subsets(tmp_path) == ["train", "val"] == subsets(tmp_path / "data.yaml")
    for path in (tmp_path, tmp_path / "data.yaml"):
        assert [opened(path, part).load_mask(0)[1].tolist() for part in ("train", "val")] == [[2], [1]]


def test_subset_may_be_several_folders_or_a_list_file(tmp_path):
    yaml = "train: [images/train, images/more]\nval: val.txt\nnames: [cat, dog]"
    write(tmp_path, {"a": f"1 {RECTANGLE}"}, yaml)
    write(tmp_path, {"a": f"0 {RECTANGLE}"}, yaml, "images/more", "labels/more")
    (tmp_path / "val.txt").write_text("./images/more/a.png\nimages/train/gone.png\n\nimages/more/a.png\n")
    train, val = opened(tmp_path), opened(tmp_path, "val")
    assert [info["id"] for info in train.image_info] == ["images/train/a.png", "images/more/a.png"]
    assert [train.load_mask(i)[1].tolist() for i in range(2)] == [[2], [1]]
    assert val.load_mask(0)[1].tolist() == [1] and val.num_images == 2 and val.notes == []
    with pytest.raises(DataError, match="gone.png does not exist"):
        val.load_image(1)


@pytest.mark.parametrize(("yaml", "message"), [
    ("train: images/train", "no data.yaml or obj.data with names and train"),
    ("train: images/gone\nnames: [a]", "'images/gone' does not exist"),
    ("train: /etc\nnames: [a]", "is the absolute path '/etc', outside"),
    ("train: ../../etc\nnames: [a]", "points outside"),
    ("train: {a: b}\nnames: [a]", "train is .* expected the name of a folder or file"),
    ("path: [a, b]\ntrain: images/train\nnames: [a]", "path is .* expected the name"),
    ("train: images/train\nnames: cat", "names is 'cat', expected a list of names"),
    ("train: images/train\nnames: {cat: 0}", "names has 'cat': '0', expected the number of a class"),
    ("train: images/train\nnames: []", "names is \\[\\], expected a list of names"),
    ("train: images/train\nnames: [cat, dog]\nnc: 3", "nc is '3', but there are 2 names, cat, dog: correct one of them"),
    ("train: images/train\nnames: {0: cat, 2: dog}\nnc: [2]", "nc is \\['2'\\], but there are 2 names"),
    ("train: images/train\nnames: [[a]]", "names has 0: \\['a'\\]"),
    ("train: images/train\nnames: [a", "cannot be parsed as YAML"),
    ("- a", "contains a list, expected a mapping"),
    ("names: &a [x]\nother: *a", "an alias"),
    ("names: " + "[" * 5000, "data.yaml .*nest"),
    ("train: images/train\nnames: !!python/object/apply:os.getcwd []", "names is \\[\\]"),
    (f"train: {'x' * 300}\nnames: [a]", "does not exist"),
])  # fmt: skip
def test_error_in_data_yaml_is_reported(tmp_path, yaml, message):
    write(tmp_path, {"a": f"0 {RECTANGLE}"}, yaml)
    (tmp_path / "labels").rename(tmp_path / "texts")  # so that only the YAML file identifies the format
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_damaged_data_yaml_is_reported_and_an_unrelated_yaml_file_ignored(tmp_path):
    write(tmp_path, {"a": f"0 {RECTANGLE}"}, "names: [a")
    assert "cannot be parsed as YAML" in recognise(tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / "settings.yaml")
    (tmp_path / "labels" / "classes.txt").write_text("cat")
    assert recognise(tmp_path) is None and opened(tmp_path).class_names == ["BG", "cat"]
    assert "not a folder or a .yaml file" in recognise(tmp_path / "images/train/a.png")
    assert "no data.yaml" in recognise(tmp_path / "images")


def test_images_outside_the_folder_need_permission(tmp_path):
    write(tmp_path / "other", {"a": f"1 {RECTANGLE}", "b": f"0 {RECTANGLE}"}, None)
    inner = tmp_path / "set"
    inner.mkdir()
    (inner / "data.yaml").write_text("train: ../other/images/train\nnames: [cat, dog]")
    with pytest.raises(DataError, match="points outside .*--allow-outside"):
        opened(inner)
    assert opened(inner, allow_outside=True).load_mask(0)[1].tolist() == [2]
    (inner / "data.yaml").write_text("train: images/train\nnames: [cat, dog]")
    (inner / "images").symlink_to(tmp_path / "other" / "images")
    with pytest.raises(DataError, match="is a link to"):
        opened(inner)
    (inner / "images").unlink()
    write(inner, {"a": f"1 {RECTANGLE}"}, None)
    (inner / "images/train/b.png").symlink_to(tmp_path / "other/images/train/b.png")
    (inner / "images/train/a.png").rename(inner / "images/train/c.png")
    (inner / "labels/train/a.txt").unlink()
    (inner / "labels/train/c.txt").symlink_to(tmp_path / "other/labels/train/a.txt")
    dataset = opened(inner)
    assert [info["id"] for info in dataset.image_info] == ["b.png"], "the labels of c are a link"
    assert "the label file is a link out of the folder, so its image is skipped" in [what for _, what in dataset.skipped]
    with pytest.raises(DataError, match="image b.png: .* is a link to"):
        dataset.load_image(0)


def test_broken_image_is_an_error_when_loaded(tmp_path):
    dataset = opened(write(tmp_path, {"a": f"0 {RECTANGLE}"}))
    (tmp_path / "images/train/a.png").write_bytes(b"no image")
    for use in (dataset.load_image, dataset.load_mask, dataset.image_size):
        with pytest.raises(DataError, match="a.png"):
            use(0)


points = st.tuples(st.floats(0, SIZE[1]), st.floats(0, SIZE[0]))


@given(st.lists(st.tuples(st.integers(0, 1), st.lists(points, min_size=3, max_size=8)), max_size=4))
def test_random_instances_are_read_back(tmp_path_factory, instances):
    lines = [f"{number} " + " ".join(f"{x / SIZE[1]!r} {y / SIZE[0]!r}" for x, y in polygon) for number, polygon in instances]
    dataset = opened(write(tmp_path_factory.mktemp("set"), {"a": "\n".join(lines)}))
    assert dataset.skipped == [] and dataset.num_instances(0) == len(instances)
    masks, class_ids = dataset.load_mask(0)
    drawn = [(number + 1, rasterize_polygons([np.ravel(polygon).tolist()], SIZE)) for number, polygon in instances]
    drawn = [(number, mask) for number, mask in drawn if mask.any()]
    assert class_ids.tolist() == [number for number, _ in drawn]
    for i, (_, mask) in enumerate(drawn):
        assert (masks[:, :, i] & mask).sum() > 0.98 * (masks[:, :, i] | mask).sum()


@given(st.binary(max_size=200) | st.text("0123456789.-ena \n", max_size=200).map(str.encode))
def test_random_label_file_never_raises(tmp_path_factory, text):
    folder = write(tmp_path_factory.mktemp("set"), {"a": f"0 {RECTANGLE}", "b": ""})
    (folder / "labels/train/b.txt").write_bytes(text)
    dataset = opened(folder)
    assert 1 <= len(dataset.image_info) <= 2 and dataset.load_mask(0)[1].tolist() == [1]
    for image_id in range(dataset.num_images):
        dataset.load_mask(image_id)


@given(st.data())
def test_randomly_damaged_data_yaml_raises_no_other_error_than_data_error(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("set"), {"a": f"0 {RECTANGLE}"})
    text = bytearray(YAML.encode())
    for position in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=4)):
        text[position] = data.draw(st.integers(0, 255))
    (folder / "data.yaml").write_bytes(bytes(text[: data.draw(st.integers(0, len(text)))]))
    try:
        for part in subsets(folder) or [None]:
            for image_id in range(opened(folder, part).num_images):
                opened(folder, part).load_mask(image_id)
    except DataError as error:
        assert str(folder) in str(error)


def test_progress_counts_images_while_labels_are_read(tmp_path, monkeypatch):
    write(tmp_path, {"a": f"1 {RECTANGLE}", "b": None, "c": "1 broken"})
    stages = RecordedStages()
    monkeypatch.setattr(yolo.dataset, "read_label_file", stages.during("reading", yolo.dataset.read_label_file))
    assert len(mrcnn.datasets.open(tmp_path, subset="train", progress=stages).image_ids) == 3
    assert stages.reported == [("reading", [(1, 3), (2, 3), (3, 3)])]
