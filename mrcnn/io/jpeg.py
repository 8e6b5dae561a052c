"""Finding JPEG files that are cut off. Decoders fill what is missing with grey, without an error.

Source: ITU-T T.81, annex B.
"""

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
# frames whose blocks are Huffman-coded, baseline, extended and progressive: a block takes at least one bit
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
# markers without content
_BARE = (0x01, *range(0xD0, 0xD8))


def is_jpeg(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a JPEG."""
    return head.startswith(bytes((0xFF, _START)))


def jpeg_fault(content: bytes) -> str | None:
    """Return why a JPEG file is not complete, or None.

    A file is complete if its first scan is followed by an end marker, and if it is not shorter than the shortest code for an
    image of its size. Bytes after the end marker, such as a second image, are ignored.

    Args:
        content: the file.
    """
    position, blocks = 2, 0
    while 0 <= position < len(content) - 3:
        marker = content[position + 1]
        if content[position] != 0xFF or marker == 0xFF:  # stray and fill bytes, which decoders skip
            position = content.find(b"\xff", position + 1)
        elif marker in _BARE:
            position += 2
        elif marker == _END:
            break
        else:
            start = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
            if marker in _HUFFMAN_FRAMES:
                blocks = _count_blocks(content[position + 4 : start])
            if marker == _SCAN:
                is_whole = 8 * (len(content) - start) >= blocks and content.rfind(bytes((0xFF, _END)), start) >= 0
                return None if is_whole else "it is cut off: its data end before the picture does"
            position = start
    return "it is cut off: its data end before the picture begins"


def _count_blocks(frame: bytes) -> int:
    """Count the blocks of 8 x 8 values of an image, given the content of its frame header; 0 if that is damaged."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = [(byte >> 4, byte & 15) for byte in frame[7::3]]  # of each component: horizontal, vertical
    most = max((h for h, _ in factors), default=0), max((v for _, v in factors), default=0)
    if not all(most):
        return 0
    return sum(-(-width * h // (8 * most[0])) * -(-height * v // (8 * most[1])) for h, v in factors)
