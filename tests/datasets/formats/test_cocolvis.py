"""COCO+LVIS: the hierarchy, the layers, and damaged files."""
import json
import pickle
import re
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.datasets.catalog import recognise_format
from mrcnn.datasets.formats.cocolvis.dataset import CocoLvisDataset, open_subset
from mrcnn.geometry.rle import decode_rle
from mrcnn.io import images
from mrcnn.loading.sample import SampleSettings, make_sample
from tests.datasets.cocolvis_sets import MAPPING, SIZE, entry, layers, masks_file, png, rectangle, write_set
from tests.io.harmful_pickles import harmful
from tests.recorded_stages import RecordedStages

ID = "000000000007"


def load(folder, **options):
    dataset = open_subset(folder, **options)
    dataset.prepare()
    return dataset


def open_one(tmp_path, value=None, masks=None, **options):
    """Write and open a data set of one image."""
    write_set(tmp_path, {ID: entry() if value is None else value}, None if masks is None else {ID: masks})
    return load(tmp_path, **options)


def test_subset_is_read_with_all_its_objects(tmp_path):
    for part in ("train", "val"):
        write_set(tmp_path / part, {"10": entry(), 9: entry(), ID: entry()})
    assert recognise_format(tmp_path) == recognise_format(tmp_path / "val") == "cocolvis"
    with pytest.raises(DataError, match="has the subsets train, val"):
        mrcnn.datasets.open(tmp_path)
    dataset = mrcnn.datasets.open(tmp_path, subset="train")
    assert dataset.class_names == ["BG", "object"] and dataset.sources == ["", "cocolvis"]
    assert [info["id"] for info in dataset.image_info] == [ID, 9, 10]  # sorted as numbers, not as text
    assert dataset.image_info[0]["path"].endswith(f"train/images/{ID}.jpg")
    assert dataset.load_image(0)[0, 0, 0] == 120 and dataset.load_image(1)[0, 0, 0] == 70
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1, 1, 1, 1] and dataset.num_instances(0) == 4 and dataset.image_size(0) == SIZE
    np.testing.assert_array_equal(masks, np.stack([rectangle(i) for i in range(4)], axis=2))
    image, _, classes, boxes, _ = make_sample(dataset, 0, SampleSettings("none", num_classes=2))
    assert image.shape == (20, 30, 3) and classes.tolist() == [1, 1, 1, 1] and boxes[2].tolist() == [14, 20, 19, 29]
    assert dataset.skipped == [] and len(dataset.ground_truth(2)) == 4


def test_hierarchy_is_kept(tmp_path):
    dataset = open_one(tmp_path)
    info = dataset.image_info[0]
    assert info["num_instance_masks"] == 4 and info["hierarchy"] == entry()["hierarchy"]
    annotations = dataset.annotations_of(0)
    assert [a["id"] for a in annotations] == [0, 1, 2, 3]
    assert [a["parent"] for a in annotations] == [None, 0, None, 0] and [a["node_level"] for a in annotations] == [0, 1, 0, 1]
    assert [a["children"] for a in annotations] == [[1, 3], [], [], []] and not any(a["is_stuff"] for a in annotations)


@pytest.mark.parametrize("levels, stuff, ids", [
    ("all", False, [0, 1, 2, 3]), ("whole", False, [0, 2]), ("parts", False, [1, 3]),
    ("all", True, [0, 1, 2, 3, 4]), ("whole", True, [0, 2, 4]),
])  # fmt: skip
def test_levels_and_stuff_select_objects(tmp_path, levels, stuff, ids):
    dataset = open_one(tmp_path, levels=levels, stuff=stuff)
    assert [a["id"] for a in dataset.annotations_of(0)] == ids
    masks, class_ids = dataset.load_mask(0)
    np.testing.assert_array_equal(masks, np.stack([rectangle(i) for i in ids], axis=2))
    assert class_ids.tolist() == [1] * len(ids)
    assert dataset.num_instances(0) == (None if stuff else len(ids))
    assert [a["is_stuff"] for a in dataset.annotations_of(0)] == [i == 4 for i in ids]


