"""Covered instances, hierarchy and layers: hand-computed cases, and properties from their definitions."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.datasets.formats.cocolvis.files import Masks
from mrcnn.geometry.rle import as_rle, encode_mask
from mrcnn.tools.convert.cocolvis import containment_tree, encode_layers, pack_layers, uncovered
from tests.datasets.cocolvis_pairs import COCO, LVIS, MAPPING, OBJECTS, SIZE, TREE, mask


def rles(rectangles, size=SIZE):
    return [as_rle(encode_mask(mask(*rectangle, size=size))) for rectangle in rectangles]


def test_uncovered_coco_instances():
    coco, lvis = rles(COCO), rles(LVIS)
    assert uncovered(coco, lvis, 0.5) == [1, 2, 3]
    assert uncovered(coco, lvis, 170 / 180) == [1, 2, 3] and uncovered(coco, lvis, 0.95) == [0, 1, 2, 3]
    assert uncovered(coco, lvis, 0.25) == [2]  # 0.25 itself is enough, and 54 / 198 is higher
    assert uncovered(coco, [], 0.5) == [0, 1, 2, 3] and uncovered([], lvis, 0.5) == []


def test_containment_tree_by_hand():
    assert containment_tree(rles(OBJECTS), 0.8) == TREE
    nodes = containment_tree(rles(OBJECTS), 0.75)  # 54 of 72
    assert nodes[0]["children"] == [1, 5] and nodes[5] == {"children": [], "parent": 0, "node_level": 1}
    assert containment_tree([], 0.8) == {}


def test_identical_objects_contain_each_other_in_their_order():
    nodes = containment_tree(rles([(0, 0, 4, 4), (0, 0, 4, 4), (1, 1, 2, 2), (0, 0, 4, 4)]), 0.8)
    assert [nodes[i]["parent"] for i in range(4)] == [None, 0, 3, 1]
    assert [nodes[i]["node_level"] for i in range(4)] == [0, 1, 3, 2]


def test_pack_layers_by_hand():
    layers, mapping = pack_layers(rles(OBJECTS), SIZE)
    assert mapping == MAPPING and len(layers) == 3
    for (layer, number), rectangle in zip(mapping, OBJECTS, strict=True):
        np.testing.assert_array_equal(layers[layer] == number, mask(*rectangle))
    assert pack_layers([], SIZE) == ([], [])


def test_more_objects_than_numbers_in_a_layer():
    pixels = [(y, x, y + 1, x + 1) for y in range(10) for x in range(30)]
    layers, mapping = pack_layers(rles(pixels), SIZE)
    assert len(layers) == 2 and mapping[254] == (0, 255) and mapping[255] == (1, 1) and mapping[299] == (1, 45)


rectangles = st.tuples(st.integers(0, 8), st.integers(0, 12), st.integers(1, 5), st.integers(1, 5)).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3]))  # fmt: skip


@given(st.lists(rectangles, max_size=12), st.floats(0.3, 1))
def test_tree_and_layers_agree_with_their_definitions(objects, fraction):
    size = (13, 17)
    drawn = [mask(*rectangle, size=size) for rectangle in objects]
    nodes = containment_tree(rles(objects, size), fraction)
    areas = [int(d.sum()) for d in drawn]
    for i, d in enumerate(drawn):
        larger = [j for j in range(len(drawn)) if areas[j] > areas[i] and (d & drawn[j]).sum() / areas[i] >= fraction]
        parent = nodes[i] and nodes[i]["parent"]
        if larger:
            assert parent is not None and areas[parent] <= min(areas[j] for j in larger)
        if parent is not None:
            assert (d & drawn[parent]).sum() / areas[i] >= fraction and areas[parent] >= areas[i]
            assert i in nodes[parent]["children"] and nodes[i]["node_level"] == nodes[parent]["node_level"] + 1
    layers, mapping = pack_layers(rles(objects, size), size)
    masks = Masks("f", encode_layers(layers), mapping)
    for (layer, number), d in zip(mapping, drawn, strict=True):
        np.testing.assert_array_equal(masks.layer(layer, size) == number, d)
