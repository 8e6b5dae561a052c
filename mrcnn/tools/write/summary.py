"""What a writer or a conversion did, for people."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Summary:
    """What was written and what was not.

    Attributes:
        images: int. Images written, those without instances too.
        instances: int. Instances written.
        per_class: {str class name: int instances}, in the order of the classes; a class without instances is there too.
        left_out: list of (where, reason): images and instances that are not in what was written, those that the reader
            left out first. `where` is an id, a file or a place in one.
        told: list of (where, what): what was mended, or is to be known, and was written all the same.
    """

    images: int = 0
    instances: int = 0
    per_class: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)
    told: list = field(default_factory=list)

    @classmethod
    def of(cls, dataset):
        """Begin the summary of writing a data set: no image yet, but what its reader left out and told."""
        names = {str(info["name"]): 0 for info in dataset.class_info[1:]}
        return cls(0, 0, names, list(getattr(dataset, "skipped", ())), list(getattr(dataset, "told", ())))

    def count(self, class_name):
        """Count one instance. Args: class_name: str."""
        self.instances += 1
        self.per_class[class_name] = self.per_class.get(class_name, 0) + 1

    def table(self):
        """Lay it out for a terminal: str of several lines, as wide as the terminal (100 columns where there is none)."""
        from rich import box
        from rich.console import Console
        from rich.table import Table

        console = Console(color_system=None, force_jupyter=False, width=None if _is_terminal() else 100)
        tables = [self.first_table(Table(box=box.SIMPLE_HEAD))]
        for title, entries in (("left out", self.left_out), ("told", self.told)):
            if entries:
                tables.append(_reason_table(Table(box=box.SIMPLE_HEAD), title, entries))
        with console.capture() as text:
            for table in tables:
                console.print(table)
        return "\n".join(line.rstrip() for line in text.get().splitlines() if line.strip())

    def first_table(self, table):
        """Lay out what was written, before what was left out. Args: table: rich Table without columns. Returns: it."""
        return _class_table(table, self)


def counted(number, what, many=None):
    """Say how many there are: str, such as "1 image". Args: number: int; what: str, one of them; many: str, if not -s."""
    return f"{number} {what if number == 1 else many or what + 's'}"


def _is_terminal():
    import sys

    return sys.stdout.isatty()


def _class_table(table, summary):
    table.add_column("class", overflow="fold")
    table.add_column("instances", justify="right")
    for name, count in summary.per_class.items():
        table.add_row(_plain(name), str(count))
    table.add_section()
    sums = f"{counted(len(summary.per_class), 'class', 'classes')}, {counted(summary.images, 'image')}"
    table.add_row(sums, str(summary.instances))
    return table


def _reason_table(table, title, entries):
    """One row a reason, with its number and the first place: thousands of annotations may share it."""
    counts, first = Counter(), {}
    for where, reason in entries:
        counts[reason] += 1
        first.setdefault(reason, where)
    table.add_column(title, justify="right")
    table.add_column("why", overflow="fold")
    table.add_column("such as", overflow="fold")
    for reason, count in counts.most_common():
        table.add_row(str(count), _plain(reason), _plain(first[reason]))
    return table


def _plain(text):
    """A name may hold [brackets], which rich would take for its markup."""
    from rich.text import Text

    return Text(str(text))
