"""The parts of a page: nothing of the data becomes HTML."""
import base64

from mrcnn.viz.html import PAGE_END, Markup, bars, page_head, picture, table, text

EVIL = '<img src=x onerror="alert(1)">&'
SAFE = "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;"


def test_text_is_escaped_unless_it_is_markup():
    assert text(EVIL) == SAFE and text(Markup("<b>x</b>")) == "<b>x</b>" and text(None) == "" and text(3) == "3"


def test_a_page_allows_nothing_but_its_own_pictures_and_style():
    page = page_head(EVIL, "p { color: red }") + PAGE_END
    assert f"<title>{SAFE}</title>" in page and "p { color: red }</style>" in page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert page.count("<body>") == page.count("</body>") == 1 and "width=device-width" in page


def test_a_picture_holds_its_bytes():
    tag = picture(b"\x00\xffpixels", "png", alt='a "b" <c>')
    begin, _, rest = tag.partition("base64,")
    assert begin == '<img src="data:image/png;' and base64.b64decode(rest.split('"')[0]) == b"\x00\xffpixels"
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in tag and isinstance(tag, Markup)


def test_a_table_has_its_cells_and_scrolls():
    found = table(["name", "count"], [[EVIL, 3], [Markup("<b>b</b>"), None]], numbers=(1,))
    assert f'<tr><td>{SAFE}</td><td class="n">3</td></tr>' in found
    assert '<tr><td><b>b</b></td><td class="n"></td></tr>' in found
    assert '<tr><th>name</th><th class="n">count</th></tr>' in found and found.startswith('<div class="scroll">')


def test_bars_are_as_long_as_their_share_of_the_longest():
    found = bars([("a", 10, EVIL), ("b", 5, ""), ("c", 0, "")])
    assert "width: 100.0%" in found and "width: 50.0%" in found and found.count('class="bar"') == 2 and SAFE in found
    assert bars([]) == "<table>\n</table>\n"
