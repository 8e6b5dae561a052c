"""COCO's run-length encoding of masks, by pycocotools.

An RLE is a dict {"size": [height, width], "counts": str}: runs of 0 and 1 down the columns, packed into text. An
uncompressed RLE has a list of run lengths as its counts; `as_rle` takes both, and polygons too.

Shape letters: H W image, N instances.

The counts of COCO's RLE: unpacked to run lengths, and checked before pycocotools sees them.

pycocotools trusts what it is given, and reads beyond the end of text that breaks off inside a number.

Packed counts are text: characters from "0" on, five bits of a number each, lowest first; the sixth bit says that more
follow, and the fifth of the last one is the sign. Each number but the first three is written less the one two before it.
Source: pycocotools, maskApi.c, rleToString and rleFrString.

Shape letters: H W image.

RLE of a mask from its part inside a box, and back: the work is of the box's size, not of the image's.

pycocotools encodes and decodes whole images; for a hundred instances on a photograph of 12 megapixels that takes
seconds.

Shape letters: H W image, h w part inside the box.
"""

import numpy as np
from pycocotools import mask as coco_mask

from mrcnn.geometry.polygons import near_canvas

_FIRST_CHARACTER, _VALUE_BITS, _MORE, _NEGATIVE = 48, 5, 0x20, 0x10
_CHARACTERS = bytes(range(_FIRST_CHARACTER, _FIRST_CHARACTER + 2 * _MORE))
# characters of one number: 35 bits, and pycocotools counts in 32
_LONGEST = 7
_WHOLE = frozenset([int])
_NEGATIVE_RUN = "hold a run of negative length"
_TOO_LONG = "hold a number of more digits than any image needs"
_ODD_CHARACTERS = "hold characters that no RLE has"
_OTHER_SIZE = "do not add up to its height x width"


def run_lengths(rle):
    """The lengths of the runs of an RLE, background first.

    Args:
        rle: dict {"size", "counts": str, bytes or list of int}.

    Returns:
        int64 [runs].
    """
    counts = rle["counts"]
    if isinstance(counts, (list, tuple)):
        return np.asarray(counts, np.int64)
    values, _ = _numbers(counts.encode("ascii") if isinstance(counts, str) else counts)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _numbers(text):
    """Unpack the numbers as they are written, and the position of each one's last character: int64 [n], int64 [n]."""
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    last = np.flatnonzero((characters & _MORE) == 0)
    if not len(last):
        return np.zeros(0, np.int64), last
    first = np.concatenate([[0], last[:-1] + 1])
    shift = _VALUE_BITS * (np.arange(len(characters)) - np.repeat(first, np.diff(last, prepend=-1)))
    values = np.add.reduceat((characters & (_MORE - 1)) << shift, first)
    values -= np.where(characters[last] & _NEGATIVE, np.int64(1) << (shift[last] + _VALUE_BITS), 0)
    return values, last


def counts_fault(counts, pixels):
    """Say why the counts of an RLE are not usable.

    Args:
        counts: list of run lengths, or str or bytes of packed ones; anything else is a fault.
        pixels: int. H * W of the RLE's size.

    Returns:
        str, to stand behind "the counts ...", or None when they are usable.
    """
    if isinstance(counts, list | tuple):
        if not _WHOLE.issuperset(map(type, counts)):
            return "are not all whole numbers"
        if counts and min(counts) < 0:
            return _NEGATIVE_RUN
        return None if sum(counts) == pixels else _OTHER_SIZE
    return text_fault(counts) or sum_faults([counts], [pixels])[0]


def text_fault(counts):
    """Say why something is no text of packed counts, whatever they add up to. Returns: str or None."""
    try:
        text = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        return _ODD_CHARACTERS
    if not isinstance(text, bytes):
        return "are neither a list of whole numbers nor text"
    if not text:
        return "are empty"
    if text.translate(None, _CHARACTERS):
        return _ODD_CHARACTERS
    return "break off inside a run" if text[-1] - _FIRST_CHARACTER >= _MORE else None


def sum_faults(texts, pixels):
    """Say which packed counts do not fill their image, all at once: one by one it would take longer than to parse them.

    Args:
        texts: list of N str or bytes that `text_fault` found nothing in.
        pixels: list of N ints. H * W of each.

    Returns:
        list of N, each str or None; see `counts_fault`.
    """
    if not texts:
        return []
    texts = [text.encode("ascii") if isinstance(text, str) else text for text in texts]
    values, last = _numbers(b"".join(texts))
    # of each text: the number that it begins with; of each number: its place in its text
    begin = np.searchsorted(last, np.cumsum([0, *(len(text) for text in texts[:-1])]))
    length = np.diff(begin, append=len(values))
    place = np.arange(len(values)) - np.repeat(begin, length)
    runs = np.where(place == 0, values, 0)
    for chain in ((place % 2 == 1), (place % 2 == 0) & (place > 0)):
        # the sum up to each number within its text: over all texts, less what came before the text
        sums = np.cumsum(np.where(chain, values, 0))
        before = sums[begin] - np.where(chain[begin], values[begin], 0)
        runs += np.where(chain, sums - np.repeat(before, length), 0)
    digits = np.maximum.reduceat(np.diff(last, prepend=-1), begin) > _LONGEST
    other = np.add.reduceat(runs, begin) != np.asarray(pixels)
    negative = np.minimum.reduceat(runs, begin) < 0
    # of what is wrong with a text, the first: a number that is too long makes nonsense of the rest
    found = np.select([digits, negative, other], [1, 2, 3])
    return [(None, _TOO_LONG, _NEGATIVE_RUN, _OTHER_SIZE)[fault] for fault in found.tolist()]