def test_ids_may_be_text_and_sequences_tuples_or_arrays(tmp_path):
    nodes = {"0": {"children": ["1"], "parent": None, "node_level": "0"},
             np.int64(1): {"children": (), "parent": "0", "node_level": 1}}  # fmt: skip
    masks = (tuple(png(layer).reshape(-1, 1) for layer in layers()[:2]), np.array(MAPPING[:3]))
    for protocol in range(6):
        write_set(tmp_path, {np.int32(7): {"num_instance_masks": 3, "hierarchy": nodes}}, {np.int32(7): masks}, protocol)
        dataset = load(tmp_path, levels="parts")
        assert [a["id"] for a in dataset.annotations_of(0)] == [1]
        assert dataset.image_info[0]["hierarchy"][0] == {"children": [1], "parent": None, "node_level": 0}
        dataset = load(tmp_path, levels="whole")  # 2 is not in the hierarchy, so it is a whole object
        assert [a["id"] for a in dataset.annotations_of(0)] == [0, 2]


def test_allow_list_selects_images(tmp_path):
    write_set(tmp_path, {ID: entry(), 8: entry(), "9": entry()})
    path = tmp_path / "allow.json"
    path.write_text(json.dumps([7, "9", 77]))
    for given_list in (path, ["7", 9, 77]):
        dataset = load(tmp_path, allow_list=given_list)
        assert [info["id"] for info in dataset.image_info] == [ID, 9]
        assert dataset.skipped == [("image 77", "it is in the allow list, but not in the data set")]
    for content, said in [({"a": 1}, "allow.json is .*expected a list"), ([7, 1.5], "allow.json: entry 1 is 1.5")]:
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match=said):
            load(tmp_path, allow_list=path)


def test_stages_are_reported(tmp_path):
    write_set(tmp_path, {1: entry(), 2: entry(), 3: entry()})
    stages = RecordedStages()
    mrcnn.datasets.open(tmp_path, allow_list=[1, 3], progress=stages)
    assert stages.reported == [
        ("reading hannotation.pickle", []), ("checking hierarchies", [(3, 3)]), ("listing images", [(2, 2)])
    ]  # fmt: skip


def test_images_without_objects_and_objects_without_pixels_are_read(tmp_path):
    entries = {i: {"num_instance_masks": i, "hierarchy": {}} for i in (0, 1)}
    write_set(tmp_path, entries, {0: ([], []), 1: (masks_file()[0], [(0, 99)])})
    dataset = load(tmp_path)
    assert [len(dataset.load_mask(i)[1]) for i in (0, 1)] == [0, 0]
    assert dataset.load_mask(0)[0].shape == (20, 30, 0) and dataset.ground_truth(0) == []
    assert len(make_sample(dataset, 1, SampleSettings("none", num_classes=2))[2]) == 0


def test_subclass_that_overrides_only_load_mask(tmp_path):
    class Whole(CocoLvisDataset):
        def load_mask(self, image_id):
            return np.ones((*SIZE, 1), bool), np.array([1])

    write_set(tmp_path, {ID: entry()})
    dataset = Whole()
    dataset.load_cocolvis(tmp_path)
    dataset.prepare()
    assert dataset.num_instances(0) is None and len(dataset.ground_truth(0)) == 1


def test_unknown_levels_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="levels is 'part': choose all, whole, parts"):
        open_one(tmp_path, levels="part")


def changed(**fields):
    return {**entry(), **fields}


def node(**fields):
    value = entry()
    value["hierarchy"][1] |= fields
    return value


@pytest.mark.parametrize("value, said", [
    (None, "it is None, expected a dict"),
    ([1], "it is a list of 1, expected a dict"),
    ({}, "num_instance_masks is None"),
    (changed(num_instance_masks=-1), "num_instance_masks is -1"),
    (changed(num_instance_masks=True), "num_instance_masks is True"),
    (changed(num_instance_masks=10**15), "num_instance_masks is 10+, expected 0 to 100000"),
    (changed(num_instance_masks=float("nan")), "num_instance_masks is nan"),
    (changed(num_instance_masks=2**70), "num_instance_masks is a number of more than 64 bits"),
    (changed(hierarchy=[None]), "hierarchy is a list of 1, expected a dict"),
    (changed(hierarchy={"a": None}), "hierarchy has 'a', expected an instance id below num_instance_masks, 4"),
    (changed(hierarchy={4: None}), "hierarchy has 4, expected an instance id below"),
    (changed(hierarchy={1: None, "01": None}), "hierarchy has the id 1 twice"),
    (changed(hierarchy={0: 7}), r"hierarchy\[0\] is 7, expected None or a dict"),
    (changed(hierarchy={0: {"children": [], "parent": None}}), r"hierarchy\[0\] has no 'node_level'"),
    (node(children=None), r"hierarchy\[1\]: children is None, expected a list"),
    (node(children=[9]), r"hierarchy\[1\]: children has 9"),
    (node(parent="x"), r"hierarchy\[1\]: parent has 'x'"),
    (node(parent=-1), r"hierarchy\[1\]: parent has -1"),
    (node(node_level=1.5), r"hierarchy\[1\]: node_level is 1.5"),
    (node(parent=1), "hierarchy has a loop: 1 lies in itself"),
    (changed(hierarchy={i: {"children": [1 - i], "parent": 1 - i, "node_level": 0} for i in (0, 1)}), "hierarchy has a loop"),
])  # fmt: skip
def test_unusable_entry_is_skipped_and_reported(tmp_path, caplog, value, said):
    write_set(tmp_path, {ID: value, 8: entry()}, {ID: masks_file()})
    dataset = load(tmp_path)
    assert [info["id"] for info in dataset.image_info] == [8]
    ((where, reason),) = dataset.skipped
    assert where == f"hannotation.pickle: image '{ID}'"
    assert re.search(said, reason)
    assert any("1 images or hierarchies skipped" in record.getMessage() for record in caplog.records)


