"""The parts of a page. Content of the data never becomes HTML."""
import base64
import io

import numpy as np
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup
from PIL import Image

from mrcnn.tools.html import bars, jpeg, picture, render, table, write_page

EVIL = '<img src=x onerror="alert(1)">&'
SAFE = "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp;"


def test_a_template_escapes_every_value_that_is_not_markup():
    source = "<p>{{ a }}{{ b }}{{ c }}{{ d }}</p>"
    assert render(source, a=EVIL, b=Markup("<b>x</b>"), c=None, d=3) == Markup(f"<p>{SAFE}<b>x</b>3</p>")
    assert render("{{ table(['a'], [[a]]) }}", a=EVIL) == table(["a"], [[EVIL]])
    with pytest.raises(UndefinedError, match="'b' is undefined"):
        render("{{ b }}", a=1)


def test_a_page_allows_only_its_own_pictures_and_style(tmp_path):
    write_page(tmp_path / "a.html", EVIL, [Markup("<h1>a</h1>"), EVIL], "p > b { color: red }")
    page = (tmp_path / "a.html").read_text()
    assert f"<title>{SAFE}</title>" in page and "p > b { color: red }</style>" in page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page and "width=device-width" in page
    assert f"<body>\n<h1>a</h1>{SAFE}</body>" in page


def test_page_is_written_completely_or_not_at_all(tmp_path):
    def body():
        yield Markup("<p>a</p>")
        raise ValueError("no second piece")

    with pytest.raises(ValueError, match="no second piece"):
        write_page(tmp_path / "a.html", "title", body())
    assert list(tmp_path.iterdir()) == []


def test_a_picture_contains_its_bytes():
    tag = picture(b"\x00\xffpixels", "png", alt='a "b" <c>')
    start, _, rest = tag.partition("base64,")
    assert start == '<img src="data:image/png;' and base64.b64decode(rest.split('"')[0]) == b"\x00\xffpixels"
    assert 'alt="a &#34;b&#34; &lt;c&gt;"' in tag and isinstance(tag, Markup)


def test_pixels_are_encoded_in_their_colours():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:] = (200, 100, 50)
    decoded = np.asarray(Image.open(io.BytesIO(jpeg(image, 95)))).astype(int)
    assert decoded.shape == image.shape and np.abs(decoded - (200, 100, 50)).max() <= 4
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert len(jpeg(noise, 20)) < len(jpeg(noise, 90))


def test_a_table_has_its_cells_and_scrolls():
    html = table(["name", "count"], [[EVIL, 3], [Markup("<b>b</b>"), None]], numbers=(1,))
    assert html == Markup(
        '<div class="scroll"><table>\n<tr><th>name</th><th class="n">count</th></tr>\n'
        f'<tr><td>{SAFE}</td><td class="n">3</td></tr>\n<tr><td><b>b</b></td><td class="n"></td></tr>\n</table></div>\n')


def test_length_of_a_bar_is_relative_to_the_longest():
    html = bars([("a", 10, EVIL), ("b", 5, ""), ("c", 0, "")])
    assert "width: 100.0%" in html and "width: 50.0%" in html and html.count('class="bar"') == 2 and SAFE in html
    assert bars([]) == "<table>\n</table>\n"
