"""Pictures of a data set's images as files: one an image and sheets of many, or one page of them all."""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
from markupsafe import Markup, escape
from matplotlib import pyplot as plt

from mrcnn.base.atomic_write import atomic_open
from mrcnn.base.errors import DataError
from mrcnn.base.progress import tracked, unseen
from mrcnn.datasets.dataset import Dataset
from mrcnn.tools import html
from mrcnn.tools.html import bars, picture
from mrcnn.tools.view.figures import draw_annotations, statistics_figure, told, view_figure
from mrcnn.tools.view.statistics import DatasetStatistics

# images on a sheet, and the quality of JPEG files
SHEET, QUALITY = 24, 92
# the longer side of a picture on a page in pixels, and its quality
_PAGE_SIDE, _PAGE_QUALITY = 480, 82
# the most classes in the bars of a page, and up to how many they stand open above the pictures
_PAGE_CLASSES, _OPEN_CLASSES = 200, 10
_STYLE = "figure { max-width: 340px } figure img { display: block }\n"


@dataclass(frozen=True)
class ViewPart:
    """A part of a data set, to be shown.

    Attributes:
        name: str, such as "train"; empty for what is undivided.
        dataset: Dataset, prepared.
        image_ids: list of int. Positions of the images to show.
        statistics: DatasetStatistics.
    """

    name: str
    dataset: Dataset
    image_ids: list
    statistics: DatasetStatistics


def write_pictures(dataset, image_ids, folder, statistics=None, progress=None):
    """Write images with what is annotated on them.

    Args:
        dataset: Dataset, prepared.
        image_ids: positions in it.
        folder: path, made if it is missing. Gets <image id>.jpg of each, at the image's own size; sheet.png (of more than
            24 images sheet_2.png and so on); statistics.png.
        statistics: mrcnn.tools.view.statistics.DatasetStatistics for the last of these, or None.
        progress: maker of stages (`mrcnn.base.progress`): "drawing pictures" and "drawing sheets"; or None.

    Returns:
        (paths, left_out): list of Path, in the order of writing; {image id: reason} of images that cannot be read.
    """
    folder, paths, left_out, progress = Path(folder), [], {}, progress or unseen
    names = _file_names(dataset, image_ids)
    with progress("drawing pictures") as show:
        for image_id, name in tracked(zip(image_ids, names, strict=True), show, len(names)):
            try:
                picture = draw_annotations(dataset, image_id)
            except DataError as error:
                left_out[dataset.image_info[image_id]["id"]] = str(error)
            else:
                paths.append(folder / f"{name}.jpg")
                with atomic_open(paths[-1]) as file:
                    file.write(jpeg(picture, QUALITY))
    with progress("drawing sheets") as show:
        for number, figure in enumerate(sheets(dataset, image_ids, show), start=1):
            paths.append(_save(figure, folder / ("sheet.png" if number == 1 else f"sheet_{number}.png")))
    if statistics is not None:
        paths.append(_save(statistics_figure(statistics)[0], folder / "statistics.png"))
    return paths, left_out


def sheets(dataset, image_ids, progress=None):
    """Draw images with what is annotated on them side by side, up to SHEET on a figure.

    Args:
        dataset: Dataset, prepared.
        image_ids: positions in it.
        progress: function (done, total), called after each image; for the last one of a figure once the next is asked for. Or
            None.

    Yields:
        matplotlib Figure.
    """
    images, count = tracked(image_ids, progress), len(image_ids)
    for first in range(0, count, SHEET):
        yield view_figure(dataset, islice(images, min(SHEET, count - first)))[0]
    next(images, None)  # to have the last image told


def _file_names(dataset, image_ids):
    """Name the file of each image by its id, as a file system takes it, each by a name of its own: list of str."""
    names, taken = [], set()
    for image_id in image_ids:
        stem = name = re.sub(r"[^\w.-]+", "_", str(dataset.image_info[image_id]["id"])).lstrip(".") or "image"
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def _save(figure, path):
    with atomic_open(path) as file:
        figure.savefig(file, format="png", dpi=figure.dpi)
    plt.close(figure)
    return path


def jpeg(picture, quality):
    """Encode a picture. Args: picture: uint8 [h, w, 3]; quality: int, 1 to 100. Returns: bytes."""
    done, content = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} could not be written as JPEG")
    return content.tobytes()


def write_page(path, parts, *, title, progress=None):
    """Write the parts of a data set, with counts and pictures, as one HTML page that needs no other file.

    Args:
        path: path.
        parts: list of ViewPart.
        title: str.
        progress: maker of stages (`mrcnn.base.progress`): "drawing pictures"; or None.

    Returns:
        {image id: reason} of images that cannot be read; the page says so in their places.
    """
    left_out = {}
    with (progress or unseen)("drawing pictures") as show:
        html.write_page(path, title, map(Markup, _page(title, parts, left_out, show)), _STYLE)
    return left_out


def _page(title, parts, left_out, show):
    done, total = 0, sum(len(part.image_ids) for part in parts)
    yield f"<h1>{escape(title)}</h1>\n"
    for part in parts:
        yield _part_head(part) + '<div class="pictures">\n'
        for image_id in part.image_ids:
            yield _page_figure(part.dataset, image_id, left_out)
            done += 1
            if show is not None:
                show(done, total)
        yield "</div>\n"


def _part_head(part):
    lines = [f"<h2>{escape(part.name)}</h2>\n"] if part.name else []
    lines += [f"<p>{escape(line)}</p>\n" for line in part.statistics.summary()]
    counts = sorted((count for count in part.statistics.classes if count.images), key=lambda count: -count.instances)
    lines.append(f"<details{' open' if len(counts) <= _OPEN_CLASSES else ''}><summary>instances of each class, and in how many "
                 "images they are</summary>\n")
    lines.append(bars([(count.name, count.instances, f"in {count.images}") for count in counts[:_PAGE_CLASSES]]))
    if len(counts) > _PAGE_CLASSES:
        lines.append(f"<p>... and {len(counts) - _PAGE_CLASSES} more classes.</p>\n")
    return "".join(lines) + "</details>\n"


def _page_figure(dataset, image_id, left_out):
    try:
        name, held = told(dataset, image_id)
        shown = picture(jpeg(draw_annotations(dataset, image_id, side=_PAGE_SIDE), _PAGE_QUALITY), alt=held)
    except DataError as error:
        name = dataset.image_info[image_id]["id"]
        left_out[name] = held = str(error)
        shown = ""
    return f"<figure>{shown}<figcaption><b>{escape(name)}</b><br>{escape(held)}</figcaption></figure>\n"
