"""COCO's run-length encoding of masks, based on pycocotools.

An RLE is a dict {"size": [height, width], "counts": ...}. Its counts are the lengths of the runs of 0 and 1 down the
columns, 0 first: packed into str or bytes, or (an "uncompressed" RLE) a list of int. `as_rle` accepts all of these, and
polygons.

pycocotools encodes and decodes whole images, which takes seconds for a hundred instances on a photograph of 12 megapixels;
`encode_in_box` and `decode_to_box` process only the box. pycocotools also trusts its input, and reads past the end of text
that is truncated inside a number: `counts_fault` checks counts from files first.

Shape letters: H W image, h w box.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from pycocotools import mask as coco_mask

from mrcnn.geometry.boxes import Integer, PixelBox
from mrcnn.geometry.polygons import check_polygons, near_canvas

Rle = dict[str, Any]

# Packed counts: each character, counted from "0", holds five bits of a number, lowest first. The sixth bit is set if more
# characters follow, and the fifth bit of the last one is the sign. All but the first three numbers are stored as differences
# from the number two places before.
# Source: pycocotools, maskApi.c, rleToString and rleFrString.
_FIRST_CHARACTER, _VALUE_BITS, _MORE, _NEGATIVE = 48, 5, 0x20, 0x10
_CHARACTERS = bytes(range(_FIRST_CHARACTER, _FIRST_CHARACTER + 2 * _MORE))
# maximum number of characters of a number: 35 bits, where pycocotools uses 32
_MAX_CHARACTERS = 7
_INTS = frozenset([int])
_NEGATIVE_RUN = "contain a run of negative length"
_TOO_LONG = "contain a number with more digits than any image needs"
_BAD_CHARACTERS = "contain invalid characters"
_WRONG_SUM = "do not add up to its height x width"


def encode_mask(mask: Shaped[np.ndarray, "H W"]) -> Rle:
    """Encode a mask, non-zero inside the object, with counts of type str, ready for JSON."""
    return rle_to_json(coco_mask.encode(np.asfortranarray(mask.astype(bool), np.uint8)))


def decode_rle(rle: Mapping[str, Any]) -> Bool[np.ndarray, "H W"]:
    """Decode an RLE, compressed or not.

    Raises:
        ValueError: the counts are not usable.
    """
    return coco_mask.decode(as_rle(rle)).view(bool)


def as_rle(segmentation: Mapping[str, Any] | Sequence[Any], size: Sequence[Integer] | None = None) -> Rle:
    """Convert any COCO segmentation to a compressed RLE.

    Args:
        segmentation: an RLE, compressed or not, or a list of polygons in pixels. Counts of type bytes are assumed to come
            from pycocotools; str and lists are checked with `counts_fault`.
        size: (height, width) of the image; required for polygons.

    Returns:
        An RLE with counts of type bytes, as pycocotools expects.

    Raises:
        ValueError: the counts are not usable, a polygon has fewer than three points, or a coordinate is not finite.
    """
    if isinstance(segmentation, Mapping):
        h, w = (int(v) for v in segmentation["size"])
        counts = segmentation["counts"]
        if isinstance(counts, bytes):
            return {"size": [h, w], "counts": counts}
        fault = counts_fault(counts, h * w)
        if fault:
            raise ValueError(f"the counts of an RLE of {h} x {w} pixels {fault}")
        if isinstance(counts, str):
            return {"size": [h, w], "counts": counts.encode("ascii")}
        return coco_mask.frPyObjects({"size": [h, w], "counts": list(counts)}, h, w)
    if size is None:
        raise ValueError("polygons can be converted to an RLE only with the size of their image: pass `size`")
    check_polygons(segmentation)
    h, w = (int(v) for v in size)
    return coco_mask.merge(coco_mask.frPyObjects([list(polygon) for polygon in near_canvas(segmentation, (h, w))], h, w))


def rle_to_json(rle: Mapping[str, Any]) -> Rle:
    """Copy a compressed RLE with counts of type str, as JSON requires."""
    counts = rle["counts"]
    return {
        "size": [int(v) for v in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def rle_area(rle: Mapping[str, Any]) -> int:
    """Count the pixels of an RLE."""
    return int(coco_mask.area(as_rle(rle)))


def rle_bbox(rle: Mapping[str, Any]) -> PixelBox:
    """Compute the tight pixel box of an RLE; (0, 0, 0, 0) for an empty mask."""
    x, y, w, h = (int(v) for v in coco_mask.toBbox(as_rle(rle)))
    return y, x, y + h, x + w


def encode_in_box(mask: Bool[np.ndarray, "h w"], box: Sequence[Integer] | np.ndarray, size: Sequence[Integer]) -> Rle:
    """Encode a mask given only its part inside a box.

    Args:
        mask: the part inside the box; everything else is background.
        box: (y1, x1, y2, x2) in pixels, within the image.
        size: (H, W) of the image.

    Returns:
        The same RLE as `encode_mask` of the whole mask.
    """
    height, width = (int(v) for v in size)
    y1, x1 = int(box[0]), int(box[1])
    # RLE runs down the columns: in differences of the transposed mask, padded by a pixel, each run is a +1 and a -1
    columns = np.pad(mask.T.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(columns, axis=1)
    column, start = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    offset = (x1 + column) * height + y1
    runs = np.stack([offset + start, offset + stop], axis=1).reshape(-1)
    edges = np.concatenate([[0], runs, [height * width]])
    counts = np.diff(_merge_touching(edges)).tolist()
    if len(counts) > 1 and counts[-1] == 0:  # pycocotools writes no empty run at the end
        counts.pop()
    return rle_to_json(coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width))


def _merge_touching(edges: Int64[np.ndarray, " edges"]) -> Int64[np.ndarray, " merged"]:
    """Merge a run that ends at the bottom of a column with one that starts at the top of the next, by dropping their edges.

    The gap before the first run may be empty.
    """
    empty = np.nonzero(np.diff(edges)[2:-1:2] == 0)[0] * 2 + 2  # gaps have even positions
    return np.delete(edges, np.concatenate([empty, empty + 1])) if len(empty) else edges


def decode_to_box(rle: Mapping[str, Any]) -> tuple[Bool[np.ndarray, "h w"], PixelBox]:
    """Decode the part of a mask inside its tight box.

    Returns:
        The part, [0, 0] for an empty mask, and the box.

    Raises:
        ValueError: the counts are not usable.
    """
    rle = as_rle(rle)
    y1, x1, y2, x2 = box = rle_bbox(rle)
    if y2 <= y1 or x2 <= x1:
        return np.zeros((0, 0), bool), (0, 0, 0, 0)
    height = int(rle["size"][0])
    edges = np.cumsum(run_lengths(rle)) - x1 * height
    changes = np.zeros((x2 - x1) * height + 1, np.int8)
    # edges alternate between the start and end of runs; the last edge is the end of the image and may lie beyond the box
    np.add.at(changes, edges[0::2][: len(edges) // 2], 1)
    np.add.at(changes, edges[1::2], -1)
    columns = np.cumsum(changes[:-1], dtype=np.int8).reshape(x2 - x1, height)
    return np.ascontiguousarray(columns[:, y1:y2].T.view(bool)), box


def run_lengths(rle: Mapping[str, Any]) -> Int64[np.ndarray, " runs"]:
    """Unpack the lengths of the runs of an RLE, background first."""
    counts = rle["counts"]
    if isinstance(counts, list | tuple):
        return np.asarray(counts, np.int64)
    values, _ = _numbers(counts.encode("ascii") if isinstance(counts, str) else counts)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _numbers(text: bytes) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Unpack the stored numbers, without summing differences, and the position of each number's last character."""
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    last = np.flatnonzero((characters & _MORE) == 0)
    if not len(last):
        return np.zeros(0, np.int64), last
    first = np.concatenate([[0], last[:-1] + 1])
    shift = _VALUE_BITS * (np.arange(len(characters)) - np.repeat(first, np.diff(last, prepend=-1)))
    values = np.add.reduceat((characters & (_MORE - 1)) << shift, first)
    values -= np.where(characters[last] & _NEGATIVE, np.int64(1) << (shift[last] + _VALUE_BITS), 0)
    return values, last


