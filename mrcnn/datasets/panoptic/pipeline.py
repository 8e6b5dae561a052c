"""Panoptic shards as a `tf.data` pipeline. TensorFlow is imported when a pipeline is made, not before.

Shape letters: H W image.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mrcnn.base.errors import DataError
from mrcnn.datasets.panoptic.shards import ENCODED, HEIGHT, MAP, RGB_CHANNELS, WIDTH, decode_record, shards_of
from mrcnn.io.tfrecord import read_record, scan_records

# when shuffling: number of files read in an interleaved order, and size of the shuffle buffer in images
_OPEN_FILES = 16
_WAITING = 64


def panoptic_pipeline(folder: Path | str, split: str, *, shuffle: bool = False, seed: int | None = None) -> Any:
    """Read shards as images and panoptic maps.

    Args:
        folder: folder of the shards.
        split: as in the file names.
        shuffle: True shuffles the files, and then the images of several files, again in each epoch; False keeps the
            order of the files.
        seed: seed of the shuffling.

    Returns:
        tf.data.Dataset of (uint8 [H, W, 3] RGB, int32 [H, W] panoptic map), one pass over all images. Images differ in
        size: resize or crop them before `batch`.

    Raises:
        DataError: files are missing, or the split is empty or holds images without maps, as a test set does.
    """
    import tensorflow as tf

    paths = [path for path in shards_of(folder, split) if path.stat().st_size]
    _refuse_bare(folder, split, paths)
    names = [str(path) for path in paths]
    if shuffle:
        files = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names), seed=seed)
        records = files.interleave(tf.data.TFRecordDataset, cycle_length=_OPEN_FILES, block_length=1)
        # shuffled before they are decoded: the buffer is in memory, and an encoded record is smaller
        records = records.shuffle(_WAITING, seed=seed)
    else:
        records = tf.data.TFRecordDataset(names)
    return records.map(_decoder(tf), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _refuse_bare(folder: Path | str, split: str, paths: Sequence[Path]) -> None:
    """Check that the first record has a map."""
    if not paths:
        raise DataError(f"{folder}: the shards of {split} hold no images")
    first = scan_records(paths[0])[0]
    if decode_record(read_record(paths[0], *first), f"{paths[0]}: record 0").panoptic is None:
        raise DataError(f"{folder}: {split} holds images without panoptic maps: read it with tf.data.TFRecordDataset, or "
                        "choose another split")  # fmt: skip


def _decoder(tf: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Return a function that decodes a serialised Example as (image, map)."""
    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([], tf.int64)

    def decode(serialised: Any) -> tuple[Any, Any]:
        fields = tf.io.parse_single_example(serialised, {ENCODED: text, MAP: text, HEIGHT: number, WIDTH: number})
        panoptic = tf.reshape(tf.io.decode_raw(fields[MAP], tf.int32, little_endian=True), [fields[HEIGHT], fields[WIDTH]])
        # a JPEG of a few kilobytes can declare any size, so compare it with the map before decoding it
        size = tf.io.extract_jpeg_shape(fields[ENCODED])[:2]
        with tf.control_dependencies([tf.debugging.assert_equal(size, tf.shape(panoptic), "JPEG and map differ in size")]):
            return tf.io.decode_jpeg(fields[ENCODED], channels=RGB_CHANNELS), panoptic

    return decode
