"""The table of a run, history.csv: a line an epoch with its losses, figures and speed.

Keras is not imported here, so that a run can be read where there is no backend.
"""

import csv
import math
from pathlib import Path

from mrcnn.data.files import whole_file

HISTORY_NAME = "history.csv"


def read_history(path):
    """Read the table of a run.

    Args:
        path: path of a history.csv.

    Returns:
        list of {column: float}, in the order of "epoch" (from 1); what is empty or no number is left out. Of two lines
        of one epoch, as a run that was taken up again at an earlier checkpoint has them, the later one counts.

    Raises:
        ValueError: the file has no column "epoch", or is no text.
        OSError: it cannot be read.
    """
    rows = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                row = {name: number for name, text in line.items() if (number := _number(text)) is not None}
                if "epoch" in row and math.isfinite(row["epoch"]):
                    rows[row["epoch"]] = row
                elif "epoch" not in line:
                    raise ValueError("there is no column named epoch")
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: no history of a run: {error}") from error
    return [rows[epoch] for epoch in sorted(rows)]


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):  # None or a list where a line is shorter or longer than the head
        return None


def write_history(path, rows):
    """Write the table, whole or not at all.

    Args:
        path: path.
        rows: list of {column: number}. Columns may differ from row to row: those of a stage without validation do.
    """
    columns = ["epoch", *sorted({name for row in rows for name in row} - {"epoch"})]
    with whole_file(Path(path), "w") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({**row, "epoch": int(row["epoch"])})
