"""The report page of a run, section by section.

A section is a function of the run and the measurement, which may be None; it returns HTML, or "" if there is nothing to show.

Shape letters: H W C image, h w picture.
"""

import io
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Show, tracked
from mrcnn.config import Config
from mrcnn.config_rules import COMPUTED
from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation.mistakes import ImageMistakes, most_confused
from mrcnn.evaluation.results import Row
from mrcnn.evaluation.table import OVERALL, format_metric
from mrcnn.tools.html import jpeg, picture, render, table, write_page
from mrcnn.tools.report.measurement import IOU, Measurement
from mrcnn.tools.report.run import Run
from mrcnn.tools.view.figures import scaled
from mrcnn.training.trained_run import best_epoch
from mrcnn.viz.colors import GREY, PALETTE
from mrcnn.viz.draw import draw_detections, to_rgb
from mrcnn.viz.evaluation import confusion_figure, precision_recall_figure
from mrcnn.viz.losses import LOSSES, loss_figure

_STYLE = """\
nav a { margin-right: .9em; white-space: nowrap }
.note { color: #555; font-size: .93em }
.chart img { display: block; max-width: 100% }
.tall { max-height: 34em; overflow-y: auto }
.missing { background: #f4f1e6; border-left: 4px solid #e69f00; padding: .4em .8em; margin: 1em 0 }
.missing ul { margin: .2em 0; padding-left: 1.2em }
figure.pair { margin: 1.4em 0 }
.sides { display: flex; flex-wrap: wrap; gap: .6em; margin-top: .3em; font-size: .8em; color: #444 }
.sides div { max-width: 100% } .sides img { display: block }
code { overflow-wrap: anywhere; font-size: .93em }
@media (max-width: 700px) {
 body { margin: 1em auto } .chart img { max-width: 720px }
}
"""
_HEAD = """\
<h1>Run {{ name }}</h1>
{{ table(["", ""], rows) }}
<nav>{% for id, title in sections %}<a href="#{{ id }}">{{ title }}</a> {% endfor %}</nav>
{% if missing %}
<div class="missing">Missing:<ul>{% for reason in missing %}<li>{{ reason }}</li>{% endfor %}</ul></div>
{% endif %}
"""
_NOTE = '<p class="note">{{ text }}</p>\n'
_DETAILS = "<details><summary>{{ summary }}</summary>\n{{ content }}</details>\n"


def write_report(path: Path | str, run: Run, measured: Measurement | None = None, missing: Sequence[str] = (),
                 progress: Show | None = None) -> None:  # fmt: skip
    """Write the page.

    Args:
        measured: None omits the sections that need it.
        missing: what is missing besides `run.missing`, and why.
        progress: called after each section.
    """
    sections = [(id, title, section(run, measured)) for id, title, section in tracked(_SECTIONS, progress)]
    shown = [(id, title, content) for id, title, content in sections if content]
    head = render(_HEAD, name=run.name, rows=_summary(run, measured), missing=[*run.missing, *missing],
                  sections=[(id, title) for id, title, _ in shown])  # fmt: skip
    bodies = (render('<h2 id="{{ id }}">{{ title }}</h2>\n{{ content }}', id=id, title=title.capitalize(), content=content)
              for id, title, content in shown)
    write_page(path, f"Run {run.name}", [head, *bodies], _STYLE)


def _summary(run: Run, measured: Measurement | None) -> list[list[str]]:
    """Make the rows of the table at the top."""
    rows = []
    if run.class_names is not None:
        names = run.class_names[1:]
        rows.append(["classes", f"{len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"])
    if run.history:
        row = run.history[-1]
        rows.append(["epochs", f"{int(row['epoch'])}, the last with loss {row.get('loss', math.nan):.4f}"])
    best = best_epoch(run.history)
    if best is not None:
        rows.append(["best epoch", f"{best[0]}, by {best[1]} {best[2]:.4f}"])
    if run.checkpoints:
        first, last = min(run.checkpoints), max(run.checkpoints)
        rows.append(["checkpoints", f"of epoch {first}" if first == last
                     else f"{len(run.checkpoints)}, of epochs {first} to {last}"])  # fmt: skip
    if measured is not None:
        metrics = measured.result.metrics
        rows.append(["measured", "; ".join(
            f"{kind} AP {format_metric(metrics[f'{kind}_AP'])}, AP50 {format_metric(metrics[f'{kind}_AP50'])}"
            for kind in ("mask", "box"))])  # fmt: skip
    return rows


