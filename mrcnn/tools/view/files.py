"""Annotated images of a data set as files: individual pictures, contact sheets, or an HTML page.

Shape letters: h w picture.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, Stages, tracked, unseen
from mrcnn.base.text import first_line
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.formats.cocolvis import CocoLvisDataset
from mrcnn.geometry.boxes import Integer
from mrcnn.tools import html
from mrcnn.tools.view.figures import describe, draw_annotations, statistics_figure, view_figure
from mrcnn.tools.view.statistics import DatasetStatistics
from mrcnn.tools.write.counts import save_counts
from mrcnn.tools.write.images import unique_name
from mrcnn.viz.cocolvis import layers_figure

# number of images per sheet, and the quality of JPEG files
SHEET, QUALITY = 24, 92
COUNTS_NAME = "counts.csv"
# longer side of a picture on a page in pixels, and its quality
_PAGE_SIDE, _PAGE_QUALITY = 480, 82
# maximum number of classes in the chart of a page, and maximum for the chart to be expanded initially
_PAGE_CLASSES, _OPEN_CLASSES = 200, 10
_STYLE = "figure { max-width: 340px } figure.layers { max-width: 100% } figure img { display: block }\n"
_PART = """\
{% if part.name %}
<h2>{{ part.name }}</h2>
{% endif %}
{% for line in part.statistics.summary() %}
<p>{{ line }}</p>
{% endfor %}
<details{% if counts | length <= open_classes %} open{% endif %}><summary>instances of each class, and the number of images \
with it</summary>
{{ bars(rows) }}
{% if counts | length > rows | length %}
<p>... and {{ counts | length - rows | length }} more classes.</p>
{% endif %}
</details>
<div class="pictures">
"""
_FIGURE = """\
<figure>{% if jpeg %}{{ picture(jpeg, alt=text) }}{% endif %}<figcaption><b>{{ name }}</b><br>{{ text }}</figcaption></figure>
{% if layers %}
<figure class="layers">{{ picture(layers, alt="layers of " ~ name) }}</figure>
{% endif %}
"""


@dataclass(frozen=True)
class ViewPart:
    """A part of a data set to show.

    Attributes:
        name: such as "train"; empty for an undivided data set.
        dataset: prepared.
        image_ids: indices of the images to show.
    """

    name: str
    dataset: Dataset
    image_ids: Sequence[Integer]
    statistics: DatasetStatistics


def write_pictures(dataset: Dataset, image_ids: Sequence[Integer] | np.ndarray, folder: Path | str,
                   statistics: DatasetStatistics | None = None,
                   progress: Stages | None = None) -> tuple[list[Path], dict[Any, str]]:  # fmt: skip
    """Write annotated images as files.

    Args:
        dataset: prepared.
        image_ids: indices in it.
        folder: created if necessary. Receives counts.csv, with the classes and areas of each image; statistics.png; <image
            id>.jpg at the size of each image, and for COCO+LVIS <image id>_layers.png; and sheet.png (with more than SHEET
            images, also sheet_2.png and so on).
        statistics: None omits counts.csv and statistics.png.
        progress: the stages "drawing pictures" and "drawing sheets".

    Returns:
        The files, and the reason for each image that cannot be read or drawn, by image id.
    """
    folder, progress = Path(folder), progress or unseen
    paths: list[Path] = []
    skipped: dict[Any, str] = {}
    names = _file_names(dataset, image_ids)
    if statistics is not None:  # first: a fault of a picture must not cost the counts
        paths.append(folder / COUNTS_NAME)
        save_counts(paths[-1], statistics.by_image)
        paths.append(_save(statistics_figure(statistics)[0], folder / "statistics.png"))
    with progress("drawing pictures") as show:
        for image_id, name in tracked(zip(image_ids, names, strict=True), show, len(names)):
            path = folder / f"{name}.jpg"
            try:
                content = html.jpeg(draw_annotations(dataset, image_id), QUALITY)
                with atomic_open(path) as file:
                    file.write(content)
                paths.append(path)
                layers = _layers(dataset, image_id)
                if layers is not None:
                    paths.append(_save(layers, folder / f"{name}_layers.png"))
            except (DataError, ValueError, OSError) as error:
                skipped[dataset.image_info[image_id]["id"]] = first_line(error)
    with progress("drawing sheets") as show:
        for number, figure in enumerate(sheets(dataset, image_ids, show), start=1):
            paths.append(_save(figure, folder / ("sheet.png" if number == 1 else f"sheet_{number}.png")))
    return paths, skipped


def sheets(dataset: Dataset, image_ids: Sequence[Integer] | np.ndarray, progress: Show | None = None) -> Iterator[Figure]:
    """Draw annotated images side by side, up to SHEET per figure.

    Args:
        dataset: prepared.
        image_ids: indices in it.
        progress: called after each image; for the last image of a figure, only when the next figure is requested.
    """
    images, count = tracked(image_ids, progress), len(image_ids)
    for first in range(0, count, SHEET):
        yield view_figure(dataset, islice(images, min(SHEET, count - first)))[0]
    next(images, None)  # reports the last image


def _file_names(dataset: Dataset, image_ids: Sequence[Integer] | np.ndarray) -> list[str]:
    """Make a unique file name from each image's id."""
    stems = [re.sub(r"[^\w.-]+", "_", str(dataset.image_info[i]["id"])).lstrip(".") or "image" for i in image_ids]
    taken: set[str] = set()
    return [unique_name(stem, "", taken) for stem in stems]


