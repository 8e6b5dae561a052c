import numpy as np

import mrcnn.datasets
from mrcnn.datasets.formats.shapes import SHAPE_NAMES, ShapesDataset
from mrcnn.geometry.anchors import backbone_shapes, generate_pyramid_anchors
from mrcnn.geometry.boxes import extract_bboxes
from mrcnn.loading.loader import Loader, TargetSettings
from mrcnn.loading.sample import SampleSettings
from tests.recorded_stages import RecordedStages


def shapes(count=20, height=96, width=128, seed=0):
    dataset = ShapesDataset()
    dataset.load_shapes(count, height, width, seed)
    dataset.prepare()
    return dataset


def test_classes_are_those_of_the_shapes():
    dataset = shapes(1)
    assert dataset.class_names == ["BG", "square", "circle", "triangle"]
    assert dataset.source_class_ids["shapes"] == [0, 1, 2, 3]
    assert dataset.image_info[0]["source"] == "shapes" and dataset.image_size(0) == (96, 128)


def test_images_depend_only_on_seed_and_index():
    first, longer, other = shapes(5), shapes(9), shapes(5, seed=1)
    for i in range(5):
        np.testing.assert_array_equal(first.load_image(i), longer.load_image(i))
        np.testing.assert_array_equal(first.load_mask(i)[0], longer.load_mask(i)[0])
        assert (first.load_image(i) != other.load_image(i)).any()
        assert first.image_reference(i) == longer.image_reference(i)


def test_masks_are_the_visible_pixels_of_their_shapes():
    dataset, classes = shapes(60), set()
    for image_id in dataset.image_ids:
        image, (masks, class_ids) = dataset.load_image(image_id), dataset.load_mask(image_id)
        info = dataset.image_info[image_id]
        assert image.shape == (96, 128, 3) and image.dtype == np.uint8
        assert masks.shape == (96, 128, len(class_ids)) and masks.dtype == bool and class_ids.dtype == np.int32
        assert masks.sum(axis=2).max() <= 1  # shapes are opaque
        assert masks.any(axis=(0, 1)).all()
        names = [name for name, _, _ in info["shapes"]]
        for i, class_id in enumerate(class_ids):
            colors = {tuple(pixel) for pixel in image[masks[:, :, i]].tolist()}
            assert colors == {color for name, color, _ in info["shapes"]
                              if name == SHAPE_NAMES[class_id - 1]} & colors and len(colors) == 1  # fmt: skip
        outside = image[~masks.any(axis=2)]
        assert (outside == info["bg_color"]).all()
        classes |= set(names)
    assert classes == set(SHAPE_NAMES)


def test_every_image_has_a_shape_and_some_have_several():
    counts = [len(shapes(1, seed=seed).load_mask(0)[1]) for seed in range(40)]
    assert min(counts) >= 1 and 2 <= max(counts) <= 4


def test_small_images_work():
    for height, width in ((8, 8), (16, 40), (64, 64)):
        masks, class_ids = shapes(10, height, width).load_mask(3)
        assert masks.shape == (height, width, len(class_ids)) and len(class_ids) >= 1
        assert (extract_bboxes(masks)[:, 2:] <= (height, width)).all()


def test_loader_yields_batches_of_shapes():
    anchors = generate_pyramid_anchors((32, 64), (1,), backbone_shapes((128, 128), (8, 16)), (8, 16), 1)
    loader = Loader(
        shapes(8),
        SampleSettings("square", 96, 128, num_classes=4),
        TargetSettings(anchors, 64, np.ones(4), 10),
        4,
    )
    for step in range(2):
        images, _, _, rpn_labels, _, class_ids, *_ = loader[step]
        assert images.shape == (4, 128, 128, 3) and (class_ids > 0).any(axis=1).all() and (rpn_labels == 1).any()
    assert not loader.broken and not loader.empty


def test_stages_are_reported():
    stages = RecordedStages()
    mrcnn.datasets.open(format="shapes", subset="val", count=150, progress=stages)
    assert stages.reported == [("generating images", [(100, 150), (150, 150)])]