def _chart(figure: Figure, alt: str) -> Markup:
    """Embed a figure as SVG, and close it. A figure wider than the page scrolls horizontally."""
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    plt.close(figure)
    return render('<div class="scroll chart">{{ image }}</div>\n', image=picture(content.getvalue(), "svg+xml", alt))


# --- average precision

_BY_CLASS = (("mask", ("AP", "AP50", "AP75", "APs", "APm", "APl")), ("box", ("AP", "AP50", "AP75")))
# maximum number of reasons for skipped images, and of names in a list
_REASONS, _NAMED = 10, 6
_METRICS = """\
<p>{{ data }}: {{ info.images }} images, {{ info.instances }} objects, {{ info.crowds }} crowds; {{ info.detections }} \
detections by {{ weights }}.</p>
{% if not info.instances %}
<p class="note">These images have no objects, so AP is undefined: a dash.</p>
{% elif not info.detections %}
<p class="note">The network detected nothing, not even with a low score.</p>
{% endif %}
{{ overall }}
<p class="note">AP is the mean over IoU 0.50 to 0.95; s, m and l are objects of up to 32 x 32, up to 96 x 96 and more \
pixels. A dash means that there are no objects of this size.</p>
<h3>By class</h3>
<p>{{ present | length }} classes occur in these images; those with the most objects come first.</p>
<div class="tall">{{ by_class }}</div>
{% if absent %}
<p>{{ absent | length }} of {{ classes }} classes do not occur in these images: {{ absent[:named] | join(", ") }}
{%- if absent | length > named %} and {{ absent | length - named }} more{% endif %}.</p>
{% endif %}
{% if reasons %}
<p>{{ reasons | length }} images could not be read and were skipped:</p>
<ul>{% for reason in reasons[:limit] %}<li>{{ reason }}</li>{% endfor %}
{%- if reasons | length > limit %}<li>... and {{ reasons | length - limit }} more</li>{% endif %}</ul>
{% endif %}
"""


def _metrics(run: Run, measured: Measurement | None) -> str:
    """Make the tables of AP: overall, by size and by class."""
    if measured is None:
        return ""
    result = measured.result
    metrics, per_class = result.metrics, result.per_class
    names = [name for name in (*OVERALL, "ARs", "ARm", "ARl") if f"mask_{name}" in metrics]
    rows = [[kind, *(format_metric(metrics[f"{kind}_{name}"]) for name in names)] for kind in ("mask", "box")]
    columns = [(kind, name) for kind, of_kind in _BY_CLASS for name in of_kind]
    present = sorted(((name, c) for name, c in per_class.items() if c["instances"]), key=lambda item: -item[1]["instances"])
    class_rows = [[name, c["instances"], c["detections"], *(format_metric(c[f"{kind}_{metric}"]) for kind, metric in columns)]
                  for name, c in present]  # fmt: skip
    head = ["class", "objects", "detections", *(f"{kind} {name}" for kind, name in columns)]
    return render(_METRICS, data=measured.data, weights=measured.weights, info=result.info, present=present,
                  overall=table(["", *names], rows, range(1, len(names) + 1)),
                  by_class=table(head, class_rows, range(1, len(head))), classes=len(per_class),
                  absent=[name for name, c in per_class.items() if not c["instances"]], named=_NAMED,
                  reasons=list(result.info["left_out"].values()), limit=_REASONS)  # fmt: skip


# --- losses

# size of the figure of losses in inches: legible on a page 1080 pixels wide and, with scrolling, on a phone
_LOSSES_SIZE = (10, 5.4)
_AP = {"val_mask_AP": "mask AP", "val_mask_AP50": "mask AP50", "val_box_AP": "box AP", "val_box_AP50": "box AP50"}
_LINES = tuple(PALETTE[ix] for ix in (5, 0, 3, 4))


