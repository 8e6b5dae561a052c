"""The summary of a writer or a conversion."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mrcnn.base.text import printable
from mrcnn.datasets.dataset import Dataset

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


@dataclass
class Summary:
    """What was written and what was skipped.

    Attributes:
        images: number of images written, including images without instances.
        instances: number of instances written.
        per_class: number of instances by class name, in the order of the classes, including zeros.
        skipped: (where, reason) of each image and instance that was not written, starting with those the reader skipped.
            `where` is an id, a file or a place in a file.
        notes: (where, note) of everything that was corrected or is worth knowing.
    """

    images: int = 0
    instances: int = 0
    per_class: dict[str, int] = field(default_factory=dict)
    skipped: list[tuple[Any, str]] = field(default_factory=list)
    notes: list[tuple[Any, str]] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: Dataset) -> "Summary":
        """Make the initial summary of writing a data set, with everything its reader skipped and noted."""
        names = {str(info["name"]): 0 for info in dataset.class_info[1:]}
        return cls(0, 0, names, list(getattr(dataset, "skipped", ())), list(getattr(dataset, "notes", ())))

    def count(self, class_name: str) -> None:
        """Count one instance."""
        self.instances += 1
        self.per_class[class_name] = self.per_class.get(class_name, 0) + 1

    def table(self) -> str:
        """Format the summary as text, at the width of the terminal (100 columns without one)."""
        from rich import box
        from rich.console import Console
        from rich.table import Table

        console = Console(color_system=None, force_jupyter=False, width=None if sys.stdout.isatty() else 100)
        tables = [self.first_table(Table(box=box.SIMPLE_HEAD))]
        for title, entries in (("skipped", self.skipped), ("notes", self.notes)):
            if entries:
                tables.append(_reason_table(Table(box=box.SIMPLE_HEAD), title, entries))
        with console.capture() as text:
            for table in tables:
                console.print(table)
        return "\n".join(line.rstrip() for line in text.get().splitlines() if line.strip())

    def first_table(self, table: "Table") -> "Table":
        """Fill an empty table with what was written."""
        table.add_column("class", overflow="fold")
        table.add_column("instances", justify="right")
        for name, count in self.per_class.items():
            table.add_row(_plain(name), str(count))
        table.add_section()
        sums = f"{counted(len(self.per_class), 'class', 'classes')}, {counted(self.images, 'image')}"
        table.add_row(sums, str(self.instances))
        return table


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Format a number with its noun, such as "1 image". `plural` defaults to the noun with an -s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def _reason_table(table: "Table", title: str, entries: Sequence[tuple[Any, str]]) -> "Table":
    """Fill a table with one row per reason, its count and its first place: thousands of annotations may share a reason."""
    counts: Counter[str] = Counter()
    first: dict[str, Any] = {}
    for where, reason in entries:
        counts[reason] += 1
        first.setdefault(reason, where)
    table.add_column(title, justify="right")
    table.add_column("why" if title == "skipped" else "what", overflow="fold")
    table.add_column("for example", overflow="fold")
    for reason, count in counts.most_common():
        table.add_row(str(count), _plain(reason), _plain(first[reason]))
    return table


def _plain(text: object) -> "Text":
    """Make text safe for a terminal, and for rich: a name may contain [brackets], which are rich's markup."""
    from rich.text import Text

    return Text(printable(text))