def test_invalid_and_duplicate_ids_are_skipped(tmp_path):
    write_set(tmp_path, {7: entry()})
    ids = (7, "../../etc/passwd", "007", -1, b"7", None)
    (tmp_path / "hannotation.pickle").write_bytes(pickle.dumps(dict.fromkeys(ids, entry())))
    dataset = load(tmp_path)
    assert [info["id"] for info in dataset.image_info] == [7]
    assert [where for where, _ in dataset.skipped] == [
        f"hannotation.pickle: image {name}" for name in ("'../../etc/passwd'", "'007'", "-1", "b'7'", "None")]  # fmt: skip
    assert dataset.skipped[1][1] == "another image has this id"


def test_parents_are_used_if_children_disagree(tmp_path):
    nodes = {0: None, 1: {"children": [2], "parent": 0, "node_level": 1}, 2: {"children": [], "parent": None, "node_level": 0}}
    dataset = open_one(tmp_path, {"num_instance_masks": 4, "hierarchy": nodes}, levels="whole")
    hierarchy = dataset.image_info[0]["hierarchy"]
    assert hierarchy[0] == {"children": [1], "parent": None, "node_level": 0} and hierarchy[1]["children"] == []
    assert [a["id"] for a in dataset.annotations_of(0)] == [0, 2, 3]
    ((where, reason),) = dataset.skipped
    assert where == f"hannotation.pickle: image {ID}" and "the parents are used" in reason


def header_only(height, width, depth=8, color=0):
    """Return a PNG that declares a size, but has no pixels."""
    header = struct.pack(">I4sIIBB", 13, b"IHDR", width, height, depth, color)
    return np.frombuffer(b"\x89PNG\r\n\x1a\n" + header + b"x" * 9, np.uint8)


@pytest.mark.parametrize("masks, said", [
    (7, "holds 7, expected \\(layers, objs_mapping\\)"),
    (([],), "holds a tuple of 1, expected"),
    ((None, []), "layers is None, expected a list"),
    (({}, []), "layers is a dict of 0, expected a list"),
    ((masks_file()[0], {}), "objs_mapping is a dict of 0, expected a list"),
    ((masks_file()[0], MAPPING[:3]), "objs_mapping has 3 entries, but hannotation.pickle says that image 000000000007 has 4"),
    ((masks_file()[0], [*MAPPING[:3], 5]), r"objs_mapping\[3\] is 5, expected \(layer, number\)"),
    ((masks_file()[0], [*MAPPING[:3], (1, 2, 3)]), r"objs_mapping\[3\] is a tuple of 3"),
    ((masks_file()[0], [*MAPPING[:3], (3, 1)]), r"objs_mapping\[3\] is \(3, 1\), expected a layer below 3"),
    ((masks_file()[0], [*MAPPING[:3], (0, 0)]), r"objs_mapping\[3\] is \(0, 0\), expected .* a number from 1 to 255"),
    ((masks_file()[0], [*MAPPING[:3], (0, 256)]), r"objs_mapping\[3\]"),
    ((masks_file()[0], [*MAPPING[:3], (-1, 1)]), r"objs_mapping\[3\] is a tuple of 2"),
    ((["a", *masks_file()[0][1:]], MAPPING), r"layers\[0\] is 'a', expected the bytes of a PNG"),
    ((layers(), MAPPING), r"layers\[0\] is an array of shape \(20, 30\)"),
    (([np.float32(1)] * 3, MAPPING), r"layers\[0\] is a float32"),
    (([b"GIF89a"] * 3, MAPPING), "layer 0 is not a PNG"),
    (([png(layer)[:60] for layer in layers()], MAPPING), "layer 0 cannot be read: it is cut off"),
    (([png(layer)[:9] for layer in layers()], MAPPING), "layer 0 is not a PNG"),
    (([header_only(100_000, 100_000)] * 3, MAPPING), "layer 0 declares 100000 x 100000 pixels"),
    (([header_only(20, 30)] * 3, MAPPING), "layer 0 cannot be read: it is cut off"),
    (([header_only(20, 30, 16)] * 3, MAPPING), "layer 0 is a PNG of 16 bits and colour type 0, expected 8 bits of grey"),
    (([cv2.imencode(".png", np.zeros((*SIZE, 3), np.uint8))[1]] * 3, MAPPING), "layer 0 is a PNG of 8 bits and colour type 2"),
    (masks_file((21, 30)), r"layer 0 is of size \(21, 30\), but its image is of size \(20, 30\)"),
])  # fmt: skip
def test_invalid_masks_file_is_an_error(tmp_path, masks, said):
    dataset = open_one(tmp_path, masks=masks)
    with pytest.raises(DataError, match=f"masks/{ID}.pickle.*{said}"):
        dataset.load_mask(0)
    with pytest.raises(DataError, match="its masks cannot be loaded"):  # reported by the loader, which continues
        make_sample(dataset, 0, SampleSettings("none", num_classes=2))


