"""Text that is not UTF-8: what it may be, for messages, and its conversion.

Programs on Windows write text in the encoding of the system's language.
"""

import codecs
import re

from mrcnn.base.errors import DataError
from mrcnn.base.text import short

# encodings in the order in which they are proposed
_PROPOSED = ("gb18030", "shift_jis", "euc_kr", "big5", "cp1252", "cp1251")
_SINGLE_BYTES = ("cp1252", "cp1251")
# UTF-16 and UTF-32 with a byte order mark, which no other text begins with
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
          (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
# advice on a file whose reader takes an encoding
ADVICE = "give its encoding (encoding, --encoding)"
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
# text is converted in pieces of this many bytes to find out whether it is UTF-8, as a file may take half of the memory
_PIECE = 2**20
_MOST = 4


class EncodingError(DataError):
    """A text file is not UTF-8, and its encoding was not given, or is another one."""


def to_utf8(content: bytearray, where: object, encoding: str | None = None, advice: str = ADVICE) -> bytearray:
    """Convert the content of a text file to UTF-8 without a byte order mark.

    Args:
        content: the file. UTF-16 and UTF-32 are recognised by their byte order mark.
        where: its name, for messages.
        encoding: the encoding of text that is not UTF-8, any that Python knows; None refuses such text.
        advice: what to do about it, for messages, to be continued with "such as" and encodings.

    Raises:
        EncodingError: it is not UTF-8, and not in this encoding; the message proposes others.
    """
    if is_utf8(content):
        return content.removeprefix(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else content
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), encoding)
    if encoding is None:
        raise EncodingError(f"{where} is not UTF-8 text: {advice}{_proposals(bytes(content))}")
    try:
        return bytearray(bytes(content).decode(encoding).encode())
    except (UnicodeError, LookupError) as error:
        raise EncodingError(f"{where} cannot be read as {encoding}, {error}: {advice}{_proposals(bytes(content))}") from error


def approximate(content: bytearray) -> bytearray:
    """Convert text of any encoding to UTF-8 so that its ASCII characters are right, to recognise the format of a file."""
    return bytearray(bytes(content).decode("gb18030", "replace").encode())


def is_utf8(content: bytes | bytearray) -> bool:
    """Return whether bytes are text in UTF-8."""
    if content.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), _PIECE):
            decoder.decode(content[start : start + _PIECE], final=start + _PIECE >= len(content))
    except UnicodeDecodeError:
        return False
    return True


def _proposals(content: bytes) -> str:
    """Propose encodings, each with what it makes of the first characters that are not ASCII, as the end of a sentence."""
    found: list[tuple[bool, str]] = []
    for encoding in _PROPOSED:
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        foreign = _FOREIGN.search(text)
        if foreign is None or not foreign[0].isalpha():
            continue
        # an ideograph between Latin letters is rather a letter with an accent
        around = text[max(foreign.start() - 1, 0) : foreign.start()] + text[foreign.end() : foreign.end() + 1]
        is_odd = encoding not in _SINGLE_BYTES and any(map(str.isalpha, around))
        found.append((is_odd, f"{encoding}, which reads {short(foreign[0], 20)!r}"))
    if not found:
        return ""
    return ", such as " + ", or ".join(text for _, text in sorted(found, key=lambda proposal: proposal[0])[:_MOST])
