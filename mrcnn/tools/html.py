"""HTML pages: the page template, and shared pictures, tables and bar charts.

A page is a single file with embedded pictures. It runs no scripts and loads nothing, and its content security policy forbids
both. Names of files and classes can contain HTML, so everything is rendered by jinja2 with autoescape: strings are escaped,
`Markup` is inserted as HTML.

Shape letters: H W image.
"""

import base64
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from mrcnn.base.atomic_write import atomic_open

# Source: the 16 bits of the frame header, ITU-T T.81, B.2.2, and libjpeg's JPEG_MAX_DIMENSION
MAX_JPEG_SIDE = 65500

_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 1080px; margin: 2em auto;
 padding: 0 1em }
h1 { font-size: 1.4em; overflow-wrap: anywhere } h2 { font-size: 1.15em; margin-top: 2em }
h3 { font-size: 1em; margin: 1.6em 0 .3em }
p, li { overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td, th { padding: .25em .7em .25em 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4;
 overflow-wrap: anywhere }
td.n, th.n { text-align: right; white-space: nowrap }
.scroll { overflow-x: auto } .scroll td, .scroll th { overflow-wrap: break-word }
.pictures { display: flex; flex-wrap: wrap; gap: 1em; margin: .6em 0 }
figure { margin: 0 } figure img { max-width: 100% }
figcaption { font-size: .8em; color: #444; overflow-wrap: anywhere }
.bar { background: #7a9cc6; height: .8em; min-width: 1px }
summary { cursor: pointer; color: #335 }
"""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
{{ style }}</style>
</head>
<body>
{% for piece in body %}{{ piece }}{% endfor %}
</body>
</html>
"""
_PICTURE = '<img src="data:image/{{ kind }};base64,{{ content }}" alt="{{ alt }}">'
_TABLE = """\
{% set right = ' class="n"' | safe %}
{% macro row(values, tag) %}
<tr>{% for value in values %}<{{ tag }}{{ right if loop.index0 in numbers else none }}>{{ value }}</{{ tag }}>{% endfor %}</tr>
{% endmacro %}
<div class="scroll"><table>
{{ row(head, "th") }}{% for values in rows %}{{ row(values, "td") }}{% endfor %}
</table></div>
"""
_BARS = """\
<table>
{% for name, count, note in rows %}
<tr><td>{{ name }}</td><td class="n">{{ count }}</td><td class="n">{{ note }}</td><td style="width: 50%">
{%- if count %}<div class="bar" style="width: {{ "%.1f" | format(100 * count / longest) }}%"></div>{% endif %}</td></tr>
{% endfor %}
</table>
"""
_ENVIRONMENT = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True,
                           finalize=lambda value: "" if value is None else value)  # fmt: skip


def write_page(path: Path | str, title: str, body: Iterable[str], style: str = "") -> None:
    """Write a page; if making a piece of the body fails, no file is written.

    Args:
        body: pieces of the page in order; each is written before the next is made. Anything but Markup is escaped.
        style: CSS for this page, in addition to the shared style.
    """
    with atomic_open(path) as file:
        for piece in _template(_PAGE).generate(title=title, style=Markup(_STYLE + style), body=body):
            # names of files may contain what UTF-8 cannot encode
            file.write(piece.encode("utf-8", "replace"))


def render(source: str, **values: object) -> Markup:
    """Render a jinja2 template: values are escaped unless they are Markup, and None becomes an empty string.

    Templates can call `picture`, `table` and `bars`.
    """
    return Markup(_template(source).render(values))


@cache
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source, globals={"picture": picture, "table": table, "bars": bars})


def picture(content: bytes, kind: str = "jpeg", alt: str = "") -> Markup:
    """Embed a picture.

    Args:
        content: bytes of the picture's file.
        kind: "jpeg", "png" or "svg+xml".
        alt: alternative text.
    """
    return render(_PICTURE, content=base64.b64encode(content).decode("ascii"), kind=kind, alt=alt)


def jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = 80) -> bytes:
    """Encode an image as JPEG, with a quality from 1 to 100.

    Raises:
        ValueError: the image is larger than a JPEG can be.
    """
    if max(image.shape[:2]) > MAX_JPEG_SIDE:
        raise ValueError(f"a picture of {image.shape[0]} x {image.shape[1]} pixels (height x width) cannot be written as JPEG, "
                         f"whose sides are at most {MAX_JPEG_SIDE}")
    _, content = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()


def table(head: Sequence[object], rows: Iterable[Sequence[object]], numbers: Collection[int] = ()) -> Markup:
    """Make a table; if it is wider than the page, it scrolls horizontally.

    Args:
        numbers: indices of right-aligned columns.
    """
    return render(_TABLE, head=head, rows=rows, numbers=numbers)


def bars(rows: Sequence[tuple[object, int, object]]) -> Markup:
    """Make a horizontal bar chart.

    Args:
        rows: (name, count, note) of each bar.
    """
    return render(_BARS, rows=rows, longest=max((count for _, count, _ in rows), default=0))