def _losses(run: Run, measured: Measurement | None) -> str:
    """Plot the losses, and AP if it was computed during training."""
    if not run.history:
        return ""
    pieces = [render(_NOTE, text=text) for text in _loss_notes(run.history)]
    by_epoch = {int(row["epoch"]): row for row in run.history}
    columns = {name: [by_epoch.get(epoch, {}).get(name, math.nan) for epoch in range(1, max(by_epoch) + 1)]
               for name in {name for row in run.history for name in row}}  # fmt: skip
    if any(name in columns for name in LOSSES):
        figure, _ = loss_figure(columns)
        figure.set_size_inches(*_LOSSES_SIZE)
        pieces.append(_chart(figure, "losses of training and validation over the epochs"))
    ap = {name: label for name, label in _AP.items() if name in columns}
    if ap:
        pieces.append(Markup("<h3>AP during training</h3>\n"))
        pieces.append(_chart(epochs_figure(run.history, ap, "AP on the validation set"), "AP over the epochs"))
    names = ["epoch", *sorted(columns.keys() - {"epoch", *(name for name, _, _ in _SPEED)})]
    rows = [[int(row["epoch"]), *(_rounded(row.get(name)) for name in names[1:])] for row in run.history]
    pieces.append(render(_DETAILS, summary="all values of each epoch", content=table(names, rows, range(len(names)))))
    return Markup("").join(pieces)


