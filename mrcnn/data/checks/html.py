"""The report as one page that needs no other file: pictures are inside it, and it runs no script.

All that comes from the data is escaped: names of files and classes can hold HTML.
"""

from html import escape

from mrcnn.data.checks.finding import KINDS, SEVERITIES
from mrcnn.data.checks.pictures import draw_picture
from mrcnn.data.files import whole_file
from mrcnn.data.stages import tracked
from mrcnn.viz.html import PAGE_END, bars, page_head, picture

# findings that are shown as pictures, of each kind and severity and in all; rows of a table of findings
PICTURES, ALL_PICTURES, ROWS = 6, 60, 200

_STYLE = """\
table.rows { table-layout: fixed } table.rows th:nth-child(1) { width: 8% } table.rows th:nth-child(2) { width: 20% }
table.rows th:nth-child(3), table.rows th:nth-child(4) { width: 11% }
.badge { display: inline-block; min-width: 4.4em; padding: 0 .4em; text-align: center;
 border-radius: .7em; color: #fff; font-size: .8em }
.error { background: #b3261e } .warning { background: #9a6700 } .info { background: #4b6584 }
.todo { color: #555; margin: 0 0 .5em }
figure { max-width: 304px } figure.pair { max-width: 616px }
figure img { display: inline-block; max-width: 300px; border: 1px solid #ccc; margin-right: 2px }
@media (max-width: 640px) {
 table.kinds td:nth-child(4), table.rows th { display: none }
 table.rows tr { display: block; padding: .3em 0; border-bottom: 1px solid #e4e4e4 }
 table.rows td { display: inline-block; padding: 0 .3em 0 0; border: 0 }
 table.rows td:empty { display: none } table.rows td:nth-child(5) { display: block }
 table.rows td:nth-child(3):not(:empty)::before { content: "image " }
 table.rows td:nth-child(4):not(:empty)::before { content: "annotation " }
}
"""


def write_page(report, path, progress=None):
    """Write the page of a report, whole or not at all.

    Args:
        report: Report.
        path: path.
        progress: function (done, total), called after each picture, or None.
    """
    with whole_file(path, "w") as file:
        for piece in _page(report, progress):
            file.write(piece)


def _page(report, progress):
    """Make the page, piece by piece."""
    yield page_head(f"Check of {report.source}", _STYLE)
    yield f"<h1>{escape(report.summary())}</h1>\n"
    yield from _overview(report)
    groups = _groups(report)
    figures = _figures(groups, progress)
    for (kind, severity), findings in groups.items():
        yield f'<h3 id="{kind}-{severity}">{_badge(severity)} {escape(KINDS[kind].title)}'
        yield f" ({report.counts[kind][severity]})</h3>\n<p class=\"todo\">{escape(KINDS[kind].todo)}</p>\n"
        if figures[kind, severity]:
            yield f'<div class="pictures">{"".join(figures[kind, severity])}</div>\n'
        yield from _rows(findings, report.counts[kind][severity])
    yield from _statistics(report.statistics)
    yield PAGE_END


def _groups(report):
    """Sort the findings by kind and severity: dict (kind, severity) -> list, in their order."""
    groups = {}
    for finding in report.findings:
        groups.setdefault((finding.kind, finding.severity), []).append(finding)
    return groups


def _figures(groups, progress):
    """Draw the weightiest findings of each group: dict (kind, severity) -> list of str."""
    chosen = []
    for key, findings in groups.items():
        drawable = [(key, finding) for finding in sorted(findings, key=lambda f: -f.weight) if finding.picture is not None]
        chosen += drawable[: min(PICTURES, ALL_PICTURES - len(chosen))]
    figures = {key: [] for key in groups}
    for key, finding in tracked(chosen, progress):
        figures[key].append(_figure(finding))
    return figures


def _badge(severity):
    return f'<span class="badge {severity}">{severity}</span>'


def _overview(report):
    if not report.findings:
        yield "<p>Nothing was found.</p>\n"
        return
    yield '<table class="kinds">\n'
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
    tags = "".join(map(picture, images))
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
    yield bars(rows)
    sizes = statistics["sizes"]
    if sizes["objects"]:
        yield "<h2>Sides of the objects in the network's input, in pixels</h2>\n"
        yield bars([(name, count, "") for name, count in sizes["sides"].items()])
        yield "".join(f"<p>{escape(line)}</p>\n" for line in size_lines(sizes) if not line.startswith("side"))
