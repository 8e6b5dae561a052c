"""Panoptic shards as a `tf.data` pipeline. TensorFlow is imported when the pipeline is made, not before.

Shape letters: H W image.
"""

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.records import ENCODED, HEIGHT, MAP, RGB_CHANNELS, WIDTH, decode_record
from mrcnn.datasets.panoptic.shards import shards_of
from mrcnn.io.tfrecord import read_record, scan_records

# files that are read in turn, and images that wait to be drawn from, when the order is shuffled
_OPEN_FILES = 16
_WAITING = 64


def panoptic_pipeline(folder, split, *, shuffle=False, seed=None):
    """Read shards as images and panoptic maps.

    Args:
        folder: path of the shards.
        split: str, as in the file names.
        shuffle: bool. True mixes the files, and then the images of several files, anew on each pass; False keeps the
            order of the files.
        seed: int or None. Of the shuffling: equal seeds give equal orders.

    Returns:
        tf.data.Dataset of (uint8 [H, W, 3] RGB, int32 [H, W] panoptic map), a pass over all images. Images differ in
        size: resize or crop them before `batch`.

    Raises:
        DataError: files are missing, the split is empty, or holds images alone, as a test set does.
    """
    import tensorflow as tf

    paths = [path for path in shards_of(folder, split) if path.stat().st_size]
    _refuse_bare(folder, split, paths)
    names = [str(path) for path in paths]
    if shuffle:
        files = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names), seed=seed)
        records = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES, block_length=1)
        # mixed before they are decoded: a record is smaller then, and what waits is in memory
        records = records.shuffle(_WAITING, seed=seed)
    else:
        records = tf.data.TFRecordDataset(names)
    return records.map(_decoder(tf), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _refuse_bare(folder, split, paths):
    """See in the first record that there are maps."""
    if not paths:
        raise DataError(f"{folder}: the shards of {split} hold no images")
    first = scan_records(paths[0])[0]
    if decode_record(read_record(paths[0], *first), f"{paths[0]}: record 0").panoptic is None:
        raise DataError(f"{folder}: {split} holds images without panoptic maps: read it by tf.data.TFRecordDataset, or "
                        "choose another split")  # fmt: skip


def _decoder(tf):
    """Make the function from a serialised Example to (image, map)."""
    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([], tf.int64)

    def decode(serialised):
        found = tf.io.parse_single_example(serialised, {ENCODED: text, MAP: text, HEIGHT: number, WIDTH: number})
        panoptic = tf.reshape(tf.io.decode_raw(found[MAP], tf.int32, little_endian=True), [found[HEIGHT], found[WIDTH]])
        # a JPEG of a few kilobytes can claim any size: it is held against the map, whose bytes are there, before it is decoded
        size = tf.io.extract_jpeg_shape(found[ENCODED])[:2]
        with tf.control_dependencies([tf.debugging.assert_equal(size, tf.shape(panoptic), "JPEG and map differ in size")]):
            return tf.io.decode_jpeg(found[ENCODED], channels=RGB_CHANNELS), panoptic

    return decode
