"""The report of a check as an HTML page: the findings, pictures of the worst, and the statistics.

A picture shows the image around an annotation, with the outline and the box from the data set.

Shape letters: H W image, h w picture, P points.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from markupsafe import Markup

from mrcnn.base.progress import Show, tracked
from mrcnn.geometry.polygons import clip_polygon
from mrcnn.geometry.rle import decode_rle
from mrcnn.tools.doctor.annotations import box_fault, ring_fault, rle_fault
from mrcnn.tools.doctor.findings import KINDS, SEVERITIES, Finding, Picture
from mrcnn.tools.doctor.object_sizes import size_lines
from mrcnn.tools.html import jpeg, render, write_page
from mrcnn.viz.draw import to_rgb

if TYPE_CHECKING:
    from mrcnn.tools.doctor.report import Report

# maximum number of pictures per kind and severity and in total, and of rows in a table of findings
PICTURES, ALL_PICTURES, ROWS = 6, 60, 200

_STYLE = """\
table.rows { table-layout: fixed } table.rows th:nth-child(1) { width: 8% } table.rows th:nth-child(2) { width: 20% }
table.rows th:nth-child(3), table.rows th:nth-child(4) { width: 11% }
.badge { display: inline-block; min-width: 4.4em; padding: 0 .4em; text-align: center;
 border-radius: .7em; color: #fff; font-size: .8em }
.error { background: #b3261e } .warning { background: #9a6700 } .info { background: #4b6584 }
.advice { color: #555; margin: 0 0 .5em }
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
_OVERVIEW = """\
<h1>{{ report.summary() }}</h1>
{% if groups %}
<table class="kinds">
{% for kind, severity in groups %}
<tr><td><span class="badge {{ severity }}">{{ severity }}</span></td>
<td class="n">{{ report.counts[kind][severity] }}</td>
<td><a href="#{{ kind }}-{{ severity }}">{{ kinds[kind].title }}</a></td>
<td>{{ kinds[kind].advice }}</td></tr>
{% endfor %}
</table>
<h2>Findings</h2>
{% else %}
<p>No problems found.</p>
{% endif %}
"""
_GROUP = """\
<h3 id="{{ id }}"><span class="badge {{ severity }}">{{ severity }}</span> {{ kind.title }} ({{ count }})</h3>
<p class="advice">{{ kind.advice }}</p>
{% if figures %}
<div class="pictures">
{% for finding, images, fault in figures %}
<figure{% if images | length > 1 %} class="pair"{% endif %}>{% for image in images %}{{ picture(image) }}{% endfor %}
<figcaption>{{ finding }}{% if fault %}<br>(no picture: {{ fault }}){% endif %}</figcaption></figure>
{% endfor %}
</div>
{% endif %}
<details{% if findings | length <= 10 %} open{% endif %}><summary>all {{ count }} as text</summary>
<table class="rows">
<tr><th>subset</th><th>file</th><th>image</th><th>annotation</th><th>finding</th></tr>
{% for row in rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% if count > rows | length %}
<p>... and {{ count - rows | length }} more.</p>
{% endif %}
</details>
"""
_STATISTICS = """\
<h2>Subsets</h2>
<table>
<tr><th>subset</th>{% for name in columns %}<th class="n">{{ name | replace("_", " ") }}</th>{% endfor %}</tr>
{% for part in parts %}
<tr><td>{{ part.part or part.path }}</td>{% for name in columns %}<td class="n">{{ part[name] }}</td>{% endfor %}</tr>
{% endfor %}
</table>
<h2>Classes</h2>
{{ bars(classes) }}
{% if sizes %}
<h2>Sides of the objects in the network's input, in pixels</h2>
{{ bars(sizes) }}
{% for line in lines %}
<p>{{ line }}</p>
{% endfor %}
{% endif %}
"""
_COLUMNS = ("images", "without_objects", "annotations", "crowds")

_Group = tuple[str, str]  # kind and severity
_Figure = tuple[Finding, list[bytes], str]  # a finding, its JPEGs, and the type of the error if there are none


def write_report(report: "Report", path: Path | str, progress: Show | None = None) -> None:
    """Write the page of a report; `progress` is called after each picture."""
    write_page(path, f"Check of {report.source}", _page(report, progress), _STYLE)


def _page(report: "Report", progress: Show | None) -> Iterator[Markup]:
    groups: dict[_Group, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.kind, finding.severity), []).append(finding)
    ordered = sorted(groups, key=lambda group: SEVERITIES.index(group[1]))
    yield render(_OVERVIEW, report=report, groups=ordered, kinds=KINDS)
    figures = _figures(groups, progress)
    for (kind, severity), findings in groups.items():
        rows = [[row[key] for key in ("part", "file", "image_id", "annotation_id", "found")]
                for row in (finding.to_dict() for finding in findings[:ROWS])]  # fmt: skip
        yield render(_GROUP, id=f"{kind}-{severity}", kind=KINDS[kind], severity=severity, findings=findings, rows=rows,
                     count=report.counts[kind][severity], figures=figures[kind, severity])  # fmt: skip
    statistics, sizes = report.statistics, report.statistics["sizes"]
    classes = [(row["name"], row["objects"], f"{row['images']} images") for row in statistics["classes"] if row["objects"]]
    yield render(_STATISTICS, parts=statistics["parts"], columns=_COLUMNS, classes=classes,
                 sizes=[(name, count, "") for name, count in sizes["sides"].items()] if sizes["objects"] else [],
                 lines=[line for line in size_lines(sizes) if not line.startswith("side")])  # fmt: skip


def _figures(groups: dict[_Group, list[Finding]], progress: Show | None) -> dict[_Group, list[_Figure]]:
    """Draw the findings with the highest weights in each group."""
    chosen: list[tuple[_Group, Finding]] = []
    for group, findings in groups.items():
        drawable = [(group, finding) for finding in sorted(findings, key=lambda f: -f.weight) if finding.picture is not None]
        chosen += drawable[: min(PICTURES, ALL_PICTURES - len(chosen))]
    figures: dict[_Group, list[_Figure]] = {group: [] for group in groups}
    for group, finding in tracked(chosen, progress):
        if finding.picture is not None:
            try:
                figures[group].append((finding, draw_picture(finding.picture), ""))
            except Exception as error:  # a user's load_image may raise anything; the finding is shown without a picture
                figures[group].append((finding, [], type(error).__name__))
    return figures


# --- pictures

# longer side of a picture, and minimum side of the region it shows, in pixels
SIDE, _MIN_SIDE = 300, 40
# margin around an outline, as a fraction of its size; how far a region may extend beyond the image, as a fraction of its size
_AROUND, _BEYOND = 0.6, 0.25
_OUTLINE, _BOX, _OUTSIDE = (255, 90, 0), (0, 150, 255), (96, 96, 96)

_Region = tuple[int, int, int, int]  # (y1, x1, y2, x2)


def draw_picture(picture: Picture) -> list[bytes]:
    """Draw the picture of a finding, one JPEG per image. Exceptions from reading an image are not caught."""
    images = [to_rgb(read()) for read in picture.images]
    first = _draw(images[0], _outlines(picture.segmentation, images[0].shape[:2]), _corners(picture.box))
    return [jpeg(first), *(jpeg(_scaled(image)[0]) for image in images[1:])]


def _outlines(segmentation: Any, size: tuple[int, int]) -> list[Float[np.ndarray, "_ 2"]]:
    """Return the outlines of a segmentation that can be drawn, as x, y points."""
    if isinstance(segmentation, dict):
        if rle_fault(segmentation, size):
            return []
        contours, _ = cv2.findContours(decode_rle(segmentation).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        return [contour.reshape(-1, 2) + 0.5 for contour in contours]
    rings = segmentation if isinstance(segmentation, list | tuple) else []
    # without this, points far outside would leave the picture empty
    margin = _BEYOND * max(size)
    rings = [clip_polygon(ring, size, margin) for ring in rings if ring_fault(ring) is None]
    return [ring.reshape(-1, 2) for ring in rings if len(ring)]


def _corners(box: Any) -> Float[np.ndarray, "4 2"] | None:
    """Return the corners of a bbox as x, y points, or None if it cannot be drawn."""
    fault = None if box is None else box_fault(box)
    if box is None or (fault and "above 0" not in fault):
        return None
    x, y, w, h = (float(np.clip(v, -1e6, 1e6)) for v in box)
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def _draw(image: UInt8[np.ndarray, "H W 3"], outlines: Sequence[np.ndarray], corners: np.ndarray | None,
          ) -> UInt8[np.ndarray, "h w 3"]:  # fmt: skip
    """Crop the image to the region around the outlines, and draw them."""
    lines = [(ring, _OUTLINE) for ring in outlines] + ([(corners, _BOX)] if corners is not None else [])
    region = _region([points for points, _ in lines], image.shape[:2])
    part, scale = _scaled(_cut(image, region))
    for points, color in lines:
        moved = np.clip((points - (region[1], region[0])) * scale, -1e4, 1e4)
        polyline = np.rint(moved * 16).astype(np.int32).reshape(-1, 1, 2)  # sixteenths of a pixel
        cv2.polylines(part, [polyline], True, (255, 255, 255), 3, cv2.LINE_AA, 4)
        cv2.polylines(part, [polyline], True, color, 1 if color == _BOX else 2, cv2.LINE_AA, 4)
    return part


def _region(outlines: Sequence[np.ndarray], size: tuple[int, int]) -> _Region:
    """Choose the region of an image to show, which may extend beyond it."""
    whole = 0, 0, int(size[0]), int(size[1])
    if not outlines:
        return whole
    points = np.concatenate(outlines)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    around = max(_AROUND * max(y2 - y1, x2 - x1), _MIN_SIDE / 2)
    beyond = _BEYOND * max(size)

    def extent(low: Any, high: Any, length: int) -> tuple[int, int]:
        """Return the range to show along an axis; it extends beyond the image only as far as there are points."""
        first = max(low - around, 0 if low >= 0 else max(low - _MIN_SIDE / 4, -beyond))
        last = min(high + around, length if high <= length else min(high + _MIN_SIDE / 4, length + beyond))
        return int(np.floor(first)), int(np.ceil(last))

    (top, bottom), (left, right) = extent(y1, y2, size[0]), extent(x1, x2, size[1])
    if bottom - top < 2 or right - left < 2:  # everything lies far outside
        return whole
    return top, left, bottom, right


def _cut(image: UInt8[np.ndarray, "H W 3"], region: _Region) -> UInt8[np.ndarray, "h w 3"]:
    """Crop an image to a region; grey where it extends beyond the image."""
    y1, x1, y2, x2 = region
    part = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    part[:] = _OUTSIDE
    top, left = max(y1, 0), max(x1, 0)
    inside = image[top : max(y2, 0), left : max(x2, 0)]
    part[top - y1 : top - y1 + inside.shape[0], left - x1 : left - x1 + inside.shape[1]] = inside
    return part


def _scaled(image: UInt8[np.ndarray, "H W 3"]) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """Resize an image so that its longer side is SIDE, and return it with the scale."""
    scale = SIDE / max(image.shape[:2])
    size = tuple(max(round(v * scale), 1) for v in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST), scale
