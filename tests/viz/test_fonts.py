"""Characters of any script are drawn with an installed font that has them, or else as boxes, with a single warning."""
import logging
import warnings

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import pyplot as plt
from matplotlib.font_manager import fontManager

from mrcnn.viz import fonts
from mrcnn.viz.fonts import DEFAULT_FONT, drawable, figure_text, split_by_font
from mrcnn.viz.labels import Label, add_captions, draw_labels, text_size

# private-use characters, which no installed font has
KNOWN, UNKNOWN = "\ue123", "\ue456"


@pytest.fixture
def black_square(tmp_path, monkeypatch):
    """Path of an installed font with a single character, KNOWN, which is a black square as high as the line."""
    pen = TTGlyphPen(None)
    for i, point in enumerate(((0, 0), (0, 800), (800, 800), (800, 0))):
        (pen.lineTo if i else pen.moveTo)(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(KNOWN): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (800, 0), "square": (800, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Black Square", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(tmp_path / "square.ttf")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    monkeypatch.setitem(matplotlib.rcParams, "font.family", ["sans-serif"])
    fontManager.addfont(tmp_path / "square.ttf")
    for cached in (fonts._font_of, fonts._installed):
        cached.cache_clear()
    yield str(tmp_path / "square.ttf")
    for cached in (fonts._font_of, fonts._installed):
        cached.cache_clear()


def test_font_with_the_character_is_used(black_square):
    assert drawable(f"a{KNOWN} 0.95") == f"a{KNOWN} 0.95"
    assert list(split_by_font(f"a{KNOWN}{KNOWN}b")) == [
        (DEFAULT_FONT, "a"), (black_square, KNOWN * 2), (DEFAULT_FONT, "b")]  # fmt: skip
    # by its metrics, the square is 0.8 of the font size wide
    assert text_size(f"a{KNOWN}", 100)[1] == pytest.approx(text_size("a", 100)[1] + 80, abs=1)


def test_character_is_drawn_in_pictures_and_figures(black_square):
    label = Label(KNOWN, (30, 5, 50, 40), (1.0, 1.0, 1.0))
    picture = draw_labels(np.full((60, 60, 3), 120, np.uint8), [label], 20)
    # 16 x 16 black pixels; the box of an unknown character is only an outline
    assert 15 * 15 <= (picture == 0).all(axis=2).sum() <= 18 * 18
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plt.figure(figsize=(1, 1), dpi=100)
        figure.text(0.1, 0.1, figure_text(KNOWN), fontsize=72 / 100 * 50)
        figure.canvas.draw()
        dark = (np.asarray(figure.canvas.buffer_rgba())[:, :, :3] == 0).all(axis=2).sum()
    plt.close(figure)
    assert 38 * 38 <= dark <= 42 * 42


def test_character_that_no_font_has_is_a_box_and_is_reported_once(monkeypatch, caplog):
    monkeypatch.setattr(fonts.logger, "filters", [fonts._Once()])
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawable(f"{UNKNOWN}a\n") == "□a\n"
        assert drawable("\ud800\ue457") == "□□", "a lone surrogate is no character"
        figure = plt.figure()
        figure.text(0, 0, figure_text(f"{UNKNOWN} costs 5$ or 6$"))
        figure.canvas.draw()
        draw_labels(np.zeros((60, 60, 3), np.uint8), [Label("\ud800", (30, 5, 50, 40), (1.0, 1.0, 1.0))])
    plt.close(figure)
    assert [record.getMessage()[:40] for record in caplog.records] == ["no installed font has the letters \\ue456"]


def test_characters_of_the_default_font_are_unchanged():
    for text in ("cat 0.93", "Žluť", "Ωμέγα", "кот"):
        assert drawable(text) == text and list(split_by_font(text)) == [(DEFAULT_FONT, text)]
    assert figure_text("5$") == r"5\$"


@pytest.mark.parametrize("name", [
    "🔥 fire", "👨\u200d👩\u200d👧 family", "العربية", "עברית", "e\u0301", "क्षत्रिय", "\u202eabc\u202c", "\x00nul", "tab\there",
    "new\nline",
    "", " ", "\ufeffbom", "a" * 500, "$a$ $b$", "$\\frac", "\\frac{1}", "\U0010ffff", "日本語", "\ud83d", "50%", "{x}", "<b>",
])  # fmt: skip
def test_any_class_name_can_be_drawn(name):
    image = np.zeros((80, 200, 3), np.uint8)
    label = Label(name, (20, 5, 60, 100), (1.0, 1.0, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_labels(image, [label]).any() == bool(name)
        figure, ax = plt.subplots(figsize=(2, 1))
        ax.imshow(image)
        add_captions(ax, [label], image.shape)
        ax.set_title(figure_text(name))
        ax.barh([figure_text(name)], [1])
        figure.canvas.draw()
    plt.close(figure)
