"""The report of a check: findings and statistics as text, JSON or HTML, and the exit code."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table

from mrcnn.base.atomic_write import save_json
from mrcnn.base.progress import Show
from mrcnn.base.text import printable
from mrcnn.datasets.class_names import natural_key
from mrcnn.tools.doctor.findings import ERROR, KINDS, SEVERITIES, WARNING, Finding, Findings
from mrcnn.tools.doctor.images import ImageScan
from mrcnn.tools.doctor.object_sizes import size_lines
from mrcnn.tools.doctor.parts import Part

# maximum number of classes listed in the terminal
_CLASSES = 15


class Report:
    """The findings and statistics of a data set.

    Attributes:
        source: what was checked.
        findings: sorted by severity, worst first, then in the order of KINDS, by subset, and by file: 2 before 10. At most 1000
            per kind and severity are kept;
            `counts` includes all of them.
        counts: number of findings by kind and severity.
        statistics: "parts", "classes" and "sizes", as returned by `to_dict`.
        checked: each subset with the scans of its images, for `repair`.
    """

    def __init__(self, source: str, findings: Findings, statistics: dict[str, Any],
                 checked: Sequence[tuple[Part, Sequence[ImageScan]]]) -> None:  # fmt: skip
        order = {kind: index for index, kind in enumerate(KINDS)}
        self.source = printable(source)
        parts = list(dict.fromkeys(finding.place.part for finding in findings.kept))
        self.findings = sorted(findings.kept, key=lambda f: (SEVERITIES.index(f.severity), order[f.kind],
                                                             parts.index(f.place.part), natural_key(f.place.file)))
        self.counts: dict[str, dict[str, int]] = {}
        for kind, severity in sorted(findings.counts, key=lambda key: (order[key[0]], SEVERITIES.index(key[1]))):
            self.counts.setdefault(kind, {})[severity] = findings.counts[kind, severity]
        self.statistics = statistics
        self.checked = checked

    def count(self, severity: str) -> int:
        """Count the findings of a severity: "error", "warning" or "info"."""
        return sum(by_severity.get(severity, 0) for by_severity in self.counts.values())

    def exit_code(self, strict: bool = False) -> int:
        """Return the exit code of a check: 1 if there are errors (or, if `strict`, warnings), else 0."""
        return int(bool(self.count(ERROR) or (strict and self.count(WARNING))))

    def summary(self) -> str:
        """Return the numbers of images, annotations and findings in one line."""
        parts = self.statistics["parts"]
        images, annotations = (sum(part[key] for part in parts) for key in ("images", "annotations"))
        words = zip(SEVERITIES, ("error", "warning", "note"))
        counts = ", ".join(f"{self.count(s)} {word}{'' if self.count(s) == 1 else 's'}" for s, word in words)
        return f"{self.source}: {images} images, {annotations} annotations: {counts}"

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values for JSON."""
        return {
            "source": self.source,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "kinds": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
            "statistics": _printable(self.statistics),
        }

    def save(self, path: Path | str) -> None:
        """Write `to_dict` as JSON."""
        save_json(path, self.to_dict(), indent=1)

    def save_html(self, path: Path | str, progress: Show | None = None) -> None:
        """Write a self-contained page with the findings, pictures of the worst, and the statistics.

        Args:
            progress: called after each picture.
        """
        from mrcnn.tools.doctor.html import write_report  # imports drawing code, which the terminal report does not need

        write_report(self, path, progress)

    def table(self, width: int = 110) -> str:
        """Format the report for a terminal with `width` characters per line."""
        out = io.StringIO()
        console = Console(file=out, width=width, color_system=None, force_jupyter=False, markup=False, emoji=False)
        console.print(self.summary())
        if self.findings:
            console.print(self._finding_table())
        for table in (_part_table(self.statistics["parts"]), _class_table(self.statistics["classes"])):
            if table is not None:
                console.print(table)
        for line in size_lines(self.statistics["sizes"]):
            console.print(line)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"

    def _finding_table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("count", justify="right", no_wrap=True)
        table.add_column("finding and example", overflow="fold", ratio=3)
        table.add_column("what to do", overflow="fold", ratio=2)
        for finding in self.examples():
            count = self.counts[finding.kind][finding.severity]
            text = Group(KINDS[finding.kind].title, Padding(str(finding), (0, 0, 0, 2)))
            table.add_row(finding.severity, str(count), text, finding.advice)
        return table

    def examples(self) -> list[Finding]:
        """Return the worst finding of each kind and severity, in the order of `findings`."""
        worst: dict[tuple[str, str], Finding] = {}
        for finding in self.findings:
            key = finding.kind, finding.severity
            if key not in worst or finding.weight > worst[key].weight:
                worst[key] = finding
        return list(worst.values())


def _part_table(parts: Sequence[dict[str, Any]]) -> Table | None:
    if len(parts) < 2:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("subset", overflow="fold")
    for name in ("images", "without objects", "annotations", "crowds"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        cells = (part[key] for key in ("images", "without_objects", "annotations", "crowds"))
        table.add_row(printable(part["part"]), *map(str, cells))
    return table


def _class_table(classes: Sequence[dict[str, Any]]) -> Table | None:
    """Make a table of the most frequent classes; classes without objects are reported as findings instead."""
    present = [row for row in classes if row["objects"]]
    if not present:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    table.add_column("objects", justify="right", no_wrap=True)
    table.add_column("images", justify="right", no_wrap=True)
    parts = list(present[0]["by_part"])
    for part in parts if len(parts) > 1 else ():
        table.add_column(printable(part), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in present[:_CLASSES]:
        bar = "#" * max(round(20 * row["objects"] / present[0]["objects"]), 1)
        by_part = [str(row["by_part"].get(part, 0)) for part in parts] if len(parts) > 1 else []
        table.add_row(printable(row["name"]), str(row["objects"]), str(row["images"]), *by_part, bar)
    rest = present[_CLASSES:]
    if rest:
        by_part = [str(sum(row["by_part"].get(part, 0) for row in rest)) for part in parts] if len(parts) > 1 else []
        table.add_row(f"{len(rest)} more classes", str(sum(row["objects"] for row in rest)), "", *by_part, "")
    return table


def _printable(value: Any) -> Any:
    """Make all text of the statistics printable."""
    if isinstance(value, dict):
        return {printable(key): _printable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(v) for v in value]
    return printable(value) if isinstance(value, str) else value
