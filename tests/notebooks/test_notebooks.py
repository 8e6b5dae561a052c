"""The notebooks: their format, and a run of each with tiny settings.

All run in one kernel, which is reset between them, because TensorFlow takes seconds to start. It runs eagerly, because tracing
a graph takes longer than the few steps here. `make notebooks` runs them as users do.
"""
import ast

import nbformat
import pytest

from mrcnn.cli.main import main
from notebooks import execute
from tests.datasets.formats.labelme_files import ring, shape
from tests.datasets.formats.labelme_files import write as write_labelme
from tests.shared_data import shared_path

pytestmark = pytest.mark.tensorflow_only

NAMES = ("coco_image_viewer", "demo", "inspect_cocolvis", "inspect_data", "inspect_model", "inspect_weights",
         "semantic_segmentation", "train_shapes", "train_your_own")  # fmt: skip
MAX_CODE_CELLS = 11
MIN_WORDS = 150

# The smallest network and images with which everything works.
NETWORK = {
    "IMAGES_PER_GPU": 2, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "BACKBONE": "compact", "TOP_DOWN_PYRAMID_SIZE": 16,
    "RPN_HEAD_CHANNELS": 16, "MASK_HEAD_CHANNELS": 16, "FPN_CLASSIF_FC_LAYERS_SIZE": 32, "PRE_NMS_LIMIT": 50,
    "POST_NMS_ROIS_TRAINING": 20, "POST_NMS_ROIS_INFERENCE": 20, "TRAIN_ROIS_PER_IMAGE": 8, "DETECTION_MAX_INSTANCES": 5,
    "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128), "DETECTION_MIN_CONFIDENCE": 0.0, "OPTIMIZER": "adam", "LOADER_WORKERS": 0,
}  # fmt: skip
# Six steps, with positive ROIs only; otherwise it is random whether such a network detects anything to draw.
SMALL_RUN = {"TRAIN_IMAGES": 4, "EPOCHS": 3, "NETWORK": {**NETWORK, "ROI_POSITIVE_RATIO": 1.0}}
TINY = {
    "coco_image_viewer": {"SHOWN": 3},
    "demo": SMALL_RUN,
    "inspect_cocolvis": {"IMAGES": 3},
    "inspect_data": {"SETTINGS": {"IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128, "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128)},
                     "BATCH_SIZE": 2, "RANDOM_ROIS": 200, "FRACTION_IMAGES": 4},
    "inspect_model": SMALL_RUN,
    "inspect_weights": SMALL_RUN,
    "semantic_segmentation": {"IMAGES": 6, "VAL_IMAGES": 3, "SIZE": (32, 48), "BATCH_SIZE": 2, "EPOCHS": 1, "FILTERS": 8},
    "train_shapes": {"IMAGES": 4, "VAL_IMAGES": 4, "SIZE": 64, "EPOCHS": [1, 2],
                     "SETTINGS": {**NETWORK, "STEPS_PER_EPOCH": 1, "VALIDATION_STEPS": 1}},
    "train_your_own": {"IMAGES": 12, "SIZE": 64, "EPOCHS": 2, "SETTINGS": {**NETWORK, "STEPS_PER_EPOCH": 1,
                                                                          "VALIDATION_STEPS": 1}},
}  # fmt: skip
SETUP = "import tensorflow as tf; tf.config.run_functions_eagerly(True)"
CLEAN = "import matplotlib.pyplot as plt; plt.close('all')\n%reset -f"


def words(notebook):
    return sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")


def run_line(client, source):
    execute.run_notebook(client, nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]))


