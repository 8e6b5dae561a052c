"""Evaluation figures as a text table."""

import io
import math

from rich import box
from rich.console import Console
from rich.table import Table

from mrcnn.base.text import printable

# those that an evaluation has: COCO's or LVIS's
OVERALL = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR", "AR1", "AR10", "AR100")
PER_CLASS = ("AP", "AP50", "AP75")


def format_figure(value):
    """Three decimals; a dash for what does not exist (nan)."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _kinds(figures):
    return [kind for kind in ("mask", "box") if f"{kind}_AP" in figures]


def _overall_table(metrics):
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    kinds = _kinds(metrics)
    names = [name for name in OVERALL if all(f"{kind}_{name}" in metrics for kind in kinds)]
    for name in names:
        table.add_column(name, justify="right")
    for kind in kinds:
        table.add_row(kind, *(format_figure(metrics[f"{kind}_{name}"]) for name in names))
    return table


def _class_table(per_class):
    """A line for each class that the set holds, most frequent first."""
    kinds = _kinds(next(iter(per_class.values())))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    for name in ("objects", "found", *(f"{kind} {name}" for kind in kinds for name in PER_CLASS)):
        table.add_column(name, justify="right", no_wrap=True)
    present = [(name, c) for name, c in per_class.items() if c["instances"]]
    for name, figures in sorted(present, key=lambda item: -item[1]["instances"]):
        cells = (format_figure(figures[f"{kind}_{column}"]) for kind in kinds for column in PER_CLASS)
        table.add_row(printable(name), str(figures["instances"]), str(figures["detections"]), *cells)
    return table


def _summary(result):
    info = result.info
    text = (
        f"{info.get('images', 0)} images, {info.get('instances', 0)} objects, {info.get('crowds', 0)} crowds, "
        f"{info.get('detections', 0)} detections"
    )
    if info.get("seconds_detect") and info.get("images"):
        text += f", {info['seconds_detect'] / info['images']:.3f} s an image"
    return text


def result_table(result, per_class=True, width=100):
    """The figures of an evaluation as text: counts, overall, and a line for each class that occurs.

    Args:
        result: CocoResult.
        per_class: bool. Whether to list the classes.
        width: int. Characters in a line.

    Returns:
        str of several lines. A dash stands for a figure that does not exist (no such object in the set).
    """
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_jupyter=False, highlight=False, markup=False,
                      emoji=False)  # fmt: skip
    console.print(_summary(result))
    console.print(_overall_table(result.metrics))
    if per_class and result.per_class:
        console.print(_class_table(result.per_class))
        absent = [printable(name) for name, figures in result.per_class.items() if not figures["instances"]]
        if absent:
            shown = ", ".join(absent[:8]) + (", ..." if len(absent) > 8 else "")
            console.print(f"{len(absent)} of {len(result.per_class)} classes do not occur in these images: {shown}")
    left_out = result.info.get("left_out") or {}
    for reason in list(left_out.values())[:10]:
        console.print(printable(f"left out: {reason}"))
    if len(left_out) > 10:
        console.print(f"... and {len(left_out) - 10} more images left out")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def print_result(result, per_class=True, console=None):
    """Print `result_table` in the width of the terminal.

    Args:
        result: CocoResult.
        per_class: bool. Whether to list the classes.
        console: rich Console; default standard output.
    """
    console = console or Console()
    console.print(result_table(result, per_class, console.width), highlight=False, markup=False, soft_wrap=True)
