"""Run the notebooks, each in a kernel of its own, and keep what they print and draw.

    python3 notebooks/execute.py
    python3 notebooks/execute.py inspect_data --set DATASET=../../shared/data/tiny_coco --output build/notebooks

The notebooks themselves stay as they are: without outputs. What was run goes to the output folder. An error in a cell ends
the run, and so does a cell tagged "figure" that drew nothing.

The values of a notebook's first cell, tagged "parameters", may be replaced with --set; paths are seen from notebooks/.
"""

import argparse
import ast
import base64
import difflib
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import nbformat
import numpy as np
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
ROOT_DIR = FOLDER.parent
CELL_SECONDS = 3600
# How a picture is told from an empty one: the share of its pixels that have a colour, or, where all is grey, that have
# neither of the two commonest values. Axes without anything in them are thin grey lines on white.
_LEAST_COLORED, _LEAST_GREY, _COLOR_SPREAD = 0.0001, 0.1, 4


def find_notebooks():
    """List the notebooks: Paths, by name."""
    return sorted(FOLDER.glob("*.ipynb"))


def read_notebook(path):
    """Read a notebook. Args: path: path. Returns: nbformat.NotebookNode of format 4."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook, tag=None):
    """List the code cells of a notebook, those with a tag where one is given. Returns: list of NotebookNode."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if tag is None or tag in cell.metadata.get("tags", [])]


def set_parameters(notebook, values):
    """Put a cell with other values behind the cell tagged "parameters".

    Args:
        notebook: NotebookNode, changed in place.
        values: {name: value}. Values are plain Python ones: numbers, text, lists, dicts, None.

    Raises:
        ValueError: a name that the cell does not set, with the nearest one.
    """
    (cell,) = code_cells(notebook, "parameters")
    known = [target.id for node in ast.parse(cell.source).body if isinstance(node, ast.Assign)
             for assigned in node.targets for target in ast.walk(assigned) if isinstance(target, ast.Name)]  # fmt: skip
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            raise ValueError(f"the notebook has no parameter {name}; did you mean {near[0]}? It has {', '.join(known)}")
    if values:
        source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
        place = notebook.cells.index(cell) + 1
        notebook.cells.insert(place, nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]}))


@contextmanager
def open_kernel():
    """Start a kernel in notebooks/ that finds this clone of the package, installed or not.

    Yields:
        NotebookClient for `run_notebook`.
    """
    env = dict(os.environ)
    # the figures go into the notebook, whatever other programs are told to do with theirs
    env["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT_DIR), env.get("PYTHONPATH")]))
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    env.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    empty = nbformat.v4.new_notebook()
    client = NotebookClient(empty, timeout=CELL_SECONDS, kernel_name="python3", extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(FOLDER)}})  # fmt: skip
    with client.setup_kernel(env=env):
        yield client


def run_notebook(client, notebook):
    """Run the cells of a notebook one after another; their outputs are put into it.

    Args:
        client: NotebookClient with a kernel, as of `open_kernel`.
        notebook: NotebookNode, changed in place.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error; with the cell and its traceback.
    """
    client.nb = notebook
    client.reset_execution_trackers()
    for position, cell in enumerate(notebook.cells):
        client.execute_cell(cell, position)


def pictures_of(cell):
    """Decode the pictures among the outputs of a cell. Returns: list of uint8 [H, W, 3] RGB."""
    encoded = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    buffers = [np.frombuffer(base64.b64decode(text), np.uint8) for text in encoded]
    return [cv2.imdecode(buffer, cv2.IMREAD_COLOR)[:, :, ::-1] for buffer in buffers]


def is_blank(picture):
    """Tell whether nothing is drawn on a picture but, at most, empty axes or an even ground.

    Args:
        picture: uint8 [H, W, 3].

    Returns:
        bool.
    """
    pixels = picture.reshape(-1, 3).astype(np.int16)
    if np.mean(np.ptp(pixels, axis=1) > _COLOR_SPREAD) >= _LEAST_COLORED:
        return bool((pixels == pixels[0]).all())
    shares = np.sort(np.bincount(pixels.mean(axis=1).astype(np.int64)))[::-1] / len(pixels)
    return bool(1 - shares[:2].sum() < _LEAST_GREY)


def figure_faults(notebook):
    """Say what is wrong with the figures of a notebook that was run.

    Args:
        notebook: NotebookNode.

    Returns:
        list of str, one a fault: a cell tagged "figure" without a picture or with a blank one, or a picture in a cell
        that is not so tagged.
    """
    faults = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        pictures, where = pictures_of(cell), f"code cell {number} ({cell.source.splitlines()[0] if cell.source else 'empty'})"
        if "figure" not in cell.metadata.get("tags", []):
            faults += [f'{where} drew a picture, and has no tag "figure"'] if pictures else []
        elif not pictures:
            faults.append(f"{where} drew no figure")
        elif any(is_blank(picture) for picture in pictures):
            faults.append(f"{where} drew a blank figure")
    return faults


def _parse_value(text):
    """Read NAME=VALUE: a Python literal where it is one, else text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def main(argv=None):
    """Run the command line. Returns: int, 1 where a figure is missing."""
    parser = argparse.ArgumentParser(description="Run the notebooks and keep what they print and draw.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks to run, without .ipynb (default: all)")
    parser.add_argument("--set", type=_parse_value, action="append", default=[], metavar="NAME=VALUE", dest="values",
                        help="replace a value of the parameters cell; may be repeated")
    parser.add_argument("--output", type=Path, default=ROOT_DIR / "build" / "notebooks", metavar="DIR",
                        help="folder for the notebooks with their outputs (default: %(default)s)")
    args = parser.parse_args(argv)
    there = {path.stem: path for path in find_notebooks()}
    for name in args.names:
        if name not in there:
            parser.error(f"there is no notebook {name!r}: choose {', '.join(there)}")
    args.output.mkdir(parents=True, exist_ok=True)
    status = 0
    for name in args.names or there:
        notebook, started = read_notebook(there[name]), time.perf_counter()
        set_parameters(notebook, dict(args.values))
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
