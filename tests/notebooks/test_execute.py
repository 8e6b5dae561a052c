"""The notebook runner: parameters, figures, and the detection of blank figures."""
import base64

import cv2
import nbformat
import numpy as np
import pytest
from matplotlib import pyplot as plt

from notebooks.execute import figure_faults, find_notebooks, is_blank, main, pictures_of, set_parameters

WHITE = np.full((60, 80, 3), 255, np.uint8)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(draw):
    """Return what a function draws on an Axes, as uint8 [H, W, 3]."""
    figure, ax = plt.subplots(figsize=(4, 3))
    draw(ax)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3]


def cell_with(source, *pictures, tags=()):
    """Return a code cell that printed a word and drew these figures."""
    outputs = [nbformat.v4.new_output("stream", text="a word")]
    for picture in pictures:
        encoded = base64.b64encode(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()).decode()
        outputs.append(nbformat.v4.new_output("display_data", {"image/png": encoded}))
    return nbformat.v4.new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def notebook_of(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def test_blank_pictures_are_recognised():
    red_ground = np.full((60, 80, 3), (200, 20, 20), np.uint8)
    black_square = WHITE.copy()
    black_square[10:50, 10:60] = 0
    for name, picture in {"white": WHITE, "red": red_ground, "black": black_square, "axes": drawn(lambda ax: None),
                          "title": drawn(lambda ax: ax.set_title("Precision-recall curve"))}.items():
        assert is_blank(picture), name


def test_pictures_with_content_are_not_blank():
    grey_ramp = np.repeat(np.tile(np.arange(80, dtype=np.uint8) * 3, (60, 1))[:, :, None], 3, axis=2)
    dot = WHITE.copy()
    dot[20:24, 20:24] = (0, 114, 178)
    for name, picture in {"ramp": grey_ramp, "dot": dot, "curve": drawn(lambda ax: ax.plot([1, 2, 1])),
                          "bars": drawn(lambda ax: ax.bar([1, 2], [3, 1]))}.items():
        assert not is_blank(picture), name


def test_pictures_of_a_cell_are_returned_unchanged():
    picture = WHITE.copy()
    picture[:10, :20] = (213, 94, 0)
    (returned,) = pictures_of(cell_with("draw()", picture))
    np.testing.assert_array_equal(returned, picture)


def test_figure_cells_that_drew_nothing_are_reported():
    curve = drawn(lambda ax: ax.plot([1, 2, 1]))
    notebook = notebook_of(
        nbformat.v4.new_markdown_cell("# Words"),
        cell_with("fine()", curve, tags=["figure"]),
        cell_with("nothing()", tags=["figure"]),
        cell_with("half()", curve, WHITE, tags=["figure"]),
        cell_with("untagged()", curve),
        cell_with("words()"),
    )
    assert figure_faults(notebook) == [
        "code cell 2 (nothing()) drew no figure",
        "code cell 3 (half()) drew a blank figure",
        'code cell 4 (untagged()) drew a picture, but has no tag "figure"',
    ]


def test_new_values_are_set_after_the_parameters():
    notebook = notebook_of(cell_with("SIZE, DATASET = 1024, None\nEPOCHS = [1, 2]", tags=["parameters"]), cell_with("use()"))
    set_parameters(notebook, {"DATASET": "a/b", "EPOCHS": [1, 1]})
    assert [cell.source for cell in notebook.cells][1:] == ["DATASET = 'a/b'\nEPOCHS = [1, 1]", "use()"]
    with pytest.raises(ValueError, match="no parameter EPOCH; did you mean EPOCHS"):
        set_parameters(notebook, {"EPOCH": 3})


def test_error_about_an_unknown_notebook_lists_the_existing_ones(capsys):
    with pytest.raises(SystemExit):
        main(["inspect_dat"])
    message = capsys.readouterr().err
    assert "demo" in message and all(path.stem in message for path in find_notebooks())


def test_an_unknown_parameter_is_refused_before_any_notebook_runs(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "inspect_data", "--set", "EPOCHZ=3", "--output", str(tmp_path / "out")])
    assert caught.value.code == 2 and not (tmp_path / "out").exists()
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: --set: demo: the notebook has no parameter EPOCHZ; did you mean" in error
