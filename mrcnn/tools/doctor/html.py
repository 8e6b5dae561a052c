"""The report as one page that needs no other file: pictures are inside it, and it runs no script.

All that comes from the data is escaped: names of files and classes can hold HTML.

Small pictures of findings for the page: the image around the place, with the outline and the box that stand there.

Shape letters: H W image, P points.
"""

import cv2
import numpy as np
from markupsafe import Markup, escape

from mrcnn.base.progress import tracked
from mrcnn.geometry.polygons import clip_polygon
from mrcnn.geometry.rle import decode_rle
from mrcnn.tools import html
from mrcnn.tools.doctor.finding import KINDS, SEVERITIES
from mrcnn.tools.doctor.outlines import box_fault, ring_fault, rle_fault
from mrcnn.tools.html import bars, picture
from mrcnn.viz.draw import to_rgb

# sides of a picture, and of the least part of the image that is shown, in pixels
SIDE, _LEAST = 300, 40
# what is around an outline, as a share of its size; how far beyond the image is shown, as a share of the image
_AROUND, _BEYOND = 0.6, 0.25
_OUTLINE, _BOX, _PAPER = (255, 90, 0), (0, 150, 255), (96, 96, 96)
_QUALITY = 80


def draw_picture(picture):
    """Draw a picture of a finding.

    Args:
        picture: Picture.

    Returns:
        list of bytes, a JPEG for each of its images.

    Raises:
        What reading an image raises.
    """
    images = [to_rgb(read()) for read in picture.images]
    first = _draw(images[0], _outlines(picture.segmentation, images[0].shape[:2]), _corners(picture.box))
    return [_jpeg(first), *(_jpeg(_scaled(image)[0]) for image in images[1:])]


def _outlines(segmentation, size):
    """Give what can be drawn of a segmentation: list of float [P, 2] x, y."""
    if isinstance(segmentation, dict):
        if rle_fault(segmentation, size):
            return []
        found, _ = cv2.findContours(decode_rle(segmentation).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        return [contour.reshape(-1, 2) + 0.5 for contour in found]
    rings = segmentation if isinstance(segmentation, list | tuple) else []
    # what lies far outside would make the picture one of nothing
    margin = _BEYOND * max(size)
    rings = [clip_polygon(ring, size, margin) for ring in rings if ring_fault(ring) is None]
    return [ring.reshape(-1, 2) for ring in rings if len(ring)]


def _corners(box):
    """Give the corners of a bbox: float [4, 2] x, y, or None where it is none."""
    if box is None or (box_fault(box) and "above 0" not in box_fault(box)):
        return None
    x, y, w, h = (float(np.clip(v, -1e6, 1e6)) for v in box)
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def _draw(image, outlines, corners):
    """Cut out what is around the outlines, and draw them: uint8 [h, w, 3]."""
    lines = [(ring, _OUTLINE) for ring in outlines] + ([(corners, _BOX)] if corners is not None else [])
    region = _region([points for points, _ in lines], image.shape[:2])
    part, scale = _scaled(_cut(image, region))
    for points, color in lines:
        moved = np.clip((points - (region[1], region[0])) * scale, -1e4, 1e4)
        corners = np.rint(moved * 16).astype(np.int32).reshape(-1, 1, 2)  # sixteenths of a pixel
        cv2.polylines(part, [corners], True, (255, 255, 255), 3, cv2.LINE_AA, 4)
        cv2.polylines(part, [corners], True, color, 1 if color == _BOX else 2, cv2.LINE_AA, 4)
    return part


def _region(points, size):
    """Choose the part of an image to show: (y1, x1, y2, x2) int, which may reach out of it."""
    if not points:
        return 0, 0, int(size[0]), int(size[1])
    points = np.concatenate(points)
    x1, y1 = points.min(axis=0)
    x2, y2 = points.max(axis=0)
    around = max(_AROUND * max(y2 - y1, x2 - x1), _LEAST / 2)
    beyond = _BEYOND * max(size)

    def reach(low, high, length):
        """From where to where to show an axis: beyond the image only as far as something lies there."""
        first = max(low - around, 0 if low >= 0 else max(low - _LEAST / 4, -beyond))
        last = min(high + around, length if high <= length else min(high + _LEAST / 4, length + beyond))
        return int(np.floor(first)), int(np.ceil(last))

    (y1, y2), (x1, x2) = reach(y1, y2, size[0]), reach(x1, x2, size[1])
    if y2 - y1 < 2 or x2 - x1 < 2:  # it all lies far outside: show the image
        return 0, 0, int(size[0]), int(size[1])
    return y1, x1, y2, x2


def _cut(image, region):
    """Cut a region out of an image; beyond it lies grey paper."""
    y1, x1, y2, x2 = region
    part = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    part[:] = _PAPER
    top, left = max(y1, 0), max(x1, 0)
    inside = image[top : max(y2, 0), left : max(x2, 0)]
    part[top - y1 : top - y1 + inside.shape[0], left - x1 : left - x1 + inside.shape[1]] = inside
    return part


def _scaled(image):
    """Bring the longer side of an image to SIDE: (uint8 [h, w, 3], scale)."""
    scale = SIDE / max(image.shape[:2])
    size = tuple(max(round(v * scale), 1) for v in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST), scale


def _jpeg(image):
    done, content = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} could not be written as JPEG")
    return content.tobytes()


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
    html.write_page(path, f"Check of {report.source}", map(Markup, _page(report, progress)), _STYLE)


def _page(report, progress):
    """Make the page, piece by piece."""
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
    from mrcnn.tools.doctor.report import size_lines

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