def counts_fault(counts: object, pixels: int) -> str | None:
    """Return the reason why the counts of an RLE are not usable.

    Args:
        counts: a list of run lengths, or packed as str or bytes; anything else is a fault.
        pixels: H * W of the RLE's size.

    Returns:
        The rest of a sentence that starts with "the counts", or None if they are usable.
    """
    if isinstance(counts, list | tuple):
        if not _INTS.issuperset(map(type, counts)):
            return "are not all whole numbers"
        if counts and min(counts) < 0:
            return _NEGATIVE_RUN
        return None if sum(counts) == pixels else _WRONG_SUM
    fault = text_fault(counts)
    return sum_faults([counts], [pixels])[0] if fault is None and isinstance(counts, str | bytes) else fault


def text_fault(counts: object) -> str | None:
    """Return the reason why text is not packed counts, without checking their sum; see `counts_fault`."""
    try:
        text = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        return _BAD_CHARACTERS
    if not isinstance(text, bytes):
        return "are neither a list of whole numbers nor text"
    if not text:
        return "are empty"
    if text.translate(None, _CHARACTERS):
        return _BAD_CHARACTERS
    return "are truncated inside a run" if text[-1] - _FIRST_CHARACTER >= _MORE else None


def sum_faults(texts: Sequence[str | bytes], pixels: Sequence[int]) -> list[str | None]:
    """Return which packed counts do not fill their image, vectorised: one by one takes longer than parsing the file.

    Args:
        texts: packed counts for which `text_fault` is None.
        pixels: H * W of each.

    Returns:
        One entry per text; see `counts_fault`.
    """
    if not texts:
        return []
    encoded = [text.encode("ascii") if isinstance(text, str) else text for text in texts]
    values, last = _numbers(b"".join(encoded))
    # the index of each text's first number, and the position of each number in its text
    begin = np.searchsorted(last, np.cumsum([0, *(len(text) for text in encoded[:-1])]))
    length = np.diff(begin, append=len(values))
    position = np.arange(len(values)) - np.repeat(begin, length)
    runs = np.where(position == 0, values, 0)
    for chain in ((position % 2 == 1), (position % 2 == 0) & (position > 0)):
        # cumulative sums within each text: those over all texts, minus the sum before the text
        sums = np.cumsum(np.where(chain, values, 0))
        before = sums[begin] - np.where(chain[begin], values[begin], 0)
        runs += np.where(chain, sums - np.repeat(before, length), 0)
    too_long = np.maximum.reduceat(np.diff(last, prepend=-1), begin) > _MAX_CHARACTERS
    wrong_sum = np.add.reduceat(runs, begin) != np.asarray(pixels)
    negative = np.minimum.reduceat(runs, begin) < 0
    # a number that is too long invalidates the rest, so it is reported first
    faults = np.select([too_long, negative, wrong_sum], [1, 2, 3])
    return [(None, _TOO_LONG, _NEGATIVE_RUN, _WRONG_SUM)[fault] for fault in faults.tolist()]
