"""The counts of COCO's RLE: unpacked to run lengths, and checked before pycocotools sees them.

pycocotools trusts what it is given, and reads beyond the end of text that breaks off inside a number.

Packed counts are text: characters from "0" on, five bits of a number each, lowest first; the sixth bit says that more
follow, and the fifth of the last one is the sign. Each number but the first three is written less the one two before it.
Source: pycocotools, maskApi.c, rleToString and rleFrString.

Shape letters: H W image.
"""

import numpy as np

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