def encode_mask(mask):
    """Encode one mask.

    Args:
        mask: any dtype [H, W]. Non-zero is inside.

    Returns:
        dict {"size": [H, W], "counts": str}, ready for JSON.
    """
    rle = coco_mask.encode(np.asfortranarray(np.asarray(mask).astype(bool), np.uint8))
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}


def encode_masks(masks):
    """Encode a stack of masks. Args: masks: any dtype [H, W, N]. Returns: list of N RLE dicts."""
    return [encode_mask(masks[:, :, i]) for i in range(np.shape(masks)[-1])]


def decode_rle(rle):
    """Decode one RLE, compressed or not.

    Args:
        rle: dict {"size": [H, W], "counts": str, bytes or list of int}.

    Returns:
        bool [H, W].

    Raises:
        ValueError: the run lengths do not fill the size.
    """
    return coco_mask.decode(as_rle(rle)).view(bool)


def decode_rles(rles, size):
    """Decode RLEs of one size. Args: rles: list of dicts; size: (H, W) in pixels. Returns: bool [H, W, N]."""
    if not rles:
        return np.zeros((*size, 0), bool)
    return np.stack([decode_rle(rle) for rle in rles], axis=-1)


def as_rle(segmentation, size=None):
    """Turn any COCO segmentation into a compressed RLE.

    Args:
        segmentation: an RLE dict, compressed or not, or a list of polygons [x1, y1, x2, y2, ...] in pixels. Counts of
            bytes are taken as pycocotools made them; those of text and lists are checked, see `counts_fault`.
        size: (height, width) of the image; needed for polygons.

    Returns:
        dict {"size": [height, width], "counts": bytes}, as pycocotools takes it.

    Raises:
        ValueError: the counts are not usable, or a polygon has fewer than three points.
    """
    if isinstance(segmentation, dict):
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
    for polygon in segmentation:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon needs at least three x, y pairs, and has {len(polygon)} numbers")
    h, w = (int(v) for v in size)
    return coco_mask.merge(coco_mask.frPyObjects([list(polygon) for polygon in near_canvas(segmentation, (h, w))], h, w))


def rle_area(rle):
    """Count the pixels of an RLE. Args: rle: dict. Returns: int."""
    return int(coco_mask.area(as_rle(rle)))


def rle_bbox(rle):
    """Find the tight box of an RLE. Args: rle: dict. Returns: (y1, x1, y2, x2) int pixels, all 0 when it is empty."""
    x, y, w, h = (int(v) for v in coco_mask.toBbox(as_rle(rle)))
    return y, x, y + h, x + w


def rle_to_json(rle):
    """Make an RLE's counts a str, as JSON needs. Args: rle: compressed RLE dict. Returns: a new dict."""
    counts = rle["counts"]
    return {
        "size": [int(v) for v in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def encode_in_box(part, box, size):
    """Write a mask as RLE from its part inside a box.

    Args:
        part: bool [y2 - y1, x2 - x1]. The mask inside the box; all else is background.
        box: (y1, x1, y2, x2) int pixels, within the image.
        size: (H, W) of the image.

    Returns:
        dict {"size": [H, W], "counts": str}, the same as of the whole mask.
    """
    height, width = (int(v) for v in size)
    y1, x1 = int(box[0]), int(box[1])
    # RLE runs down the columns: on the transposed part, a blank row on either side shows each run as a +1 and a -1.
    columns = np.pad(np.asarray(part, bool).T.astype(np.int8), ((0, 0), (1, 1)))
    steps = np.diff(columns, axis=1)
    column, start = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    offset = (x1 + column) * height + y1
    edges = np.stack([offset + start, offset + stop], axis=1).reshape(-1)
    # A run that ends at the foot of a column and one that starts at the head of the next are one run.
    edges = np.concatenate([[0], edges, [height * width]])
    counts = np.diff(_merge_touching(edges))
    if len(counts) > 1 and counts[-1] == 0:  # the writer's canonical form has no empty run at the end
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def _merge_touching(edges):
    """Drop both edges of each empty gap between two runs; the gap before the first run may stay empty."""
    empty = np.nonzero(np.diff(edges)[2:-1:2] == 0)[0] * 2 + 2  # gaps have even positions
    return np.delete(edges, np.concatenate([empty, empty + 1])) if len(empty) else edges


def decode_to_box(rle):
    """The part of a mask inside its own tight box.

    Args:
        rle: dict {"size": [H, W], "counts": str, bytes or list of int}.

    Returns:
        part: bool [h, w]. [0, 0] for an empty mask.
        box: (y1, x1, y2, x2) int pixels.

    Raises:
        ValueError: a list of run lengths that does not fill the size.
    """
    rle = as_rle(rle)
    y1, x1, y2, x2 = box = rle_bbox(rle)
    if y2 <= y1 or x2 <= x1:
        return np.zeros((0, 0), bool), (0, 0, 0, 0)
    height = int(rle["size"][0])
    edges = np.cumsum(run_lengths(rle)) - x1 * height
    changes = np.zeros((x2 - x1) * height + 1, np.int8)
    # an edge between background and mask, then one back; the last edge ends the image and may lie beyond the box
    np.add.at(changes, edges[0::2][: len(edges) // 2], 1)
    np.add.at(changes, edges[1::2], -1)
    columns = np.cumsum(changes[:-1], dtype=np.int8).reshape(x2 - x1, height)
    return np.ascontiguousarray(columns[:, y1:y2].T.view(bool)), box
