"""Run the notebooks, each in its own kernel, and save their outputs.

    python3 notebooks/execute.py
    python3 notebooks/execute.py inspect_data --set DATASET=../../shared/data/tiny_coco --output build/notebooks

The notebooks themselves do not change: they stay without outputs, and the executed copies go to the output folder. An error in
a cell fails the run, and so does a cell tagged "figure" that draws nothing.

--set replaces values of a notebook's first code cell, tagged "parameters"; paths are relative to notebooks/.
"""

import argparse
import ast
import base64
import difflib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import nbformat
import numpy as np
from jaxtyping import UInt8
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
ROOT_DIR = FOLDER.parent
CELL_SECONDS = 3600
# A picture is not blank if this share of its pixels is coloured, or, if it is grey, has neither of the two most common
# values. Empty axes are thin grey lines on white.
_MIN_COLORED, _MIN_GREY, _COLOR_SPREAD = 0.0001, 0.1, 4


def find_notebooks() -> list[Path]:
    """Return the paths of the notebooks, sorted by name."""
    return sorted(FOLDER.glob("*.ipynb"))


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook in format 4."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode, tag: str | None = None) -> list[NotebookNode]:
    """Return the code cells of a notebook, or those with a tag."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if tag is None or tag in cell.metadata.get("tags", [])]


def set_parameters(notebook: NotebookNode, values: Mapping[str, Any]) -> None:
    """Insert a cell with other values after the cell tagged "parameters", in place.

    Args:
        values: Python literals by name.

    Raises:
        ValueError: a name that the cell does not assign, with the closest one.
    """
    (cell,) = code_cells(notebook, "parameters")
    known = [target.id for node in ast.parse(cell.source).body if isinstance(node, ast.Assign)
             for assigned in node.targets for target in ast.walk(assigned) if isinstance(target, ast.Name)]  # fmt: skip
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0)
            raise ValueError(f"the notebook has no parameter {name}; did you mean {close[0]}? It has {', '.join(known)}")
    if values:
        source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
        place = notebook.cells.index(cell) + 1
        notebook.cells.insert(place, nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]}))


@contextmanager
def open_kernel() -> Iterator[NotebookClient]:
    """Start a kernel in notebooks/ that finds this clone of the package, installed or not."""
    env = dict(os.environ)
    # figures go into the notebook, whatever the caller's environment says
    env["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT_DIR), env.get("PYTHONPATH")]))
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    env.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    empty = nbformat.v4.new_notebook()
    client = NotebookClient(empty, timeout=CELL_SECONDS, kernel_name="python3", extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(FOLDER)}})  # fmt: skip
    with client.setup_kernel(env=env):
        yield client


def run_notebook(client: NotebookClient, notebook: NotebookNode) -> None:
    """Run the cells of a notebook in a kernel of `open_kernel`, and store their outputs in it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error; with the cell and its traceback.
    """
    client.nb = notebook
    client.reset_execution_trackers()
    for position, cell in enumerate(notebook.cells):
        client.execute_cell(cell, position)


def pictures_of(cell: NotebookNode) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Decode the RGB pictures in the outputs of a cell."""
    encoded = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    buffers = [np.frombuffer(base64.b64decode(text), np.uint8) for text in encoded]
    return [cv2.imdecode(buffer, cv2.IMREAD_COLOR)[:, :, ::-1] for buffer in buffers]


def is_blank(picture: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether a picture shows nothing, or only empty axes or a uniform background."""
    pixels = picture.reshape(-1, 3).astype(np.int16)
    if np.mean(np.ptp(pixels, axis=1) > _COLOR_SPREAD) >= _MIN_COLORED:
        return bool((pixels == pixels[0]).all())
    shares = np.sort(np.bincount(pixels.mean(axis=1).astype(np.int64)))[::-1] / len(pixels)
    return bool(1 - shares[:2].sum() < _MIN_GREY)


def figure_faults(notebook: NotebookNode) -> list[str]:
    """Return what is wrong with the figures of an executed notebook.

    A cell tagged "figure" must have pictures, none of them blank, and a cell without the tag must have none.
    """
    faults = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        pictures, where = pictures_of(cell), f"code cell {number} ({cell.source.splitlines()[0] if cell.source else 'empty'})"
        if "figure" not in cell.metadata.get("tags", []):
            faults += [f'{where} drew a picture, but has no tag "figure"'] if pictures else []
        elif not pictures:
            faults.append(f"{where} drew no figure")
        elif any(is_blank(picture) for picture in pictures):
            faults.append(f"{where} drew a blank figure")
    return faults


def _parse_value(text: str) -> tuple[str, Any]:
    """Parse NAME=VALUE; a value that is not a Python literal is text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Return 1 if a figure is missing, else 0."""
    parser = argparse.ArgumentParser(description="Run the notebooks and save their outputs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks to run, without .ipynb (default: all)")
    parser.add_argument("--set", type=_parse_value, action="append", default=[], metavar="NAME=VALUE", dest="values",
                        help="replace a value of the parameters cell; may be repeated")
    parser.add_argument("--output", type=Path, default=ROOT_DIR / "build" / "notebooks", metavar="DIR",
                        help="folder for the executed notebooks (default: %(default)s)")
    args = parser.parse_args(argv)
    notebooks = {path.stem: path for path in find_notebooks()}
    for name in args.names:
        if name not in notebooks:
            parser.error(f"there is no notebook {name!r}: choose {', '.join(notebooks)}")
    chosen = {name: read_notebook(notebooks[name]) for name in args.names or notebooks}
    for name, notebook in chosen.items():  # before the first one runs
        try:
            set_parameters(notebook, dict(args.values))
        except ValueError as error:
            parser.error(f"--set: {name}: {error}")
    args.output.mkdir(parents=True, exist_ok=True)
    status = 0
    for name, notebook in chosen.items():
        started = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True)
        try:
            with open_kernel() as client:
                run_notebook(client, notebook)
        finally:
            nbformat.write(notebook, args.output / f"{name}.ipynb")
        faults = figure_faults(notebook)
        status = status or int(bool(faults))
        print(f"{time.perf_counter() - started:.0f} s, {sum(len(pictures_of(c)) for c in code_cells(notebook))} figures")
        for fault in faults:
            print(f"  {fault}")
    print(f"Outputs: {args.output}")
    return status


if __name__ == "__main__":
    sys.exit(main())
