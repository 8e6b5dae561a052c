"""The sections of the page that a run folder is enough for: losses, speed and memory, configuration, environment."""

import math
import statistics

import numpy as np
from markupsafe import Markup, escape

from mrcnn.config import COMPUTED, Config
from mrcnn.tools.html import table
from mrcnn.tools.report.figures import embed, epochs_figure
from mrcnn.viz.losses import LOSSES, loss_figure

# Inches of the losses' figure: letters that can be read on a page of 1080 pixels and, scrolled, on a phone.
_LOSSES_SIZE = (10, 5.4)
_AP = {"val_mask_AP": "mask AP", "val_mask_AP50": "mask AP50", "val_box_AP": "box AP", "val_box_AP50": "box AP50"}
# Column of history.csv, its title, its decimals.
_SPEED = (("seconds", "seconds", 1), ("seconds_per_step", "s a step", 3), ("images_per_second", "images/s", 2),
          ("peak_memory_mb", "memory, MiB", 0), ("peak_device_memory_mb", "device memory, MiB", 0))  # fmt: skip


def losses(run):
    """Make the curves of the losses, and of AP where it was measured during training."""
    if not run.history:
        return
    yield '<h2 id="losses">Losses</h2>\n'
    for note in _loss_notes(run.history):
        yield f'<p class="note">{escape(note)}</p>\n'
    columns = _columns(run.history)
    if any(name in columns for name in LOSSES):
        figure, _ = loss_figure(columns)
        figure.set_size_inches(*_LOSSES_SIZE)
        yield embed(figure, "losses of training and validation over the epochs")
    measured = {name: shown for name, shown in _AP.items() if name in columns}
    if measured:
        yield "<h3>AP during training</h3>\n"
        yield embed(epochs_figure(run.history, measured, "AP on the validation set"), "AP over the epochs")
    names = ["epoch", *sorted({name for row in run.history for name in row} - {"epoch", *(name for name, _, _ in _SPEED)})]
    rows = [[int(row["epoch"]), *(_rounded(row.get(name)) for name in names[1:])] for row in run.history]
    yield f"<details><summary>every figure of each epoch</summary>\n{table(names, rows, range(len(names)))}</details>\n"


def _loss_notes(history):
    """Say what is particular: one epoch, no validation, losses that are no numbers."""
    if len(history) == 1:
        yield "The run has one epoch: points, and no curves."
    if not any(name.startswith("val_") for row in history for name in row):
        yield "The run had no validation."
    broken = {name: [int(row["epoch"]) for row in history if name in row and not math.isfinite(row[name])] for name in LOSSES}
    for name, epochs in broken.items():
        if epochs:
            yield f"{name} is no finite number in {len(epochs)} of {len(history)} epochs, first in epoch {epochs[0]}."
    if any(broken.values()):
        yield "A learning rate that is too high does that; so do weights that were damaged before."


def _columns(history):
    """Turn lines into columns with a place for every epoch from 1 on: {column: list of float, nan for none}."""
    by_epoch = {int(row["epoch"]): row for row in history}
    names = {name for row in history for name in row}
    return {name: [by_epoch.get(epoch, {}).get(name, math.nan) for epoch in range(1, max(by_epoch) + 1)] for name in names}


def _rounded(value, digits=4):
    return "" if value is None else f"{value:.{digits}f}"


def speed(run, measured=None):
    """Make the tables of speed and memory, of training and of detection."""
    recorded = [row for row in run.history if "seconds" in row]
    if not recorded and measured is None:
        return
    yield '<h2 id="speed">Speed and memory</h2>\n'
    if recorded:
        yield from _training_speed(run, recorded)
    elif run.history:
        yield "<p>Training did not record its speed.</p>\n"
    if measured is not None:
        info, rate = measured.result.info, measured.images_per_second
        rows = [["images", info["images"]],
                ["images a second, with reading them", "one batch was all" if rate is None else _rounded(rate, 2)],
                ["seconds in the detector, with the compilation of its first batch", _rounded(info["seconds_detect"], 1)]]
        rows += [[f"most memory of the {name}, MiB", _rounded(value, 0)] for name, value in measured.memory.items()]
        yield f"<h3>Detection</h3>\n{table(['', ''], rows)}"


