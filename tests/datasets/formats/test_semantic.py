"""Folders of semantic maps: hand-computed instances, class files, and damaged files."""
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import instances_of
from mrcnn.datasets.formats import semantic
from mrcnn.datasets.formats.semantic import read_classes
from mrcnn.datasets.splits import subset_of
from mrcnn.geometry.rle import as_rle, rle_area
from mrcnn.loading.sample import SampleSettings, make_sample
from mrcnn.semantic.batches import SemanticBatches
from tests.recorded_stages import RecordedStages

MAP = np.array([[1, 1, 0, 0, 2, 255],
                [1, 0, 0, 2, 0, 255],
                [0, 0, 1, 0, 0, 0],
                [3, 3, 0, 0, 1, 1]], np.uint8)  # fmt: skip


def write(folder, maps, names=("cat", "dog", "bird"), palette=False):
    """Write images and maps with the same names, and `names` to classes.txt unless it is None."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, class_map in maps.items():
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), np.full((*class_map.shape, 3), 90, np.uint8))
        picture = Image.fromarray(class_map)
        if palette:
            picture.putpalette([(i * 37) % 256 for i in range(768)])
        picture.save(folder / "masks" / f"{name}.png")
    if names is not None:
        (folder / "classes.txt").write_text("\n".join(names) + "\n")
    return folder


def masks_of(dataset, image_id=0):
    """Return the instances of an image as a list of (class name, set of (row, column))."""
    masks, class_ids = dataset.load_mask(image_id)
    return [(dataset.class_names[c], {tuple(p) for p in np.argwhere(masks[:, :, i]).tolist()}) for i, c in enumerate(class_ids)]


def test_instances_are_8_connected_components(tmp_path):
    dataset = mrcnn.datasets.open(write(tmp_path, {"a": MAP}))
    assert dataset.class_names == ["BG", "cat", "dog", "bird"] and dataset.image_size(0) == (4, 6)
    assert masks_of(dataset) == [
        ("cat", {(0, 0), (0, 1), (1, 0)}), ("cat", {(2, 2)}), ("cat", {(3, 4), (3, 5)}),
        ("dog", {(0, 4), (1, 3)}), ("bird", {(3, 0), (3, 1)}),
    ]  # fmt: skip
    assert dataset.load_image(0).shape == (4, 6, 3) and dataset.num_instances(0) is None
    truth = dataset.ground_truth(0)
    assert [entry["area"] for entry in truth] == [3, 1, 2, 2, 2] and truth[3]["bbox"] == [3, 0, 2, 2]
    json.dumps(truth)


def test_per_class_makes_one_instance_per_class(tmp_path):
    dataset = mrcnn.datasets.open(write(tmp_path, {"a": MAP}), "semantic", per_class=True)
    assert [(name, len(pixels)) for name, pixels in masks_of(dataset)] == [("cat", 6), ("dog", 2), ("bird", 2)]
    small = mrcnn.datasets.open(tmp_path, "semantic", min_area=2)
    assert [(name, len(pixels)) for name, pixels in masks_of(small)] == [("cat", 3), ("cat", 2), ("dog", 2), ("bird", 2)]


def test_ignored_value_can_be_set(tmp_path):
    write(tmp_path, {"a": MAP}, names=None)
    assert mrcnn.datasets.open(tmp_path).class_names == ["BG", "class 1", "class 2", "class 3"]
    dataset = mrcnn.datasets.open(tmp_path, "semantic", ignore=2)
    assert dataset.class_names == ["BG", "class 1", "class 3", "class 255"]
    assert ("class 255", {(0, 5), (1, 5)}) in masks_of(dataset)
    with_background_ignored = mrcnn.datasets.open(tmp_path, ignore=0)
    assert with_background_ignored.class_names == ["BG", "class 1", "class 2", "class 3", "class 255"]


def test_palette_indices_and_16_bit_values_are_class_ids(tmp_path):
    dataset = mrcnn.datasets.open(write(tmp_path / "palette", {"a": MAP}, palette=True))
    assert [name for name, _ in masks_of(dataset)] == ["cat", "cat", "cat", "dog", "bird"]
    deep = np.array([[0, 300], [300, 1000]], np.uint16)
    dataset = mrcnn.datasets.open(write(tmp_path / "deep", {"a": deep}, names=None))
    assert masks_of(dataset) == [("class 300", {(0, 1), (1, 0)}), ("class 1000", {(1, 1)})]


def test_subfolders_are_read_and_files_without_a_counterpart_are_skipped(tmp_path, caplog):
    write(tmp_path, {"b/x.1": MAP, "a": MAP, "lonely": MAP, "image": MAP})
    (tmp_path / "images" / "lonely.jpg").unlink()
    (tmp_path / "masks" / "image.png").unlink()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((4, 6, 3), np.uint8))
    dataset = mrcnn.datasets.open(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["a", "b/x.1"]
    assert sorted(dataset.skipped) == [
        ("a.png", "another image has its name"), ("image.jpg", "the image has no map of its name in masks/"),
        ("lonely.png", "the map has no image of its name in images/"),
    ]  # fmt: skip
    assert "1 files skipped, such as image.jpg" in caplog.text


@pytest.mark.parametrize("layout", ["{part}/{kind}", "{kind}/{part}"])
@pytest.mark.parametrize("folder_names", [("train", "val"), ("training", "valid")])
def test_subsets_of_a_folder(tmp_path, layout, folder_names):
    write(tmp_path / "all", {"a": MAP, "b": MAP})
    for part, name in zip(folder_names, ("a", "b"), strict=True):
        for kind, ending in (("images", "jpg"), ("masks", "png")):
            to = tmp_path / "set" / layout.format(part=part, kind=kind)
            to.mkdir(parents=True)
            (tmp_path / "all" / kind / f"{name}.{ending}").rename(to / f"{name}.{ending}")
    (tmp_path / "all" / "classes.txt").rename(tmp_path / "set" / "classes.txt")
    folder = tmp_path / "set"
    assert semantic.recognise(folder) is None and semantic.subsets(folder) == ["train", "val"]
    dataset = mrcnn.datasets.open(folder, subset="val")
    assert [info["id"] for info in dataset.image_info] == ["b"] and dataset.class_names[1] == "cat"
    with pytest.raises(DataError, match="has the subsets train, val: say which"):
        mrcnn.datasets.open(folder)


def test_folder_without_semantic_maps_is_reported(tmp_path):
    assert semantic.recognise(Path(__file__)) == "not a folder"
    assert semantic.recognise(tmp_path) == "no images/ next to masks/"
    write(tmp_path, {"a": MAP})
    assert semantic.recognise(tmp_path) is None
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "a.pickle")
    assert semantic.recognise(tmp_path) == "no PNG in masks/ has the name of an image"
    with pytest.raises(DataError, match="of the subset 'val'; its subsets are none"):
        semantic.open_subset(tmp_path, "val")


@pytest.mark.parametrize("name, content, expected", [
    ("a.txt", "cat\ndog\n\n", {1: "cat", 2: "dog"}),
    ("a.txt", "_background_\ncat\n dog ", {1: "cat", 2: "dog"}),
    ("a.txt", "__ignore__\n_background_\ncat", {1: "cat"}),
    ("a.json", '{"0": "sky", "7": "cat", "3": "dog"}', {7: "cat", 3: "dog"}),
    ("a.json", '[{"id": 4, "name": "cat", "color": [1, 2, 3]}]', {4: "cat"}),
    ("a.json", '["BG", "cat"]', {1: "cat"}),
])  # fmt: skip
def test_class_files_of_every_kind_are_read(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert read_classes(tmp_path / name) == expected


@pytest.mark.parametrize("name, content, message", [
    ("a.txt", "cat\n\ndog", "entry 2 is '', expected the name of a class"),
    ("a.txt", "background", "names no class besides the background"),
    ("a.txt", b"\xff\x00", "is not UTF-8 text: save it as UTF-8"),
    ("a.json", "[1, 2]", "entry 1 is 1, expected the name"),
    ("a.json", '{"1": 5}', "'1' is 5, expected text"),
    ("a.json", '{"one": "cat"}', "the key 'one' is not a class id"),
    ("a.json", '{"99999": "cat"}', "expected a name, and an id from 0 to 65535"),
    ("a.json", '[{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]', "'dog' has the id 1"),
    ("a.json", '[{"id": 1, "name": "cat"}, "dog"]', r"\[1\] is 'dog', expected an object"),
    ("a.json", "3", 'expected {"1": "name"'),
    ("a.json", '["cat"', "not valid JSON"),
])  # fmt: skip
def test_error_in_a_class_file_names_file_and_field(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        read_classes(tmp_path / name)
    assert name in str(error.value)


def test_labels_replace_the_class_file(tmp_path):
    write(tmp_path / "data", {"a": MAP})
    (tmp_path / "mine.json").write_text('{"1": "lion", "2": "wolf", "3": "crow"}')
    dataset = mrcnn.datasets.open(tmp_path / "data", labels=tmp_path / "mine.json")
    assert dataset.class_names == ["BG", "lion", "wolf", "crow"]
    with pytest.raises(DataError, match="gone.txt does not exist"):
        mrcnn.datasets.open(tmp_path / "data", labels=tmp_path / "gone.txt")
    again = mrcnn.datasets.open(tmp_path / "data", labels=["background", "lion", "wolf", "crow"])
    assert again.class_names == dataset.class_names
    with pytest.raises(DataError, match="labels: entry 2 is 7, expected the name of a class"):
        mrcnn.datasets.open(tmp_path / "data", labels=["lion", 7])


@pytest.mark.parametrize("options", [{"ignore": -1}, {"ignore": 65536}, {"min_area": 0}])
def test_options_out_of_range_are_reported(tmp_path, options):
    write(tmp_path, {"a": MAP})
    with pytest.raises(ValueError, match="expected 0 to 65535, and at least 1"):
        mrcnn.datasets.open(tmp_path, **options)


def test_class_with_the_ignored_id_is_an_error(tmp_path):
    write(tmp_path, {"a": MAP}, names=None)
    (tmp_path / "labels.json").write_text('{"1": "cat", "255": "dog"}')
    with pytest.raises(DataError, match="the class 'dog' has the id 255, which is ignored"):
        mrcnn.datasets.open(tmp_path)


def test_error_about_black_and_white_masks_suggests_ignore_0(tmp_path):
    write(tmp_path, {"a": np.where(MAP == 1, 255, 0).astype(np.uint8)}, names=None)
    with pytest.raises(DataError, match="no class, but 255, which is ignored: .* ignore=0"):
        mrcnn.datasets.open(tmp_path)
    write(tmp_path, {"a": MAP * 0}, names=None)
    with pytest.raises(DataError, match="all their pixels are background"):
        mrcnn.datasets.open(tmp_path)


def damaged(tmp_path, class_map=MAP, names=("cat", "dog", "bird"), **options):
    dataset = mrcnn.datasets.open(write(tmp_path, {"a": class_map}, names), "semantic", **options)
    return dataset, tmp_path / "masks" / "a.png"


def test_value_without_a_class_is_an_error_when_the_image_is_loaded(tmp_path):
    dataset, _ = damaged(tmp_path, names=("cat", "dog"))
    with pytest.raises(DataError, match=r"a.png holds the value 3, .*; the classes are \[1, 2\]: name it in .*classes.txt"):
        instances_of(dataset, 0)


def test_map_of_another_size_or_in_colour_is_an_error(tmp_path):
    dataset, file = damaged(tmp_path)
    Image.fromarray(MAP[:, :4]).save(file)
    with pytest.raises(DataError, match=r"a.png is of size \(4, 4\), but its image .*a.jpg is of size \(4, 6\)"):
        instances_of(dataset, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "images" / "a.jpg", exif=exif)
    Image.fromarray(np.ascontiguousarray(MAP.T)).save(file)
    with pytest.raises(DataError, match=r"a.png is of size \(6, 4\), .*: an EXIF tag rotates the image, and the map fits the"):
        instances_of(dataset, 0)
    Image.fromarray(np.dstack([MAP] * 3)).save(file)
    with pytest.raises(DataError, match="a.png is a colour image, expected one class id per pixel"):
        instances_of(dataset, 0)
    file.unlink()
    with pytest.raises(DataError, match="a.png does not exist"):
        instances_of(dataset, 0)


def test_map_with_too_many_components_is_an_error(tmp_path):
    noise = np.zeros((220, 240), np.uint8)
    noise[::2, ::2] = 1  # 110 x 120 separate pixels
    dataset, _ = damaged(tmp_path, noise)
    with pytest.raises(DataError, match="has 13200 connected components, more than 10000"):
        instances_of(dataset, 0)
    assert len(masks_of(mrcnn.datasets.open(tmp_path, per_class=True))) == 1
    assert masks_of(mrcnn.datasets.open(tmp_path, min_area=2)) == []


def test_photographs_as_maps_are_reported(tmp_path):
    write(tmp_path, {"a": np.arange(6000, dtype=np.uint16).reshape(60, 100)}, names=None)
    with pytest.raises(DataError, match="more than 5000 values, up to 5999: are they photographs"):
        mrcnn.datasets.open(tmp_path)


def test_unreadable_map_is_skipped_when_maps_define_the_classes(tmp_path):
    write(tmp_path, {"a": MAP, "b": MAP}, names=None)
    file = tmp_path / "masks" / "a.png"
    file.write_bytes(file.read_bytes()[:60])
    dataset = mrcnn.datasets.open(tmp_path)
    assert [info["id"] for info in dataset.image_info] == ["b"]
    ((where, reason),) = dataset.skipped
    assert where == str(file) and "cannot be read" in reason


def test_image_with_too_many_pixels_is_rejected(tmp_path):
    dataset, file = damaged(tmp_path)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    file.write_bytes(file.read_bytes()[:8] + chunk + file.read_bytes()[33:])
    with pytest.raises(DataError, match="too many pixels"):
        instances_of(dataset, 0)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_link_out_of_the_folder_is_rejected(tmp_path, kind):
    write(tmp_path / "data", {"a": MAP})
    (file,) = (tmp_path / "data" / kind).iterdir()
    outside = tmp_path / f"outside{file.suffix}"
    file.rename(outside)
    file.symlink_to(outside)
    dataset = mrcnn.datasets.open(tmp_path / "data")
    with pytest.raises(DataError, match="is a link to .*outside"):
        dataset.load_image(0)
        instances_of(dataset, 0)
    allowed = mrcnn.datasets.open(tmp_path / "data", allow_outside=True)
    assert allowed.load_image(0).shape == (4, 6, 3) and len(masks_of(allowed)) == 5


def test_samples_for_mask_rcnn_and_for_semantic_models(tmp_path):
    """Mask R-CNN gets instances; a semantic model gets the class map back, optionally with ignored pixels."""
    large = np.kron(MAP, np.ones((8, 8), np.uint8))
    dataset = mrcnn.datasets.open(write(tmp_path, {"a": large}))
    settings = SampleSettings("square", 32, 64, mini_mask_shape=(28, 28), num_classes=4)
    _, _, class_ids, boxes, masks = make_sample(dataset, 0, settings, rng=np.random.default_rng(0))
    assert class_ids.tolist() == [1, 1, 1, 2, 3] and masks.shape == (5, 28, 28) and len(boxes) == 5
    _, (class_map,) = SemanticBatches(dataset, large.shape, 1, mask_type="normal")[0]
    np.testing.assert_array_equal(class_map[:, :, 0], np.where(large == 255, 0, large))
    part = subset_of(dataset, [0])
    _, (class_map,) = SemanticBatches(part, large.shape, 1, mask_type="normal", ignore_label=255)[0]
    np.testing.assert_array_equal(class_map[:, :, 0], large)


maps = arrays(np.uint8, st.tuples(st.integers(1, 15), st.integers(1, 15)), elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(maps, st.booleans(), st.booleans())
def test_instances_reassemble_the_map(tmp_path_factory, class_map, palette, per_class):
    folder = write(tmp_path_factory.mktemp("maps"), {"a": class_map}, palette=palette)
    dataset = mrcnn.datasets.open(folder, "semantic", per_class=per_class)
    masks, class_ids = dataset.load_mask(0)
    again = np.zeros_like(class_map)
    for i, class_id in enumerate(class_ids):
        assert not again[masks[:, :, i]].any()  # no pixel belongs to two instances
        again[masks[:, :, i]] = class_id
        pieces, _ = cv2.connectedComponents(masks[:, :, i].astype(np.uint8), connectivity=8)
        assert per_class or pieces == 2  # one component and the background
    np.testing.assert_array_equal(again, np.where(class_map == 255, 0, class_map))
    segmentations, _ = instances_of(dataset, 0)
    assert [rle_area(as_rle(s)) for s in segmentations] == [int(masks[:, :, i].sum()) for i in range(len(class_ids))]


@given(st.sampled_from(["masks/a.png", "images/a.jpg", "classes.txt", "labels.json"]), st.binary(max_size=80),
       st.integers(0, 200), st.booleans())
def test_damage_raises_a_data_error_or_is_skipped(tmp_path_factory, name, junk, position, cut):
    """A file is partly overwritten or truncated; the only error is a DataError that names the file."""
    folder = write(tmp_path_factory.mktemp("damaged"), {"a": np.kron(MAP, np.ones((5, 5), np.uint8)), "b": MAP}, names=None)
    (folder / "labels.json").write_text('{"1": "cat", "2": "dog", "3": "bird"}')
    file = folder / name
    content = file.read_bytes() if file.exists() else b""
    position = min(position, len(content))
    file.write_bytes(content[:position] + junk + (b"" if cut else content[position + len(junk) :]))
    try:
        assert semantic.recognise(folder) is None
        dataset = semantic.open_subset(folder)
        dataset.prepare()
        for image_id in dataset.image_ids:
            dataset.load_image(image_id)
            masks, class_ids = dataset.load_mask(image_id)
            assert masks.shape[:2] == dataset.load_image(image_id).shape[:2] and masks.shape[2] == len(class_ids)
    except DataError as error:
        assert Path(name).name in str(error)


def test_progress_counts_maps_read_for_their_classes(tmp_path):
    stages = RecordedStages()
    mrcnn.datasets.open(write(tmp_path, {"a": MAP, "b": MAP}, names=None), progress=stages)
    assert stages.reported == [("reading", [(1, 2), (2, 2)])]


def write_numbered(folder, counts=(3, 5, 2)):
    """Maps of the numbers of objects, as Penn-Fudan and Cellpose have them: bars of 2 x 4 pixels, the last one in two parts."""
    for i, count in enumerate(counts):
        numbers = np.zeros((12, 40), np.uint16)
        for k in range(1, count + 1):
            numbers[2:6, 4 * k : 4 * k + 2] = k
        numbers[9:11, 4:6] = count
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), np.full((12, 40, 3), 90, np.uint8))
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), numbers)


def test_maps_that_number_objects_give_a_hint_and_are_read_with_the_class(tmp_path):
    write_numbered(tmp_path)
    as_classes = mrcnn.datasets.open(tmp_path)
    ((where, note),) = as_classes.notes
    assert as_classes.num_classes == 6 and where == str(tmp_path) and "--class-name NAME" in note and "classes.txt" in note
    dataset = mrcnn.datasets.open(tmp_path, class_name="cell")
    assert dataset.class_names == ["BG", "cell"] and dataset.notes == []
    for image_id, count in enumerate((3, 5, 2)):
        masks, class_ids = dataset.load_mask(image_id)
        assert class_ids.tolist() == [1] * count
        # each bar has 8 pixels, the last one 4 more elsewhere: one object, although it is not connected
        assert masks.sum(axis=(0, 1)).tolist() == [8] * (count - 1) + [12]
        assert dataset.class_map_of(image_id).max() == 1


def test_number_255_is_an_object_where_objects_are_numbered(tmp_path):
    write_numbered(tmp_path, (3,))
    numbers = np.repeat(np.arange(1, 301, dtype=np.uint16), 4).reshape(-1, 40)
    cv2.imwrite(str(tmp_path / "masks" / "0.png"), numbers)
    cv2.imwrite(str(tmp_path / "images" / "0.png"), np.zeros((*numbers.shape, 3), np.uint8))
    dataset = mrcnn.datasets.open(tmp_path, class_name="cell")
    assert len(dataset.load_mask(0)[1]) == 300


def test_class_maps_give_no_such_hint(tmp_path):
    write_numbered(tmp_path)
    numbers = np.zeros((12, 40), np.uint8)
    numbers[:, 3:6] = 4  # 1 to 3 do not occur in this image
    cv2.imwrite(str(tmp_path / "masks" / "1.png"), numbers)
    assert mrcnn.datasets.open(tmp_path).notes == []
