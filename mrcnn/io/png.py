"""Finding PNG files that are cut off. OpenCV allocates what a chunk declares, up to 4 GiB, before it reads it.

Source: W3C Portable Network Graphics specification (third edition), 5.3 (chunk layout).
"""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bytes of a chunk besides its content: length, type, checksum.
_LENGTH, _FRAME = 4, 12


def is_png(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a PNG."""
    return head.startswith(_SIGNATURE)


def png_fault(content: bytes) -> str | None:
    """Return why a PNG file is not complete, or None.

    A file is complete if each of its chunks lies within it. Bytes after the last chunk are ignored, and that chunk itself may
    be missing, because it is empty. Checksums are left to the decoders.

    Args:
        content: the file.
    """
    position = len(_SIGNATURE)
    while position < len(content):
        length = int.from_bytes(content[position : position + _LENGTH], "big")
        kind = content[position + _LENGTH : position + 2 * _LENGTH]
        if kind == b"IEND":
            break
        position += _FRAME + length
    return "it is cut off: a chunk ends after the file" if position > len(content) else None