def _training_speed(run, recorded):
    columns = [column for column in _SPEED if any(column[0] in row for row in recorded)]
    numbers = range(1, len(columns) + 1)

    def line(first, pick):
        return [first, *(_rounded(pick([row[name] for row in recorded if name in row]), digits) for name, _, digits in columns)]

    total = sum(row["seconds"] for row in recorded)
    yield f"<h3>Training</h3>\n<p>{len(recorded)} epochs in {escape(_duration(total))}.</p>\n"
    head = ["", *(title for _, title, _ in columns)]
    yield table(head, [line("median", statistics.median), line("most", max)], numbers)
    rows = [[int(row["epoch"]), *(_rounded(row.get(name), digits) for name, _, digits in columns)] for row in recorded]
    yield f"<details><summary>each epoch</summary>\n{table(['epoch', *head[1:]], rows, numbers)}</details>\n"
    yield ('<p class="note">Seconds are of the whole epoch, with validation and checkpoint. A step and images/s are of '
           "training alone, without the first step, which compiles. Memory is the most of the process so far.</p>\n")


def _duration(seconds):
    """Say a time: str, such as "1 h 12 min"."""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 60 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def configuration(run):
    """Make the tables of the configuration: what differs from the default, and all of it."""
    if run.config is None:
        return
    values, defaults = run.config.to_dict(), Config().to_dict()
    changed = [name for name in values if name not in COMPUTED
               and (name not in defaults or _plain(values[name]) != _plain(defaults[name]))]  # fmt: skip
    yield '<h2 id="configuration">Configuration</h2>\n'
    yield f"<p>{len(changed)} of {len(values) - len(COMPUTED)} attributes differ from the default.</p>\n"
    rows = [[name, shown(values[name]), shown(defaults[name]) if name in defaults else "(your own)"] for name in changed]
    if rows:
        yield table(["attribute", "value", "default"], rows)
    every = table(["attribute", "value"], [[name, shown(value)] for name, value in values.items()])
    yield f"<details><summary>all attributes</summary>\n{every}</details>\n"


def _plain(value):
    """Bring a value to what compares: arrays and tuples are lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def shown(value):
    """Write a value of a configuration as `--set` takes it: str."""
    if callable(value):
        return getattr(value, "__qualname__", repr(value))
    return value if isinstance(value, str) else repr(_plain(value))


def environment(run):
    """Make a table of each training that the run consists of: when, by which command, on what; of later ones what changed."""
    if not run.entries:
        return
    yield '<h2 id="environment">Environment</h2>\n'
    before = []
    for entry in run.entries:
        first, last = entry.get("first_epoch", "?"), entry.get("last_epoch", "?")
        epochs = f"Epoch {first}" if first == last else f"Epochs {first} to {last}"
        began = str(entry.get("began", "")).replace("T", " ")
        rows = _entry_rows(entry)
        yield f"<h3>{escape(epochs)}, begun {escape(began)}</h3>\n{table(['', ''], [row for row in rows if row not in before])}"
        if before:
            yield '<p class="note">All else as before.</p>\n'
        before = rows


def _entry_rows(entry):
    versions = entry.get("versions") if isinstance(entry.get("versions"), dict) else {}
    memory = entry.get("memory_mb")
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
        *versions.items(),
    ]
    return [[name, Markup(f"<code>{escape(value)}</code>") if name == "command" else value] for name, value in rows
            if value is not None]  # fmt: skip


def _joined(values, between):
    return between.join(map(str, values)) if isinstance(values, list) else values
