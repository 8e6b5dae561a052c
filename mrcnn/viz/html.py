"""What the project's HTML pages share: the frame of a page, pictures inside it, tables and bars.

A page is one file that needs no other: it loads nothing and runs no script, whatever the data hold. All text is
escaped, since names of files and classes can hold HTML.
"""

import base64
from html import escape

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
"""
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
PAGE_END = "</body>\n</html>\n"


class Markup(str):
    """Text that is HTML already, and is not escaped again."""


def text(value):
    """Make a value HTML: Markup stays, None is nothing, anything else is escaped. Returns: str."""
    if isinstance(value, Markup):
        return value
    return "" if value is None else escape(str(value))


def page_head(title, style=""):
    """Return the beginning of a page, up to its body: str. `PAGE_END` ends it.

    Args:
        title: str.
        style: str. CSS of this kind of page, after that of all of them.
    """
    return _HEAD.format(title=escape(title), style=_STYLE + style)


def picture(content, kind="jpeg", alt=""):
    """Put a picture into the page.

    Args:
        content: bytes of the file.
        kind: "jpeg", "png" or "svg+xml".
        alt: str. What it shows, for those who do not see it.

    Returns:
        Markup.
    """
    return Markup(f'<img src="data:image/{kind};base64,{base64.b64encode(content).decode("ascii")}" alt="{escape(alt)}">')


def table(head, rows, numbers=()):
    """Make a table; one that is wider than the page scrolls inside its own box.

    Args:
        head: list of column titles.
        rows: list of lists of values, Markup among them where it is meant as HTML.
        numbers: positions of columns that stand to the right.

    Returns:
        Markup.
    """

    def line(values, tag):
        number = ' class="n"'
        cells = (f"<{tag}{number if ix in numbers else ''}>{text(value)}</{tag}>" for ix, value in enumerate(values))
        return f"<tr>{''.join(cells)}</tr>\n"

    lines = [line(head, "th"), *(line(row, "td") for row in rows)]
    return Markup(f'<div class="scroll"><table>\n{"".join(lines)}</table></div>\n')


def bars(rows):
    """Make a histogram.

    Args:
        rows: list of (name, number, note).

    Returns:
        Markup.
    """
    most = max([count for _, count, _ in rows], default=0) or 1
    lines = []
    for name, count, note in rows:
        bar = f'<div class="bar" style="width: {100 * count / most:.1f}%"></div>' if count else ""
        lines.append(f'<tr><td>{text(name)}</td><td class="n">{count}</td><td class="n">{text(note)}</td>'
                     f'<td style="width: 50%">{bar}</td></tr>\n')  # fmt: skip
    return Markup(f"<table>\n{''.join(lines)}</table>\n")
