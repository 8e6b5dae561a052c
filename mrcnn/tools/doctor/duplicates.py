"""Images that are there twice, in one part or in two, by their content or by their looks."""

import numpy as np

from mrcnn.tools.doctor.finding import Picture, Place

# bits of 64 in which the hashes of two images that look alike may differ
MAX_DISTANCE = 4
# mean difference of the grey levels of their thumbnails, each about its mean
MAX_DIFFERENCE = 6.0
# pairs of hashes, and of thumbnails, compared at a time
_BLOCK, _PAIRS = 1_000_000, 20_000


def note_duplicates(parts, scans, findings):
    """Find images that are in the data more than once.

    Args:
        parts: list of Part.
        scans: list, for each part, of lists of ImageScan.
        findings: Findings, which is added to.
    """
    entries = [(part, image, scan) for part, some in zip(parts, scans) for image, scan in zip(part.images, some)]
    firsts = _note_equal([entry for entry in entries if entry[2].digest], findings)
    _note_alike([entry for entry in firsts if entry[2].hash is not None and not entry[2].fault], findings)


def _note_equal(entries, findings):
    """Note images of the same content. Returns: the first entry of each content in each part."""
    by_digest, firsts = {}, []
    for entry in entries:
        part, image, scan = entry
        earlier = by_digest.setdefault(scan.digest, [])
        others = [e for e in earlier if e[0] is not part]
        same = [e for e in earlier if e[0] is part]
        if others:
            _note("image_leak", entry, others[0], "the same content as", findings)
        elif same and not any(e[1].path is not None and e[1].path == image.path for e in same):
            _note("image_duplicate", entry, same[0], "the same content as", findings)
        if not earlier:
            firsts.append(entry)
        if not same:
            earlier.append(entry)
    return firsts


def _note_alike(entries, findings):
    """Note images that look alike though their content differs."""
    if not entries:
        return
    hashes = np.array([scan.hash for _, _, scan in entries], np.uint64)
    thumbnails = np.stack([scan.thumbnail.ravel() for _, _, scan in entries])
    names = {id(part): number for number, (part, _, _) in enumerate(entries)}
    numbers = np.array([names[id(part)] for part, _, _ in entries])
    same, others = first_alike(hashes, thumbnails, numbers)
    for j in range(len(entries)):
        i = min(others[j], same[j]) if others[j] == len(entries) else others[j]
        if i < len(entries):
            distance = int(hashes[i] ^ hashes[j]).bit_count()
            told = f"it differs in {distance} of 64 bits of the picture hash from"
            kind = "image_near_leak" if others[j] < len(entries) else "image_near_duplicate"
            _note(kind, entries[j], entries[i], told, findings)


def _note(kind, entry, other, told, findings):
    part, image, scan = entry
    place = Place(part.name, image.file, image.id)
    picture = None if scan.fault else Picture((image.read, other[1].read))
    findings.add(kind, place, f"{told} {Place(other[0].name, other[1].file, other[1].id)}", picture=picture)


def first_alike(hashes, thumbnails, parts):
    """Find for each image one before it that looks like it.

    Args:
        hashes: uint64 [N].
        thumbnails: int16 [N, T]. Grey levels about their mean.
        parts: int [N]. Numbers of the parts that they are in.

    Returns:
        (same, others): int64 [N] each, the position of one in the same part and of one in any other; N where none is.
    """
    same, others = np.full(len(hashes), len(hashes)), np.full(len(hashes), len(hashes))
    for i, j in near_pairs(hashes, MAX_DISTANCE):
        together = parts[i] == parts[j]
        # the frames of a film are all alike: who has an earlier one needs no other
        new = np.where(together, same[j], others[j]) == len(hashes)
        i, j, together = i[new], j[new], together[new]
        alike = np.abs(thumbnails[i] - thumbnails[j]).mean(axis=1) <= MAX_DIFFERENCE
        for first, wanted in ((same, together), (others, ~together)):
            np.minimum.at(first, j[alike & wanted], i[alike & wanted])
    return same, others


def near_pairs(hashes, distance):
    """Find the pairs of hashes that differ in few bits.

    Of two numbers that differ in d bits, cut into d + 1 pieces, one piece is the same: only numbers that share a piece
    are compared.

    Args:
        hashes: uint64 [N].
        distance: int. The most bits that a pair may differ in.

    Yields:
        (i, j): int64 [n] each, i < j, some thousands of pairs at a time. A pair may come more than once.
    """
    cuts = np.linspace(0, 64, distance + 2).astype(int)
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist()):
        pieces = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(pieces, kind="stable")
        ends = np.flatnonzero(np.diff(pieces[order])) + 1
        for group in np.split(order, ends):
            if len(group) > 1:
                yield from _close_pairs(hashes, group, distance)


def _close_pairs(hashes, group, distance):
    """Compare all of a group, ascending positions, a block of rows at a time; see `near_pairs`."""
    step = max(_BLOCK // len(group), 1)
    for start in range(0, len(group), step):
        rows = group[start : start + step]
        close = np.bitwise_count(hashes[rows][:, None] ^ hashes[group]) <= distance
        i, j = np.nonzero(close & (rows[:, None] < group))
        for cut in range(0, len(i), _PAIRS):
            yield rows[i[cut : cut + _PAIRS]], group[j[cut : cut + _PAIRS]]
