import pickle
import shutil
import unicodedata

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.formats.voc import CLASS_NAMES, open_subset, recognise, subsets, voc_colors
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.recorded_stages import RecordedStages
from tests.shared_data import shared_path

SIZE = (40, 60)
FOLDERS = ("JPEGImages", "SegmentationObject", "SegmentationClass", "Annotations", "ImageSets/Segmentation")


def maps(*objects):
    """Draw the object map and the class map of (class, y1, x1, y2, x2), objects numbered from 1, later ones on top."""
    numbers, classes = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for number, (class_number, y1, x1, y2, x2) in enumerate(objects, start=1):
        numbers[y1:y2, x1:x2], classes[y1:y2, x1:x2] = number, class_number
    return numbers, classes


def save(path, numbers):
    """Write a PNG with VOC's palette."""
    image = Image.fromarray(numbers.astype(np.uint8), "P")
    image.putpalette(voc_colors().ravel().tolist())
    image.save(path)


def write(folder, images, lists=None, colors=False):
    """Write a data set: images {id: (numbers, classes or None)}, lists {subset: ids}, PNGs with a palette or in colours."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for image_id, pair in images.items():
        cv2.imwrite(str(folder / "JPEGImages" / f"{image_id}.jpg"), np.full((*SIZE, 3), 90, np.uint8))
        for name, numbers in zip(FOLDERS[1:3], pair, strict=True):
            if numbers is not None and colors:
                Image.fromarray(voc_colors()[numbers]).save(folder / name / f"{image_id}.png")
            elif numbers is not None:
                save(folder / name / f"{image_id}.png", numbers)
    for part, ids in (lists or {}).items():
        (folder / "ImageSets/Segmentation" / f"{part}.txt").write_text("\n".join(ids) + "\n")
    return folder


def write_xml(folder, image_id, *names):
    objects = "".join(f"<object><name>{name}</name><part><name>head</name></part></object>" for name in names)
    (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{objects}</annotation>")


def opened(folder, subset=None, **options):
    dataset = open_subset(folder, subset, **options)
    dataset.prepare()
    return dataset


def test_palette_is_that_of_the_development_kit():
    # published with the data set: aeroplane, bicycle, ..., tvmonitor, and the void outline
    assert voc_colors()[[0, 1, 2, 3, 4, 8, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [64, 0, 0], [192, 128, 128], [0, 64, 128],
        [224, 224, 192]]  # fmt: skip


@pytest.mark.parametrize("colors", [False, True])
def test_objects_and_classes_are_read(tmp_path, colors):
    numbers, classes = maps((8, 5, 10, 25, 30), (15, 20, 20, 40, 60))
    numbers[5:25, 10] = classes[5:25, 10] = 255  # an outline of object 1
    write(tmp_path, {"a": (numbers, classes), "b": maps()}, {"train": ["a", "b"], "val": ["b"]}, colors)
    assert recognise_format(tmp_path) == "voc" and subsets(tmp_path) == ["train", "val"]
    dataset = mrcnn.datasets.open(tmp_path, subset="train")
    assert dataset.class_names == ["BG", *CLASS_NAMES] and len(CLASS_NAMES) == 20
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [8, 15] and dataset.class_names[8] == "cat" and dataset.class_names[15] == "person"
    first, second = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    first[5:20, 11:30] = first[20:25, 11:20] = True  # without the outline, and without what object 2 covers
    second[20:40, 20:60] = True
    np.testing.assert_array_equal(masks, np.dstack([first, second]))
    assert dataset.load_mask(1)[0].shape == (*SIZE, 0) and dataset.num_instances(0) is None and dataset.skipped == []
    assert dataset.image_size(0) == SIZE and dataset.get_source_class_id(8, "voc") == 8
    sample = make_sample(pickle.loads(pickle.dumps(dataset)), 0, SampleSettings("none", num_classes=21))
    assert sample[2].tolist() == [8, 15] and sample[3].tolist() == [[5, 11, 25, 30], [20, 20, 40, 60]]
    assert opened(tmp_path, "val").num_images == 1


def test_class_is_that_of_most_pixels_and_objects_without_one_are_skipped(tmp_path):
    numbers, classes = maps((3, 0, 0, 10, 10), (4, 20, 20, 30, 30), (5, 30, 40, 40, 50))
    classes[0:4, 0:10] = 7  # 40 of 100 pixels of object 1
    classes[20:30, 20:30] = 255
    classes[30:40, 40:50] = 21  # there are twenty classes
    dataset = opened(write(tmp_path, {"a": (numbers, classes)}))
    for _ in range(2):
        assert dataset.load_mask(0)[1].tolist() == [3]
    assert [where for where, _ in dataset.skipped] == [f"SegmentationObject/a.png: object {n}" for n in (2, 3)]
    assert "it has no class" in dataset.skipped[0][1]


def test_classes_are_read_from_the_xml(tmp_path):
    write(tmp_path, {"a": (maps((1, 0, 0, 10, 10), (1, 20, 20, 30, 30), (1, 30, 40, 40, 50), (1, 0, 50, 9, 60))[0], None)})
    shutil.rmtree(tmp_path / "SegmentationClass")
    write_xml(tmp_path, "a", "dog", " sheep ", "unicorn")
    dataset = opened(tmp_path)
    assert [dataset.class_names[i] for i in dataset.load_mask(0)[1]] == ["dog", "sheep"]
    assert [where for where, _ in dataset.skipped] == [f"SegmentationObject/a.png: object {n}" for n in (3, 4)]
    (tmp_path / "Annotations/a.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>')
    with pytest.raises(DataError, match="a.xml declares a document type"):
        dataset.load_mask(0)
    (tmp_path / "Annotations/a.xml").unlink()
    with pytest.raises(DataError, match="a.xml does not exist"):
        dataset.load_mask(0)


def test_class_names_file_and_labels_define_the_classes(tmp_path):
    write(tmp_path, {"a": maps((2, 0, 0, 10, 10))})
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nant\nbee\n")
    assert opened(tmp_path).class_names == ["BG", "ant", "bee"] and opened(tmp_path).load_mask(0)[1].tolist() == [2]
    (tmp_path / "mine.txt").write_text("cow\nsow\n")
    assert opened(tmp_path, labels=tmp_path / "mine.txt").class_names == ["BG", "cow", "sow"]


def test_folders_of_labelme2voc_are_read(tmp_path):
    """Its versions for labelme 3 and 4 wrote arrays to the folders of the usual names."""
    numbers, classes = maps((1, 5, 10, 25, 30), (2, 20, 20, 40, 60))
    numbers[0, 0] = classes[0, 0] = 255
    write(tmp_path, {"a": (numbers, classes)})
    for name in FOLDERS[1:3]:
        (tmp_path / name).rename(tmp_path / f"{name}PNG")
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", numbers)
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\ncat\ndog\n")
    assert recognise_format(tmp_path) == "voc"
    dataset = opened(tmp_path)
    assert dataset.class_names == ["BG", "cat", "dog"] and dataset.skipped == []
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1, 2] and masks.sum(axis=(0, 1)).tolist() == [20 * 20 - 5 * 10, 20 * 40]
    for name in FOLDERS[1:3]:
        shutil.rmtree(tmp_path / name)  # as newer versions leave them out
    assert recognise_format(tmp_path) == "voc" and opened(tmp_path).load_mask(0)[1].tolist() == [1, 2]


def test_case_from_a_public_report():
    dataset = opened(shared_path("cases/16-voc-labelme2voc/set"))
    masks, class_ids = dataset.load_mask(0)
    assert dataset.class_names == ["BG", "cat"] and class_ids.tolist() == [1] and masks.sum() == 31 * 31


def test_ids_in_another_unicode_form_than_the_files_are_found(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write(tmp_path, {nfd: maps((8, 5, 10, 25, 30))}, {"train": [nfc]})
    dataset = opened(tmp_path, "train")
    assert dataset.skipped == [] and dataset.load_mask(0)[1].tolist() == [8] and dataset.load_image(0).shape == (*SIZE, 3)


def test_labelmap_defines_the_colours_of_classes(tmp_path):
    numbers, classes = maps((1, 0, 0, 10, 10), (2, 20, 20, 30, 30))
    write(tmp_path, {"a": (numbers, None)}, colors=True)
    colors = np.array([[0, 0, 0], [250, 50, 83], [36, 179, 83]], np.uint8)
    Image.fromarray(colors[classes]).save(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbee:36,179,83::\nant:250,50,83::\n")
    dataset = opened(tmp_path)
    assert dataset.class_names == ["BG", "bee", "ant"]
    assert [dataset.class_names[i] for i in dataset.load_mask(0)[1]] == ["ant", "bee"]


def test_objects_may_have_any_colours(tmp_path):
    numbers, classes = maps((1, 0, 0, 10, 10), (2, 20, 20, 30, 30))
    write(tmp_path, {"a": (None, classes)})
    Image.fromarray(np.array([[0, 0, 0], [5, 0, 0], [6, 0, 0]], np.uint8)[numbers]).save(tmp_path / "SegmentationObject/a.png")
    assert opened(tmp_path).load_mask(0)[1].tolist() == [1, 2]


def test_images_without_object_maps_are_skipped_and_missing_files_reported_when_loaded(tmp_path, caplog):
    write(tmp_path, {"a": maps((1, 0, 0, 10, 10)), "b": (None, None), "c": maps()}, {"train": ["a", "b", "gone", "c", "a"]})
    dataset = opened(tmp_path, "train")
    assert [info["id"] for info in dataset.image_info] == ["a", "c"]
    assert dataset.skipped == [(i, "it has no SegmentationObject/<id>.png") for i in ("b", "gone")]
    assert "2 images skipped, such as b" in caplog.text
    (tmp_path / "SegmentationClass/a.png").unlink()
    (tmp_path / "JPEGImages/c.jpg").unlink()
    with pytest.raises(DataError, match="SegmentationClass/a.png does not exist"):
        dataset.load_mask(0)
    with pytest.raises(DataError, match="JPEGImages/c.jpg does not exist"):
        opened(tmp_path, "train").load_image(1)


def test_files_written_on_other_systems_are_read(tmp_path):
    write(tmp_path, {"Köln 1": maps((3, 0, 0, 10, 10)), "b.2": maps((4, 0, 0, 10, 10))})
    (tmp_path / "ImageSets/Segmentation/train.txt").write_bytes("\ufeffKöln 1\r\nb.2 \r\n\r\n".encode())
    (tmp_path / "ImageSets/Segmentation/._train.txt").write_bytes(b"of another system")
    assert subsets(tmp_path) == ["train"]
    for folder, suffix in (("JPEGImages", ".jpg"), ("SegmentationObject", ".png"), ("SegmentationClass", ".png")):
        (tmp_path / folder / f"b.2{suffix}").rename(tmp_path / folder / f"b.2{suffix.upper()}")
        (tmp_path / folder / f"._b.2{suffix}").write_bytes(b"of another system")
    for subset in ("train", None):
        dataset = opened(tmp_path, subset)
        assert [info["id"] for info in dataset.image_info] == ["Köln 1", "b.2"] and dataset.skipped == []
        assert [dataset.load_mask(i)[1].tolist() for i in (0, 1)] == [[3], [4]] and dataset.load_image(1).shape == (*SIZE, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_maps_may_be_grey_and_have_16_bits(tmp_path, dtype):
    numbers, classes = maps((3, 0, 0, 10, 10), (4, 20, 20, 30, 30))
    numbers = numbers.astype(dtype)
    numbers[numbers == 2] = 256 if dtype is np.uint16 else 200  # 16 bits allow numbers above 255, which is void
    write(tmp_path, {"a": (None, None)})
    Image.fromarray(numbers).save(tmp_path / "SegmentationObject/a.png")
    Image.fromarray(classes.astype(dtype)).save(tmp_path / "SegmentationClass/a.png")
    masks, class_ids = opened(tmp_path).load_mask(0)
    assert class_ids.tolist() == [3, 4]
    np.testing.assert_array_equal(masks, np.dstack([classes == 3, classes == 4]))


def test_object_of_several_pieces_is_one_and_a_void_map_has_none(tmp_path):
    numbers, classes = maps((3, 0, 0, 10, 10))
    numbers[30:, 50:], classes[30:, 50:] = 1, 3
    void = np.full(SIZE, 255)
    dataset = opened(write(tmp_path, {"a": (numbers, classes), "b": (void, void)}))
    np.testing.assert_array_equal(dataset.load_mask(0)[0], (numbers == 1)[:, :, None])
    assert dataset.load_mask(1)[1].size == 0 and dataset.skipped == []


def test_stages_are_reported(tmp_path):
    write(tmp_path, dict.fromkeys("abc", maps((1, 0, 0, 9, 9))), lists={"train": ["a", "b"]})
    stages = RecordedStages()
    mrcnn.datasets.open(tmp_path, "voc", "train", progress=stages)
    assert stages.reported == [("listing images", [(1, 2), (2, 2)])]


def test_png_of_another_size_is_an_error(tmp_path):
    dataset = opened(write(tmp_path, {"a": maps((1, 0, 0, 10, 10))}))
    save(tmp_path / "SegmentationClass/a.png", np.zeros((60, 40)))
    with pytest.raises(DataError, match=r"SegmentationClass/a.png is of size \(60, 40\), but its image is of size \(40, 60\)"):
        dataset.load_mask(0)


def test_paths_out_of_the_folder_are_rejected(tmp_path):
    write(tmp_path / "set", {"a": maps()}, {"train": ["../../other/a"]})
    with pytest.raises(DataError, match="points outside"):
        opened(tmp_path / "set", "train")
    (tmp_path / "set/SegmentationObject/a.png").rename(tmp_path / "a.png")
    (tmp_path / "set/SegmentationObject/a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(DataError, match="is a link to"):
        opened(tmp_path / "set").load_mask(0)
    assert opened(tmp_path / "set", allow_outside=True).load_mask(0)[1].tolist() == []


def test_folder_in_another_format_is_reported(tmp_path):
    write(tmp_path / "VOC2012", {"a": maps()})
    assert recognise(tmp_path / "VOC2012") is None
    assert "in VOC2012/: give that folder" in recognise(tmp_path)
    assert recognise(tmp_path / "VOC2012/JPEGImages/a.jpg") == "not a folder"
    with pytest.raises(DataError, match="in VOC2012/: give that folder"):
        open_subset(tmp_path)
    (tmp_path / "VOC2012/labelmap.txt").write_text("ant:1,2::\n")
    with pytest.raises(DataError, match="labelmap.txt: 'ant:1,2::' is not a line of a labelmap, name:red,green,blue"):
        open_subset(tmp_path / "VOC2012")


@pytest.mark.parametrize("colors", [False, True])
def test_void_pixels_are_ignored(tmp_path, colors):
    numbers, classes = maps((15, 5, 5, 20, 30), (3, 25, 40, 35, 55))
    numbers[4:6, 5:30] = classes[4:6, 5:30] = 255
    dataset = opened(write(tmp_path / "set", {"a": (numbers, classes)}, colors=colors))
    np.testing.assert_array_equal(dataset.ignored_pixels(0), numbers == 255)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60)),
                max_size=6))  # fmt: skip
def test_random_maps_are_read_back(tmp_path_factory, objects):
    numbers, classes = maps(*objects)
    dataset = opened(write(tmp_path_factory.mktemp("set"), {"a": (numbers, classes)}))
    masks, class_ids = dataset.load_mask(0)
    visible = [n for n in range(1, len(objects) + 1) if (numbers == n).any()]
    assert class_ids.tolist() == [objects[n - 1][0] for n in visible] and dataset.skipped == []
    for i, number in enumerate(visible):
        np.testing.assert_array_equal(masks[:, :, i], numbers == number)


@pytest.fixture(scope="module")
def valid_folder(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("set"), {"a": maps((3, 0, 0, 10, 10))}, {"train": ["a"]})
    (folder / "labelmap.txt").write_text("background:0,0,0::\nant:128,0,0::\nbee:0,128,0::\ncat:128,128,0::\n")
    write_xml(folder, "a", "ant")
    return folder


@given(st.data())
def test_random_damage_raises_no_other_error_than_data_error(valid_folder, data):
    names = ["SegmentationObject/a.png", "SegmentationClass/a.png", "ImageSets/Segmentation/train.txt", "labelmap.txt",
             "JPEGImages/a.jpg"]  # fmt: skip
    path = valid_folder / data.draw(st.sampled_from(names))
    good = path.read_bytes()
    damaged = bytearray(good)
    for position in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=4)):
        damaged[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(good)))]))
    try:
        dataset = opened(valid_folder, "train")
        for image_id in range(dataset.num_images):
            dataset.load_mask(image_id)
            dataset.load_image(image_id)
    except DataError as error:
        assert str(valid_folder) in str(error) or "ImageSets" in str(error)
    finally:
        path.write_bytes(good)


@given(st.data())
def test_random_damage_to_the_xml_raises_no_other_error_than_data_error(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("set"), {"a": (maps((1, 0, 0, 10, 10), (1, 20, 20, 30, 30))[0], None)})
    shutil.rmtree(folder / "SegmentationClass")
    write_xml(folder, "a", "dog", "sheep")
    path = folder / "Annotations/a.xml"
    damaged = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=3)):
        damaged[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    dataset = opened(folder)
    try:
        assert len(dataset.load_mask(0)[1]) + len(dataset.skipped) == 2
    except DataError as error:
        assert str(path) in str(error)