def _loss_notes(history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield notes on what is unusual: a single epoch, no validation, non-finite losses."""
    if len(history) == 1:
        yield "The run has a single epoch, so the plots show points instead of curves."
    if not any(name.startswith("val_") for row in history for name in row):
        yield "The run had no validation."
    broken = {name: [int(row["epoch"]) for row in history if name in row and not math.isfinite(row[name])] for name in LOSSES}
    for name, epochs in broken.items():
        if epochs:
            yield f"{name} is not finite in {len(epochs)} of {len(history)} epochs, first in epoch {epochs[0]}."
    if any(broken.values()):
        yield "Possible causes are a learning rate that is too high, and corrupt initial weights."


def epochs_figure(history: Sequence[Mapping[str, Any]], columns: Mapping[str, str], label: str) -> Figure:
    """Plot columns of a history over the epochs.

    Args:
        columns: the legend entry of each column, by column name.
        label: of the vertical axis.
    """
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    for (column, name), color in zip(columns.items(), _LINES):
        rows = [row for row in history if column in row]  # AP is not computed in every epoch
        ax.plot([row["epoch"] for row in rows], [row[column] for row in rows], "o-", markersize=3, color=color, label=name)
    ax.set(xlabel="epoch", ylabel=label, ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure


def _rounded(value: float | int | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


# --- precision and recall, confusion matrix

# maximum number of classes in the matrix
_MATRIX = 20
_CONFUSION = """\
<p>Detections with a score of {{ "%g" | format(min_score) }} or more are matched with objects where the IoU of their masks \
is {{ "%g" | format(iou) }} or more: first each with the best object of its class, then the remaining ones with the best \
object of any class. The last column counts missed objects; the last row counts detections that match no object, including \
duplicates. The shade of a cell is its fraction of the row.</p>
{% if shown.names | length < whole.names | length %}
<p class="note">The matrix shows {{ shown.names | length - 1 }} of {{ whole.names | length - 1 }} classes: those most often \
confused with each other ({{ shown.between_classes }} of {{ whole.between_classes }} confusions), then the most frequent.</p>
{% endif %}
{% if highest is not none and highest < min_score %}
<p class="note">No detection has such a score; the highest is {{ "%.2f" | format(highest) }}. Choose a lower --min-score.</p>
{% endif %}
{% if chart %}{{ chart }}{% else %}
<p>There are no objects and no detections to compare.</p>
{% endif %}
"""


def _curves(run: Run, measured: Measurement | None) -> str:
    """Plot the precision-recall curves."""
    if measured is None:
        return ""
    return _chart(precision_recall_figure(measured.result, "mask")[0], "precision over recall, of masks")


def _confusion(run: Run, measured: Measurement | None) -> str:
    """Draw the confusion matrix."""
    if measured is None:
        return ""
    whole = measured.confusion
    chart = _chart(confusion_figure(whole, _MATRIX)[0], "confusion matrix") if whole.counts.any() else None
    return render(_CONFUSION, min_score=measured.min_score, iou=IOU, whole=whole, shown=most_confused(whole, _MATRIX),
                  highest=max((row["score"] for row in measured.result.rows), default=None), chart=chart)  # fmt: skip


# --- worst images

# longer side of a picture in pixels, and its quality
SIDE, _QUALITY = 480, 82
# blue for correct, vermilion for wrong, orange for confused: distinguishable with any colour vision
RIGHT, WRONG, CONFUSED = PALETTE[5], PALETTE[0], PALETTE[6]
_WORST = """\
{% if pairs %}
<p>The {{ pairs | length }} of {{ wrong }} images with mistakes that have the most: missed objects, false detections, and \
objects detected as another class, matched as for the confusion matrix. Blue is correct, vermilion missed or false, orange \
another class, grey a crowd.</p>
{% for title, text, sides in pairs %}
<figure class="pair"><figcaption><b>{{ title }}</b><br>{{ text }}</figcaption>
{%- if sides %}<div class="sides">{% for side, image in sides %}
<div>{{ side }}<br>{{ picture(image, alt=side ~ " in " ~ title) }}</div>
{% endfor %}</div>{% endif %}</figure>
{% endfor %}
{% else %}
<p>No image has a mistake.</p>
{% endif %}
"""

_Drawn = tuple[Row, str, tuple[float, float, float]]  # a row with its caption and colour


def _worst(run: Run, measured: Measurement | None) -> str:
    """Show the images with the most mistakes: their objects next to the detections."""
    if measured is None:
        return ""
    names = measured.confusion.names
    crowds: dict[int, list[Row]] = {}
    for row in measured.result.truth:
        if row["iscrowd"]:
            crowds.setdefault(row["image_id"], []).append(row)
    pairs = [_pair(measured.dataset, image, crowds.get(image.image_id, []), names) for image in measured.worst]
    return render(_WORST, pairs=pairs, wrong=sum(1 for image in measured.mistakes if image.count))


def _pair(dataset: Dataset, image: ImageMistakes, crowds: list[Row],
          names: Sequence[str]) -> tuple[str, str, list[tuple[str, bytes]]]:  # fmt: skip
    """Make the title, the text and the two pictures of an image; no pictures if the image cannot be read."""
    title = f"{dataset.image_info[image.image_id]['id']} {dataset.image_reference(image.image_id)}".strip()
    kinds = [("missed", [names[row["category_id"]] for row in image.missed]),
             ("false", [names[row["category_id"]] for row in image.false]),
             ("confused", [f"{names[row['category_id']]} as {names[detection['category_id']]}"
                           for row, detection in image.confused])]  # fmt: skip
    counts = [f"{len(items)} {kind} ({', '.join(items[:_NAMED])}{', ...' if len(items) > _NAMED else ''})"
              for kind, items in kinds if items]  # fmt: skip
    text = f"{len(image.correct)} correct; " + ", ".join(counts)
    try:
        objects, detections = draw_mistakes(dataset.load_image(image.image_id), image, crowds, names)
    except (DataError, OSError, ValueError) as error:
        return title, f"{text} (no picture: {error})", []
    return title, text, [("objects", objects), ("detections", detections)]


def draw_mistakes(image: np.ndarray, mistakes: ImageMistakes, crowds: Sequence[Row],
                  names: Sequence[str]) -> tuple[bytes, bytes]:  # fmt: skip
    """Draw the objects in an image, and its detections. The image is scaled first, so that names stay sharp.

    Args:
        image: any that `viz.draw.to_rgb` accepts.
        crowds: objects that are counted neither as found nor as missed; drawn in grey.
        names: by class id.

    Returns:
        Two JPEGs: objects and detections.
    """

    def scored(row: Row) -> str:
        return f"{names[row['category_id']]} {row['score']:.2f}"

    objects = [*((row, names[row["category_id"]], RIGHT) for row, _ in mistakes.correct),
               *((row, names[row["category_id"]], CONFUSED) for row, _ in mistakes.confused),
               *((row, f"missed: {names[row['category_id']]}", WRONG) for row in mistakes.missed),
               *((row, f"crowd: {names[row['category_id']]}", GREY) for row in crowds)]  # fmt: skip
    detections = [*((row, scored(row), RIGHT) for _, row in mistakes.correct),
                  *((row, scored(row), CONFUSED) for _, row in mistakes.confused),
                  *((row, f"false: {scored(row)}", WRONG) for row in mistakes.false)]  # fmt: skip
    return _draw(to_rgb(image), objects), _draw(to_rgb(image), detections)


def _draw(image: np.ndarray, instances: Sequence[_Drawn]) -> bytes:
    """Draw rows with their captions and colours, and encode the picture as JPEG."""
    rows = [row for row, _, _ in instances]
    boxes = [(y, x, y + h, x + w) for x, y, w, h in (row["bbox"] for row in rows)]
    result = {"rois": np.array(boxes, float).reshape(-1, 4), "class_ids": np.array([row["category_id"] for row in rows], int),
              "masks": [row["segmentation"] for row in rows]}  # fmt: skip
    image, result = scaled(image, result, SIDE)
    return jpeg(draw_detections(image, result, captions=[caption for _, caption, _ in instances],
                                colors=[color for _, _, color in instances], min_side=0), _QUALITY)  # fmt: skip


# --- speed and memory

# columns of history.csv, with their titles and decimals
_SPEED = (("seconds", "seconds", 1), ("seconds_per_step", "s per step", 3), ("images_per_second", "images/s", 2),
          ("peak_memory_mb", "memory, MiB", 0), ("peak_device_memory_mb", "device memory, MiB", 0))  # fmt: skip
_TRAINING_SPEED = """\
<h3>Training</h3>
<p>{{ epochs }} epochs in {{ duration }}.</p>
{{ summary }}
<details><summary>each epoch</summary>
{{ each }}</details>
<p class="note">Seconds include validation and saving the checkpoint. Steps and images/s cover only training, without the \
first step, in which the model is compiled. Memory is the peak of the process so far.</p>
"""


def _speed(run: Run, measured: Measurement | None) -> str:
    """Make the tables of speed and memory for training and detection."""
    recorded = [row for row in run.history if "seconds" in row]
    pieces = []
    if recorded:
        pieces.append(_training_speed(recorded))
    elif run.history and measured is not None:
        pieces.append(Markup("<p>Training did not record its speed.</p>\n"))
    if measured is not None:
        info, rate = measured.result.info, measured.images_per_second
        rows = [["images", info["images"]],
                ["images per second, including reading them", "unknown: a single batch" if rate is None else _rounded(rate, 2)],
                ["seconds per image in the detector, without the first batch", _rounded(info.get("seconds_per_image"), 3)],
                ["seconds in the detector, including compilation in the first batch", _rounded(info["seconds_detect"], 1)]]
        rows += [[f"peak memory of the {name}, MiB", _rounded(value, 0)] for name, value in measured.memory.items()]
        pieces += [Markup("<h3>Detection</h3>\n"), table(["", ""], rows)]
    return Markup("").join(pieces)


def _training_speed(recorded: Sequence[Mapping[str, Any]]) -> Markup:
    columns = [column for column in _SPEED if any(column[0] in row for row in recorded)]
    numbers = range(1, len(columns) + 1)

    def line(first: str, pick: Callable[[list[float]], float]) -> list[str]:
        return [first, *(_rounded(pick([row[name] for row in recorded if name in row]), digits) for name, _, digits in columns)]

    head = ["", *(title for _, title, _ in columns)]
    rows = [[int(row["epoch"]), *(_rounded(row.get(name), digits) for name, _, digits in columns)] for row in recorded]
    return render(_TRAINING_SPEED, epochs=len(recorded), duration=_duration(sum(row["seconds"] for row in recorded)),
                  summary=table(head, [line("median", statistics.median), line("maximum", max)], numbers),
                  each=table(["epoch", *head[1:]], rows, numbers))  # fmt: skip


def _duration(seconds: float) -> str:
    """Format a time, such as "1 h 12 min"."""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 60 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


# --- configuration and environment


def _configuration(run: Run, measured: Measurement | None) -> str:
    """Make the tables of the configuration: attributes that differ from the defaults, and all attributes."""
    if run.config is None:
        return ""
    values, defaults = run.config.to_dict(), Config().to_dict()
    changed = [name for name in values if name not in COMPUTED
               and (name not in defaults or _plain(values[name]) != _plain(defaults[name]))]  # fmt: skip
    text = f"{len(changed)} of {len(values) - len(COMPUTED)} attributes differ from the default."
    rows = [[name, format_value(values[name]), format_value(defaults[name]) if name in defaults else "(your own)"]
            for name in changed]  # fmt: skip
    return render("<p>{{ text }}</p>\n{{ changed }}", text=text,
                  changed=table(["attribute", "value", "default"], rows) if rows else "") + render(
        _DETAILS, summary="all attributes",
        content=table(["attribute", "value"], [[name, format_value(value)] for name, value in values.items()]))  # fmt: skip


def _plain(value: Any) -> Any:
    """Make values comparable by converting arrays and tuples to lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def format_value(value: Any) -> str:
    """Format a configuration value in the syntax of `--set`."""
    if callable(value):
        return getattr(value, "__qualname__", repr(value))
    return value if isinstance(value, str) else repr(_plain(value))


def _environment(run: Run, measured: Measurement | None) -> str:
    """Make a table for each training of the run: when, by which command, on which machine. Later tables show only changes."""
    pieces = []
    before: list[list[Any]] = []
    for entry in run.entries:
        first, last = entry.get("first_epoch", "?"), entry.get("last_epoch", "?")
        epochs = f"Epoch {first}" if first == last else f"Epochs {first} to {last}"
        rows = _entry_rows(entry)
        pieces.append(render("<h3>{{ epochs }}, started {{ start }}</h3>\n{{ rows }}", epochs=epochs,
                             start=str(entry.get("began", "")).replace("T", " "),
                             rows=table(["", ""], [row for row in rows if row not in before])))  # fmt: skip
        if before:
            pieces.append(render(_NOTE, text="Everything else is unchanged."))
        before = rows
    return Markup("").join(pieces)


def _entry_rows(entry: Mapping[str, Any]) -> list[list[Any]]:
    memory, versions = entry.get("memory_mb"), entry.get("versions")
    rows = [
        ("command", _joined(entry.get("command"), " ")),
        ("layers", entry.get("layers")),
        ("learning rate", entry.get("learning_rate")),
        ("images", entry.get("images")),
        ("validation images", entry.get("validation_images")),
        ("backend", entry.get("backend")),
        ("devices", _joined(entry.get("devices"), ", ")),
        ("processor", f"{entry['processor']}, {entry.get('cores')} cores" if "processor" in entry else None),
        ("memory of the machine", f"{memory / 1024:.1f} GiB" if isinstance(memory, int | float) else None),
        ("system", entry.get("system")),
        ("Python", entry.get("python")),
        *(versions if isinstance(versions, dict) else {}).items(),
    ]
    return [[name, render("<code>{{ text }}</code>", text=value) if name == "command" else value] for name, value in rows
            if value is not None]  # fmt: skip


def _joined(values: Any, separator: str) -> Any:
    return separator.join(map(str, values)) if isinstance(values, list) else values


# (id, title, function) of each section, in order
_SECTIONS: tuple[tuple[str, str, Callable[[Run, Measurement | None], str]], ...] = (
    ("figures", "average precision", _metrics),
    ("losses", "losses", _losses),
    ("curves", "precision and recall", _curves),
    ("confusion", "confusion matrix", _confusion),
    ("worst", "worst images", _worst),
    ("speed", "speed and memory", _speed),
    ("configuration", "configuration", _configuration),
    ("environment", "environment", _environment),
)
