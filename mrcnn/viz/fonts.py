"""Letters of any script in pictures and figures: from the font that ships with matplotlib, or else from an installed one."""

import functools
import logging
import os
import unicodedata
from collections.abc import Iterator

import matplotlib
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

from mrcnn.base.text import printable

logger = logging.getLogger(__name__)

# the same on every machine, with Latin, Greek, Cyrillic, Hebrew and Arabic letters
DEFAULT_FONT = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
# stands for a letter that no font has
_BOX = "□"
# fonts that have a box for every letter, and fonts of coloured pictures, which Pillow cannot scale
_UNSUITABLE = ("LastResort", "Emoji")
_NORMAL_WEIGHT = 400


def drawable(text: object) -> str:
    """Prepare a text for a picture or a figure.

    matplotlib's list of font families is extended by the fonts that the text needs. A letter that no installed font has
    becomes a box; a warning says so once.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    letters = [letter if letter in "\n " or _font_of(letter) else _BOX for letter in text]
    missing = "".join(dict.fromkeys(letter for letter, kept in zip(text, letters, strict=True) if letter != kept))
    if missing:
        logger.warning("no installed font has the letters %s: pictures show %s for them. Install a font that has them, for "
                       "example with apt-get install fonts-noto-core fonts-noto-cjk.", printable(missing), _BOX)  # fmt: skip
    families = list(matplotlib.rcParams["font.family"])
    for font in dict.fromkeys(_font_of(letter) for letter in text):
        name = None if font in (None, DEFAULT_FONT) else _installed()[font]
        if name is not None and name not in families:
            families.append(name)
            matplotlib.rcParams["font.family"] = families
    return "".join(letters)


def figure_text(text: object) -> str:
    """Prepare a name for a matplotlib text: `drawable`, and with dollar signs escaped, which would be taken for maths."""
    return drawable(text).replace("$", r"\$")


def split_by_font(text: str) -> Iterator[tuple[str, str]]:
    """Split a drawable text into parts with one font each: yield (file of the font, part)."""
    font, part = DEFAULT_FONT, ""
    for letter in text:
        # digits, spaces and accents stay in the font of the letters before them
        stays = unicodedata.category(letter)[0] != "L" and ord(letter) in _letters(font)
        wanted = font if stays else _font_of(letter) or DEFAULT_FONT
        if wanted != font and part:
            yield font, part
            part = ""
        font, part = wanted, part + letter
    if part:
        yield font, part


@functools.cache
def _font_of(letter: str) -> str | None:
    """Return the file of a font that has a letter; None if there is none."""
    for font in (DEFAULT_FONT, *_installed()):
        if ord(letter) in _letters(font):
            return font
    return None


@functools.cache
def _installed() -> dict[str, str]:
    """Return the names of the installed fonts by file, upright ones of normal weight first."""
    entries = [entry for entry in fontManager.ttflist if not any(word in entry.fname for word in _UNSUITABLE)]
    entries.sort(key=lambda entry: (entry.style != "normal", abs(_weight(entry.weight) - _NORMAL_WEIGHT), entry.name))
    return {entry.fname: entry.name for entry in entries}


def _weight(weight: object) -> int:
    """Return the weight of a font as a number; matplotlib lists some by name."""
    return weight if isinstance(weight, int) else {"bold": 700, "light": 300}.get(str(weight), _NORMAL_WEIGHT)


@functools.lru_cache(maxsize=64)
def _letters(font: str) -> frozenset[int]:
    """Return the code points of the letters of a font."""
    try:
        return frozenset(FT2Font(font).get_charmap())
    except (OSError, RuntimeError):  # the list of fonts is out of date, or a font is damaged
        return frozenset()


class _Once(logging.Filter):
    """Lets the first record pass."""

    passed = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is the first."""
        first, self.passed = not self.passed, True
        return first


logger.addFilter(_Once())