def printed(notebook):
    """Return everything that the cells of a notebook printed."""
    outputs = [output for cell in execute.code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The output folder of all notebooks, which share the small network that one of them trains."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def kernel():
    with execute.open_kernel() as client:
        run_line(client, SETUP)
        yield client


def run(kernel, folder, name, **values):
    """Run a notebook with other parameters in a reset kernel, and return it with its outputs."""
    notebook = execute.read_notebook({path.stem: path for path in execute.find_notebooks()}[name])
    execute.set_parameters(notebook, {"OUTPUT": str(folder), **values})
    run_line(kernel, CLEAN)
    execute.run_notebook(kernel, notebook)
    return notebook


def test_every_notebook_exists():
    assert [path.stem for path in execute.find_notebooks()] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_has_the_required_format(name):
    (path,) = [path for path in execute.find_notebooks() if path.stem == name]
    notebook = execute.read_notebook(path)
    nbformat.validate(notebook)
    cells = execute.code_cells(notebook)
    assert len(cells) <= MAX_CODE_CELLS
    stored = [cell.source for cell in cells if cell.outputs or cell.execution_count is not None]
    assert not stored, "clear all outputs and save"
    for cell in cells:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        defined = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, kinds)]
        assert not defined, f"move this to the package and import it: {ast.unparse(defined[0])}"
    assert "parameters" in cells[0].metadata.tags and execute.code_cells(notebook, "figure")
    assert notebook.cells[0].source.startswith("# ") and words(notebook) >= MIN_WORDS
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(kernel, folder, name):
    assert not execute.figure_faults(run(kernel, folder, name, **TINY[name]))


def test_viewer_opens_the_json_that_the_labelme_conversion_writes(kernel, folder, tmp_path, monkeypatch):
    for i in range(2):
        write_labelme(tmp_path / "photographs", [shape("fig", ring(10, 5, 30, 25)), shape("date", ring(40, 5, 55, 35))], f"{i}")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "labelme", "photographs"]) == 0
    notebook = run(kernel, folder, "coco_image_viewer", DATASET=str(tmp_path / "trainval.json"),
                   IMAGES_DIR=str(tmp_path / "photographs"))  # fmt: skip
    assert not execute.figure_faults(notebook)
    assert "2 images, 3 classes including background: BG, date, fig" in printed(notebook)


def test_inspection_of_coco_prints_the_known_values(kernel, folder):
    notebook = run(kernel, folder, "inspect_data", DATASET=str(shared_path("data/tiny_coco")), SUBSET="train")
    assert not execute.figure_faults(notebook)
    text = " ".join(printed(notebook).split())
    for line in KNOWN:
        assert " ".join(line.split()) in text, f"{line} is not in {printed(notebook)}"
    fraction = float(text.split("positive ROIs: ")[1].split()[0])
    assert 0.25 <= fraction <= 0.34


# The values of the default configuration on COCO.
KNOWN = """\
Classes: 81
0 BG, 1 person, 2 bicycle
image                    shape: (1024, 1024, 3)
image_meta               shape: (93,)
anchors                  shape: (261888, 4)           min: -362.03867  max: 1322.03867
level 0:  196608 anchors of 32 pixels on a map of 256 x 256
level 1:   49152 anchors of 64 pixels on a map of 128 x 128
level 2:   12288 anchors of 128 pixels on a map of 64 x 64
level 3:    3072 anchors of 256 pixels on a map of 32 x 32
level 4:     768 anchors of 512 pixels on a map of 16 x 16
images                   shape: (4, 1024, 1024, 3)
image_meta               shape: (4, 93)
rpn_match                shape: (4, 261888, 1)        min:   -1.00000  max:    1.00000  int32
rpn_bbox                 shape: (4, 256, 4)
gt_class_ids             shape: (4, 100)
gt_boxes                 shape: (4, 100, 4)
gt_masks                 shape: (4, 56, 56, 100)      min:    0.00000  max:    1.00000  bool
rpn_rois                 shape: (4, 2000, 4)
rois                     shape: (4, 200, 4)
mrcnn_class_ids          shape: (4, 200, 1)
mrcnn_bbox               shape: (4, 200, 81, 4)
mrcnn_mask               shape: (4, 200, 28, 28, 81)  min:    0.00000  max:    1.00000  float32""".splitlines()
