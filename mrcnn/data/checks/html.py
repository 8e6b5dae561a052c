"""The report as one page that needs no other file: pictures are inside it, and it runs no script.

All that comes from the data is escaped: names of files and classes can hold HTML.
"""

import base64
from html import escape

from mrcnn.data.checks.finding import KINDS, SEVERITIES
from mrcnn.data.checks.pictures import draw_picture
from mrcnn.data.files import whole_file

# findings that are shown as pictures, of each kind and severity and in all; rows of a table of findings
PICTURES, ALL_PICTURES, ROWS = 6, 60, 200

# Nothing is loaded from elsewhere and no script runs, whatever the data hold.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff; max-width: 1080px; margin: 2em auto;
 padding: 0 1em }}
h1 {{ font-size: 1.4em; overflow-wrap: anywhere }} h2 {{ font-size: 1.15em; margin-top: 2em }}
h3 {{ font-size: 1em; margin: 1.6em 0 .3em }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ padding: .25em .7em .25em 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4;
 overflow-wrap: anywhere }}
td.n, th.n {{ text-align: right; white-space: nowrap }}
table.rows {{ table-layout: fixed }} table.rows th:nth-child(1) {{ width: 8% }} table.rows th:nth-child(2) {{ width: 20% }}
table.rows th:nth-child(3), table.rows th:nth-child(4) {{ width: 11% }}
.badge {{ display: inline-block; min-width: 4.4em; padding: 0 .4em; text-align: center;
 border-radius: .7em; color: #fff; font-size: .8em }}
.error {{ background: #b3261e }} .warning {{ background: #9a6700 }} .info {{ background: #4b6584 }}
.todo {{ color: #555; margin: 0 0 .5em }}
.pictures {{ display: flex; flex-wrap: wrap; gap: 1em; margin: .6em 0 }}
figure {{ margin: 0; max-width: 304px }} figure.pair {{ max-width: 616px }}
figcaption {{ font-size: .8em; color: #444; overflow-wrap: anywhere }}
figure img {{ display: inline-block; max-width: 300px; border: 1px solid #ccc; margin-right: 2px }}
.bar {{ background: #7a9cc6; height: .8em; min-width: 1px }}
summary {{ cursor: pointer; color: #335 }}
</style>
</head>
<body>
"""


def write_page(report, path):
    """Write the page of a report, whole or not at all.

    Args:
        report: Report.
        path: path.
    """
    with whole_file(path, "w") as file:
        for piece in _page(report):
            file.write(piece)


def _page(report):
    """Make the page, piece by piece."""
    yield _HEAD.format(title=escape(f"Check of {report.source}"))
    yield f"<h1>{escape(report.summary())}</h1>\n"
    yield from _overview(report)
    left = ALL_PICTURES
    for (kind, severity), findings in _groups(report).items():
        yield f'<h3 id="{kind}-{severity}">{_badge(severity)} {escape(KINDS[kind].title)}'
        yield f" ({report.counts[kind][severity]})</h3>\n<p class=\"todo\">{escape(KINDS[kind].todo)}</p>\n"
        shown, figures = 0, []
        for finding in sorted(findings, key=lambda f: -f.weight):
            if finding.picture is not None and shown < min(PICTURES, left):
                figures.append(_figure(finding))
                shown += 1
        left -= shown
        if figures:
            yield f'<div class="pictures">{"".join(figures)}</div>\n'
        yield from _rows(findings, report.counts[kind][severity])
    yield from _statistics(report.statistics)
    yield "</body>\n</html>\n"


def _groups(report):
    """Sort the findings by kind and severity: dict (kind, severity) -> list, in their order."""
    groups = {}
    for finding in report.findings:
        groups.setdefault((finding.kind, finding.severity), []).append(finding)
    return groups


def _badge(severity):
    return f'<span class="badge {severity}">{severity}</span>'


def _overview(report):
    if not report.findings:
        yield "<p>Nothing was found.</p>\n"
        return
    yield "<table>\n"
    for kind, severity in sorted(_groups(report), key=lambda key: SEVERITIES.index(key[1])):
        yield (f'<tr><td>{_badge(severity)}</td><td class="n">{report.counts[kind][severity]}</td>'
               f'<td><a href="#{kind}-{severity}">{escape(KINDS[kind].title)}</a></td>'
               f"<td>{escape(KINDS[kind].todo)}</td></tr>\n")  # fmt: skip
    yield "</table>\n<h2>Findings</h2>\n"


def _figure(finding):
    try:
        images = draw_picture(finding.picture)
    except Exception as error:  # whatever reading an image raises: the finding is told all the same
        images, note = [], f"<br>(no picture: {escape(type(error).__name__)})"
    else:
        note = ""
    tags = "".join(f'<img src="data:image/jpeg;base64,{base64.b64encode(image).decode("ascii")}" alt="">' for image in images)
    pair = ' class="pair"' if len(images) > 1 else ""
    return f"<figure{pair}>{tags}<figcaption>{escape(finding.told())}{note}</figcaption></figure>\n"


def _rows(findings, count):
    yield f"<details{' open' if len(findings) <= 10 else ''}><summary>{count} in words</summary>\n<table class=\"rows\">\n"
    yield "<tr><th>part</th><th>file</th><th>image</th><th>annotation</th><th>what was found</th></tr>\n"
    for finding in findings[:ROWS]:
        row = finding.to_dict()
        cells = (row[key] for key in ("part", "file", "image_id", "annotation_id", "found"))
        yield "<tr>" + "".join(f"<td>{'' if cell is None else escape(str(cell))}</td>" for cell in cells) + "</tr>\n"
    yield "</table>\n"
    if count > ROWS:
        yield f"<p>... and {count - ROWS} more.</p>\n"
    yield "</details>\n"


def _statistics(statistics):
    from mrcnn.data.checks.report import size_lines

    yield "<h2>Parts</h2>\n<table>\n<tr><th>part</th>"
    columns = ("images", "without_objects", "annotations", "crowds")
    yield "".join(f'<th class="n">{name.replace("_", " ")}</th>' for name in columns) + "</tr>\n"
    for part in statistics["parts"]:
        cells = "".join(f'<td class="n">{part[name]}</td>' for name in columns)
        yield f"<tr><td>{escape(part['part'] or part['path'])}</td>{cells}</tr>\n"
    yield "</table>\n<h2>Classes</h2>\n"
    rows = [(row["name"], row["objects"], f"{row['images']} images") for row in statistics["classes"] if row["objects"]]
    yield from _bars(rows)
    sizes = statistics["sizes"]
    if sizes["objects"]:
        yield "<h2>Sides of the objects in the network's input, in pixels</h2>\n"
        yield from _bars([(name, count, "") for name, count in sizes["sides"].items()])
        yield "".join(f"<p>{escape(line)}</p>\n" for line in size_lines(sizes) if not line.startswith("side"))


def _bars(rows):
    """Draw a histogram. Args: rows: list of (name, number, note)."""
    most = max([count for _, count, _ in rows], default=0) or 1
    yield "<table>\n"
    for name, count, note in rows:
        bar = f'<div class="bar" style="width: {100 * count / most:.1f}%"></div>' if count else ""
        yield (f'<tr><td>{escape(str(name))}</td><td class="n">{count}</td><td class="n">{escape(note)}</td>'
               f'<td style="width: 50%">{bar}</td></tr>\n')  # fmt: skip
    yield "</table>\n"
