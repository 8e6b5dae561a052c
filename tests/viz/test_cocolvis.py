import pickle

import cv2
import numpy as np
import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats.cocolvis.dataset import open_subset
from mrcnn.viz.cocolvis import layers_figure, tree_figure, tree_layout
from mrcnn.viz.colors import instance_colors
from tests.datasets.cocolvis_sets import SIZE, entry, write_set


@pytest.fixture
def dataset(tmp_path):
    """Image 7 has objects 0 (parts 1 and 3) and 2 on three layers, and stuff 4."""
    dataset = open_subset(write_set(tmp_path, {7: entry(), 8: {"num_instance_masks": 0, "hierarchy": {}}}, {8: ([], [])}))
    dataset.prepare()
    return dataset


def test_each_layer_is_drawn_with_its_masks(dataset):
    figure = layers_figure(dataset, 0)
    axes = figure.axes
    assert [ax.get_title() for ax in axes if ax.images] == [
        "image 7: 4 objects, 1 stuff", "layer 0: 1 objects, 1 stuff", "layer 1: 2 objects, 0 stuff",
        "layer 2: 1 objects, 0 stuff"]  # fmt: skip
    assert [sorted(t.get_text() for t in ax.texts) for ax in axes[1:4]] == [["0 (1)", "4 (2)"], ["1 (7)", "2 (255)"], ["3 (3)"]]
    first, second = (np.asarray(ax.images[0].get_array()) for ax in axes[1:3])
    assert first.shape == (*SIZE, 3)
    # the image is grey 20: 0.4 of it and 0.6 of the object's colour, or 0.3 of it where there is no mask
    assert first[5, 4].tolist() == [round(8 + 0.6 * 255 * v) for v in instance_colors(4)[0]]
    assert first[19, 0].tolist() == [6, 6, 6] == second[0, 0].tolist()
    assert second[5, 6].tolist() == [round(8 + 0.6 * 255 * v) for v in instance_colors(4)[1]]
    (name,) = [t for t in axes[2].texts if t.get_text() == "2 (255)"]
    x, y = name.get_position()
    assert 20 <= x < 29 and 14 <= y < 19  # inside its mask


def test_tree_figure(dataset):
    figure = tree_figure(dataset, 0)
    (ax,) = figure.axes
    texts = {t.get_text().split(":")[0]: t for t in ax.texts}
    assert set(texts) == {"0", "1", "2", "3"} and ax.get_title() == "image 7: 4 objects"
    assert texts["0"].get_text() == "0: 30 %"  # 10 x 18 of 20 x 30
    assert [texts[str(i)].get_position()[0] for i in range(4)] == [0.5, 0, 2, 1]
    assert len(ax.images) == 4 and len(ax.lines) == 2
    assert tree_figure(dataset, 0, limit=2).axes[0].get_title() == "image 7: 4 objects, 2 of them not drawn"


def test_image_without_objects(dataset):
    assert [ax.get_title() for ax in layers_figure(dataset, 1).axes] == ["image 8: 0 objects, 0 stuff"]
    assert tree_figure(dataset, 1).axes[0].get_title() == "image 8: 0 objects"


def test_unreadable_masks_are_an_error(dataset, tmp_path):
    (tmp_path / "masks" / "7.pickle").write_bytes(pickle.dumps(cv2.imread))
    for draw in (layers_figure, tree_figure):
        with pytest.raises(DataError, match="7.pickle is a pickle with the name cv2.imread"):
            draw(dataset, 0)


def nodes(parents):
    return {i: None if parent is None else {"parent": parent} for i, parent in enumerate(parents)}


def test_positions_of_a_tree():
    # 0 contains 1 and 2, 2 contains 3 and 4; 5 has no relation
    positions, links, rows = tree_layout(nodes([None, 0, 0, 2, 2, None]), 6)
    assert positions == {0: (0.75, 0), 1: (0, 1), 2: (1.5, 1), 3: (1, 2), 4: (2, 2), 5: (3, 0)} and rows == 3
    assert sorted(links) == [(0, 1), (0, 2), (2, 3), (2, 4)]


def test_tree_with_several_rows():
    positions, _, rows = tree_layout({}, 23)
    assert rows == 3 and positions[9] == (9, 0) and positions[10] == (0, 1) and positions[22] == (2, 2)
    assert len(tree_layout({}, 500, limit=60)[0]) == 60
    assert tree_layout({}, 0) == ({}, [], 0)


def test_very_deep_tree():
    positions, links, rows = tree_layout(nodes([None, *range(4999)]), 5000, limit=5000)
    assert rows == 5000 and len(links) == 4999 and positions[4999] == (0, 4999)
    positions, links, rows = tree_layout(nodes([None, *range(4999)]), 5000)
    assert rows == len(positions) == 60 and len(links) == 59
