"""The tf.data pipeline over shards."""
import io

import numpy as np
import pytest
from PIL import Image

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.pipeline import panoptic_pipeline
from mrcnn.datasets.panoptic.shards import Record, encode_record
from mrcnn.io.tfrecord import write_record
from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic
from tests.datasets.panoptic_sets import segment, write_jpeg, write_split

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Seven images in three files; image i has a car of i + 1 pixels in its first row."""
    folder = tmp_path_factory.mktemp("work")
    images = []
    for i in range(7):
        ids = np.zeros((6 + i, 9), int)
        ids[0, : i + 1] = 5
        images.append((f"{i}.jpg", ids, [segment(5, 3, i + 1)]))
    write_split(folder / "root", images)
    write_jpeg(folder / "root" / "test2017" / "t.jpg", (5, 5))
    convert_panoptic(folder / "root", folder / "shards", shards=3, workers=1)
    return folder / "shards"


def areas(pipeline):
    return [int(np.count_nonzero(panoptic == 2 * 256 + 1)) for _, panoptic in pipeline.as_numpy_iterator()]


def test_images_and_maps_are_in_order(shards):
    pipeline = panoptic_pipeline(shards, "train")
    pairs = list(pipeline.as_numpy_iterator())
    assert len(pairs) == 7
    for i, (image, panoptic) in enumerate(pairs):
        expected = np.zeros((6 + i, 9), np.int32)
        expected[0, : i + 1] = 513
        np.testing.assert_array_equal(panoptic, expected)
        assert panoptic.dtype == np.int32 and image.dtype == np.uint8 and image.shape == (6 + i, 9, 3)
        path = shards.parent / "root" / "train2017" / f"{i}.jpg"
        decoded = np.asarray(Image.open(io.BytesIO(path.read_bytes()))).astype(int)
        # decoders round differently
        assert np.abs(image - decoded).max() <= 8


def test_shuffled_passes_differ_and_are_reproducible_with_the_seed(shards):
    first, again = (panoptic_pipeline(shards, "train", shuffle=True, seed=3) for _ in range(2))
    orders = [areas(first), areas(first)]
    assert all(sorted(order) == [1, 2, 3, 4, 5, 6, 7] for order in orders)
    assert orders[0] != orders[1] and orders[0] != [1, 2, 3, 4, 5, 6, 7]
    assert [areas(again), areas(again)] == orders


def test_pipeline_can_be_batched(shards):
    batches = panoptic_pipeline(shards, "train").map(lambda image, panoptic: (image[:6], panoptic[:6] // 256)).batch(4)
    image, semantic = next(iter(batches))
    assert image.shape == (4, 6, 9, 3) and semantic.shape == (4, 6, 9) and set(np.unique(semantic)) == {0, 2}


def test_jpeg_of_another_size_than_its_map_is_an_error(tmp_path):
    import tensorflow as tf

    write_jpeg(tmp_path / "a.jpg", (40, 50))
    record = Record("a", (5, 6), (tmp_path / "a.jpg").read_bytes(), np.zeros((5, 6), np.int32))
    with open(tmp_path / "val-00000-of-00001.tfrecord", "wb") as file:
        write_record(file, encode_record(record))
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG and map differ in size"):
        list(panoptic_pipeline(tmp_path, "val"))


def test_unusable_shards_are_errors(shards, tmp_path):
    with pytest.raises(DataError, match="test holds images without panoptic maps"):
        panoptic_pipeline(shards, "test")
    with pytest.raises(DataError, match="holds no file val-"):
        panoptic_pipeline(shards, "val")
    (tmp_path / "val-00000-of-00001.tfrecord").touch()
    with pytest.raises(DataError, match="the shards of val hold no images"):
        panoptic_pipeline(tmp_path, "val")