def _layers(dataset: Dataset, image_id: Integer) -> Figure | None:
    """Draw the layers of an image of COCO+LVIS with their mask ids; other formats have none."""
    return layers_figure(dataset, image_id) if isinstance(dataset, CocoLvisDataset) else None


def _save(figure: Figure, path: Path) -> Path:
    with atomic_open(path) as file:
        figure.savefig(file, format="png", dpi=figure.dpi)
    plt.close(figure)
    return path


def write_page(path: Path | str, parts: Sequence[ViewPart], *, title: str, progress: Stages | None = None) -> dict[Any, str]:
    """Write the parts of a data set, with counts and pictures, as a self-contained HTML page.

    A CSV file of the same name, written first, has the classes and areas of each image.

    Args:
        progress: the stage "drawing pictures".

    Returns:
        The reason for each image that cannot be read, by image id; it is also shown on the page.
    """
    skipped: dict[Any, str] = {}
    save_counts(Path(path).with_suffix(".csv"), [replace(counts, subset=part.name) for part in parts
                                                 for counts in part.statistics.by_image])  # fmt: skip
    with (progress or unseen)("drawing pictures") as show:
        html.write_page(path, title, _page(title, parts, skipped, show), _STYLE)
    return skipped


def _page(title: str, parts: Sequence[ViewPart], skipped: dict[Any, str], show: Show | None) -> Iterator[Markup]:
    yield html.render("<h1>{{ title }}</h1>\n", title=title)
    done, total = 0, sum(len(part.image_ids) for part in parts)
    for part in parts:
        counts = sorted((count for count in part.statistics.classes if count.images), key=lambda count: -count.instances)
        rows = [(count.name, count.instances, f"in {count.images}") for count in counts[:_PAGE_CLASSES]]
        yield html.render(_PART, part=part, counts=counts, rows=rows, open_classes=_OPEN_CLASSES)
        for image_id in part.image_ids:
            yield _page_figure(part.dataset, image_id, skipped)
            done += 1
            if show is not None:
                show(done, total)
        yield Markup("</div>\n")


def _page_figure(dataset: Dataset, image_id: Integer, skipped: dict[Any, str]) -> Markup:
    try:
        name, text = describe(dataset, image_id)
        picture = html.jpeg(draw_annotations(dataset, image_id, side=_PAGE_SIDE), _PAGE_QUALITY)
        layers = _layers(dataset, image_id)
    except (DataError, ValueError, OSError) as error:
        name, text, picture, layers = dataset.image_info[image_id]["id"], str(error), None, None
        skipped[name] = text
    return html.render(_FIGURE, name=name, text=text, jpeg=picture, layers=None if layers is None else _as_jpeg(layers))


def _as_jpeg(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="jpeg", pil_kwargs={"quality": _PAGE_QUALITY})
    plt.close(figure)
    return content.getvalue()
