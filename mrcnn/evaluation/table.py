"""The metrics of an evaluation as a text table."""

import io
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from mrcnn.base.text import printable

if TYPE_CHECKING:
    from mrcnn.evaluation.coco import CocoResult

# order of the columns; an evaluation has those of COCO or those of LVIS
OVERALL = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR", "AR1", "AR10", "AR100")
PER_CLASS = ("AP", "AP50", "AP75")

# numbers of lines and names printed before the rest are summarised
_MAX_SKIPPED, _MAX_ABSENT = 10, 8


def format_metric(value: float | int | None) -> str:
    """Format a metric with three decimals, or as a dash if it is undefined (nan or None)."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def result_table(result: "CocoResult", per_class: bool = True, width: int = 100) -> str:
    """Format an evaluation as text: counts, overall metrics, a line for each class that occurs, and skipped images.

    Args:
        per_class: whether to list the classes.
        width: characters per line.

    Returns:
        Several lines. A dash marks a metric that is undefined because the data set has no such object.
    """
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_jupyter=False, highlight=False, markup=False,
                      emoji=False)  # fmt: skip
    console.print(_summary(result.info))
    console.print(_overall_table(result.metrics))
    if per_class and result.per_class:
        console.print(_class_table(result.per_class))
        absent = [printable(name) for name, metrics in result.per_class.items() if not metrics["instances"]]
        if absent:
            names = ", ".join(absent[:_MAX_ABSENT]) + (", ..." if len(absent) > _MAX_ABSENT else "")
            console.print(f"{len(absent)} of {len(result.per_class)} classes do not occur in these images: {names}")
    left_out = result.info.get("left_out") or {}
    for reason in list(left_out.values())[:_MAX_SKIPPED]:
        console.print(printable(f"skipped: {reason}"))
    if len(left_out) > _MAX_SKIPPED:
        console.print(f"... and {len(left_out) - _MAX_SKIPPED} more images skipped")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def print_result(result: "CocoResult", per_class: bool = True, console: Console | None = None) -> None:
    """Print `result_table` at the width of a console, by default the terminal."""
    console = console or Console()
    console.print(result_table(result, per_class, console.width), highlight=False, markup=False, soft_wrap=True)


def _summary(info: Mapping[str, Any]) -> str:
    text = (
        f"{info.get('images', 0)} images, {info.get('instances', 0)} objects, {info.get('crowds', 0)} crowds, "
        f"{info.get('detections', 0)} detections"
    )
    if info.get("seconds_per_image"):
        text += f", {info['seconds_per_image']:.3f} s per image"
    if info.get("left_out"):
        text += f"; images skipped: {len(info['left_out'])}"
    return text


def _overall_table(metrics: Mapping[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    kinds = _kinds(metrics)
    names = [name for name in OVERALL if all(f"{kind}_{name}" in metrics for kind in kinds)]
    for name in names:
        table.add_column(name, justify="right")
    for kind in kinds:
        table.add_row(kind, *(format_metric(metrics[f"{kind}_{name}"]) for name in names))
    return table


def _class_table(per_class: Mapping[str, Mapping[str, Any]]) -> Table:
    """Make one row for each class that occurs in the data set, most frequent first."""
    kinds = _kinds(next(iter(per_class.values())))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), collapse_padding=True)
    table.add_column("class", overflow="fold")
    for name in ("objects", "detections", *(f"{kind}\n{name}" for kind in kinds for name in PER_CLASS)):
        table.add_column(name, justify="right", no_wrap=True)
    present = [(name, metrics) for name, metrics in per_class.items() if metrics["instances"]]
    for name, metrics in sorted(present, key=lambda item: -item[1]["instances"]):
        cells = (format_metric(metrics[f"{kind}_{column}"]) for kind in kinds for column in PER_CLASS)
        table.add_row(printable(name), str(metrics["instances"]), str(metrics["detections"]), *cells)
    return table


def _kinds(metrics: Iterable[str]) -> list[str]:
    return [kind for kind in ("mask", "box") if f"{kind}_AP" in metrics]