def test_harmful_pickle_is_rejected_at_every_entry_point(tmp_path):
    trap = tmp_path / "trap"
    folder, nested = write_set(tmp_path / "set", {ID: entry()}), write_set(tmp_path / "nested", {ID: entry()})
    dataset = load(folder)
    for data, said in harmful(trap):
        said = f"is a pickle with .*({said})"
        (folder / "hannotation.pickle").write_bytes(data)
        (folder / "masks" / f"{ID}.pickle").write_bytes(data)
        assert recognise_format(folder) == "cocolvis"
        for call in (lambda: load(folder), lambda: mrcnn.datasets.open(folder)):
            with pytest.raises(DataError, match=f"hannotation.pickle {said}"):
                call()
        for call in (dataset.annotations_of, dataset.load_mask, dataset.load_instances, dataset.ground_truth,
                    dataset.load_masks_file):  # fmt: skip
            with pytest.raises(DataError, match=f"masks/{ID}.pickle {said}"):
                call(0)
        # and nested in the data: as a value of the hierarchy, a layer, a mapping
        if data[:1] == b"\x80" and data[1] == 4 and data[2:3] == b"\x95":
            value = data[11:-1]  # without its header and the final STOP
            (nested / "hannotation.pickle").write_bytes(b"\x80\x04}X\x01\x00\x00\x007" + value + b"s.")
            with pytest.raises(DataError, match=f"hannotation.pickle {said}"):
                load(nested)
            for masks in (b"](" + value + b"e]\x86", b"]](" + value + b"e\x86"):
                (nested / "masks" / f"{ID}.pickle").write_bytes(b"\x80\x04" + masks + b".")
                write = pickle.dumps({ID: entry()})
                (nested / "hannotation.pickle").write_bytes(write)
                with pytest.raises(DataError, match=f"{ID}.pickle {said}"):
                    load(nested).load_mask(0)
    assert not trap.exists()


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no hannotation.pickle in it"):
        open_subset(tmp_path)
    write_set(tmp_path, {ID: entry()})
    with pytest.raises(DataError, match="no hannotation.pickle in val"):
        open_subset(tmp_path, "val")
    dataset = load(tmp_path)
    (tmp_path / "masks" / f"{ID}.pickle").unlink()
    with pytest.raises(DataError, match=f"{ID}.pickle does not exist"):
        dataset.load_mask(0)
    (tmp_path / "images" / f"{ID}.jpg").unlink()
    with pytest.raises(DataError, match=f"{ID}.jpg does not exist"):
        load(tmp_path).load_image(0)  # and not before
    (tmp_path / "hannotation.pickle").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="hannotation.pickle holds a list of 1, expected a dict of image ids"):
        load(tmp_path)


def test_png_images_are_read_and_images_above_the_pixel_limit_are_rejected(tmp_path, monkeypatch):
    write_set(tmp_path, {ID: entry()})
    (tmp_path / "images" / f"{ID}.jpg").unlink()
    assert cv2.imwrite(str(tmp_path / "images" / f"{ID}.png"), np.full((*SIZE, 3), 9, np.uint8))
    dataset = load(tmp_path)
    assert dataset.load_image(0)[0, 0, 0] == 9 and len(dataset.load_mask(0)[1]) == 4
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    with pytest.raises(DataError, match="declares 20 x 30 pixels"):
        dataset.load_masks_file(0).layer(0)
    with pytest.raises(DataError, match="declares 20 x 30 pixels"):
        dataset.load_mask(0)


