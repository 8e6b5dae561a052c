"""Finding damaged PNG files before they are decoded.

OpenCV allocates what a chunk declares, up to 4 GiB, before it reads it, and libpng writes its errors and warnings to standard
error, where no program can catch them.

Source: W3C Portable Network Graphics specification (third edition), 5.3 (chunk layout) and 5.4 (chunk naming: chunks that are
needed begin with a capital letter).
"""

import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bytes of a chunk besides its content: length, type, checksum.
_LENGTH, _FRAME = 4, 12
# the chunks that pixels are decoded from; the last one ends the file
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"


def is_png(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a PNG."""
    return head.startswith(_SIGNATURE)


def png_fault(content: bytes) -> str | None:
    """Return why a PNG file is not complete, or None.

    A file is complete if each of its chunks lies within it. Bytes after the last chunk are ignored, and that chunk itself may
    be missing, because it is empty. `png_pixels` checks the checksums.

    Args:
        content: the file.
    """
    is_cut = any(end > len(content) for _, _, end in _chunks(content))
    return "it is cut off: a chunk ends after the file" if is_cut else None


def png_pixels(content: bytes) -> bytes:
    """Return a PNG file without the chunks that describe colours, texts and times, about which libpng writes warnings.

    Args:
        content: a file without a `png_fault`.

    Raises:
        ValueError: the checksum of a chunk of pixels is wrong, or a chunk that is needed is of an unknown type. The message is
            the end of a sentence.
    """
    kept = [_SIGNATURE]
    for kind, start, end in _chunks(content):
        if kind not in _PIXEL_CHUNKS:
            if not (kind.isalpha() and kind[:1].islower()):  # only these can be left out
                raise ValueError(f"it is damaged: its chunk at byte {start} is of no known type")
            continue
        if zlib.crc32(content[start + _LENGTH : end - _LENGTH]) != int.from_bytes(content[end - _LENGTH : end], "big"):
            raise ValueError(f"it is damaged: the checksum of its chunk {kind.decode()} at byte {start} is wrong")
        kept.append(content[start:end])
    return b"".join((*kept, _END))


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, first byte, byte after the last) of each chunk before the last one."""
    position = len(_SIGNATURE)
    while position < len(content):
        length = int.from_bytes(content[position : position + _LENGTH], "big")
        kind = content[position + _LENGTH : position + 2 * _LENGTH]
        if kind == b"IEND":
            return
        yield kind, position, position + _FRAME + length
        position += _FRAME + length