@pytest.mark.parametrize("name", ["hannotation.pickle", f"masks/{ID}.pickle", f"images/{ID}.jpg"])
def test_links_out_of_the_folder_are_rejected(tmp_path, name):
    folder = write_set(tmp_path / "set", {ID: entry()})
    (folder / name).rename(tmp_path / "elsewhere.jpg")
    (folder / name).symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(DataError, match="is a link to .*elsewhere.jpg, outside"):
        dataset = load(folder)
        dataset.load_image(0)
        dataset.load_mask(0)
    dataset = load(folder, allow_outside=True)
    assert len(dataset.load_mask(0)[1]) == 4 and dataset.load_image(0).shape == (20, 30, 3)


@st.composite
def scenes(draw):
    """Draw size, label maps, mapping and hierarchy: random layers, objects in any order, parents before their children."""
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    maps, mapping = [], []
    for layer in range(draw(st.integers(1, 3))):
        numbers = draw(st.lists(st.integers(1, 255), unique=True, max_size=4))
        cells = draw(st.lists(st.sampled_from([0, *numbers]), min_size=size[0] * size[1], max_size=size[0] * size[1]))
        maps.append(np.array(cells, np.uint8).reshape(size))
        mapping += [(layer, number) for number in numbers]
    mapping = draw(st.permutations(mapping))
    count = draw(st.integers(0, len(mapping)))
    parents = [draw(st.none() | st.integers(0, i - 1)) if i else None for i in range(count)]
    children = [[i for i in range(count) if parents[i] == parent] for parent in range(count)]
    alone = [not children[i] and parents[i] is None for i in range(count)]
    nodes = {i: None if alone[i] else {"children": children[i], "parent": parents[i], "node_level": 0} for i in range(count)}
    return size, maps, mapping, {"num_instance_masks": count, "hierarchy": nodes}


@given(scenes(), st.sampled_from(["all", "whole", "parts"]), st.integers(0, 5))
def test_written_objects_are_read_back(tmp_path_factory, scene, levels, protocol):
    size, maps, mapping, value = scene
    folder = write_set(tmp_path_factory.mktemp("set"), {ID: value}, {ID: ([png(m) for m in maps], mapping)}, protocol, size)
    dataset = load(folder, levels=levels, stuff=True)
    parents = {i: (value["hierarchy"][i] or {"parent": None})["parent"] for i in range(value["num_instance_masks"])}
    wanted = [i for i in parents if levels == "all" or (parents[i] is None) == (levels == "whole")]
    wanted += range(value["num_instance_masks"], len(mapping))
    annotations = dataset.annotations_of(0)
    assert [a["id"] for a in annotations] == wanted and dataset.skipped == []
    assert [a["parent"] for a in annotations] == [parents.get(i) for i in wanted]
    for annotation in annotations:
        layer, number = mapping[annotation["id"]]
        np.testing.assert_array_equal(decode_rle(annotation["segmentation"]), maps[layer] == number)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from([np.int8(3), np.zeros(3)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-1, 9) | st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(st.data(), anything, st.booleans())
@settings(max_examples=60)
def test_damage_of_any_kind_raises_a_data_error_or_is_skipped(tmp_path_factory, data, value, in_masks):
    """A random value anywhere in the data: the image is skipped, its masks raise a DataError, or nothing is wrong."""
    content = {ID: entry(), 8: entry()} if not in_masks else [*masks_file()]
    holder = content
    while True:  # descend to a random position
        places = list(holder) if isinstance(holder, dict) else range(len(holder))
        place = data.draw(st.sampled_from(list(places)))
        below = holder[place]
        if not isinstance(below, dict | list) or not below or data.draw(st.booleans()):
            break
        holder = below
    if data.draw(st.booleans()) and isinstance(holder, dict | list):
        del holder[place]
    else:
        holder[place] = value
    folder = write_set(tmp_path_factory.mktemp("set"), {ID: entry(), 8: entry()})
    name = f"masks/{ID}.pickle" if in_masks else "hannotation.pickle"
    whole = bytearray(pickle.dumps(content))
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(bytes(whole[: data.draw(st.just(len(whole)) | st.integers(0, len(whole)))]))
    try:
        dataset = load(folder)
        for i in range(dataset.num_images):
            dataset.load_mask(i)
            dataset.ground_truth(i)
    except DataError as error:
        assert name in str(error) or "does not exist" in str(error)  # the ids may have changed
