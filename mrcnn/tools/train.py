"""A run that chooses what is not set: `train`, and what it and `mrcnn train` print before and after training."""

import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages, progress_bar
from mrcnn.base.terminal import clock_text
from mrcnn.base.text import listed, short
from mrcnn.config import ConfigError
from mrcnn.datasets.dataset import Dataset
from mrcnn.tools.report.measurement import Measurement, measure
from mrcnn.tools.report.page import write_report
from mrcnn.tools.report.run import read_run
from mrcnn.training.held_out import divide_data
from mrcnn.training.presets import Choice
from mrcnn.training.run_start import RunStart, load_start_weights
from mrcnn.training.runs import describe_environment
from mrcnn.training.trained_run import best_epoch, best_weights

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

# characters of a line, and of the names at its start
WIDTH, _NAMES = 80, 13


def train(dataset: Dataset, validation: Dataset | None = None, *, weights: str | None = None, recipe: str | None = None,
          val_share: float | None = None, model_dir: Path | str = "logs", **settings: Any) -> "MaskRCNN":
    """Train on a data set as `mrcnn train` does: what is not given is chosen from the data, and printed with the reason.

        model = train(mrcnn.datasets.open("photographs"))

    Args:
        dataset: prepared.
        validation: prepared, with the same classes. None holds out a share of `dataset`.
        weights: the name of published weights, "imagenet", "none" for random weights, a weight file, a run folder, or "last" or
            "best" for the newest run in `model_dir`. A run of the same NAME is resumed; that of another one is the start of a
            new run, whose class heads take over the classes of the same name. None: a small backbone trained on ImageNet, if
            mrcnn[pretrained] is installed, else random weights.
        recipe: name of a recipe of `mrcnn.recipes` to build on.
        val_share: fraction of the images to hold out if there is no `validation`; 0 for none. None for the default.
        model_dir: folder of the runs. The run has a folder of its own there.
        settings: attributes of Config, which take precedence over what is chosen; TRAIN_EPOCHS is the number of epochs, and
            NAME is that of the run, by default the name of the data format.

    Returns:
        The model, with the best weights by AP on the validation images; without validation, with the last. `log_dir` is the
        folder of the run.

    Raises:
        ConfigError: a setting is unknown or invalid.
        DataError: the data cannot be used for training, or the validation images have other classes.
        ValueError: the network does not fit the weights.
        FileNotFoundError: there are no such weights.
    """
    began = time.perf_counter()
    if not isinstance(dataset, Dataset):
        raise DataError(f"expected a data set, found {short(dataset)}: open a folder with mrcnn.datasets.open(path).")
    if val_share is not None and not 0 <= val_share < 1:
        raise ConfigError(f"val_share is {val_share}: give the fraction of the images to hold out, at least 0 and below 1.")
    if not len(dataset.image_ids):
        raise DataError("the data set has no images: load some, and call its prepare() before training.")
    start = RunStart.find(str(dataset.image_info[0]["source"]), settings, weights, recipe, model_dir)
    config = start.config()
    train_set, val_set, where = dataset, validation, "as given"
    if validation is None:
        train_set, val_set, where = divide_data(dataset, val_share, config.SEED, progress_bar, start.run_folder)
    config, choices = start.choose(config, train_set, val_set, progress_bar)
    from mrcnn.training.mask_rcnn import MaskRCNN

    model = MaskRCNN("training", config, str(model_dir))
    for text in begin_lines(train_set, val_set, where, start.text, choices):
        print(text)
    load_start_weights(model, start.weights, class_names=train_set.class_names, classes_from=start.classes_from)
    model.train(train_set, val_set, config.LEARNING_RATE, config.TRAIN_EPOCHS, config.TRAIN_LAYERS)
    folder = str(model.log_dir)
    measured, report = finish(model, folder, val_set, f"{model.config.NAME}, the validation images", progress_bar)
    for text in end_lines(folder, measured, report, time.perf_counter() - began):
        print(text)
    return model


def line(name: str, text: str) -> str:
    """Format "name: text" in lines of at most WIDTH characters, the text in its own column."""
    return textwrap.fill(text, WIDTH, initial_indent=f"{name + ':':<{_NAMES}}", subsequent_indent=" " * _NAMES,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def begin_lines(train_set: Dataset, val_set: Dataset | None, validation: str, weights: str, choices: Sequence[Choice],
                ) -> Iterator[str]:  # fmt: skip
    """Describe a run that begins: device, images, classes, weights, and each choice with its reason.

    Args:
        validation: where the validation images come from, or why there are none.
        weights: where the initial weights come from.
    """
    environment = describe_environment()
    devices = ", ".join(environment["devices"])
    if devices == "CPU":
        devices = f"CPU, {environment['cores']} cores, {environment['processor']}"
    yield line("Device", f"{devices} ({environment['backend']})")
    validated = f"{val_set.num_images} to validate" if val_set is not None else "none to validate"
    yield line("Images", f"{train_set.num_images} to train, {validated} ({validation})")
    names = train_set.class_names[1:]
    yield line("Classes", f"{len(names)}: {listed(names)}")
    yield line("Weights", weights)
    for choice in choices:
        yield line(choice.what, f"{choice.text}: {choice.reason}")


def finish(model: "MaskRCNN", folder: str, dataset: Dataset | None, data: str, progress: Stages,
           ) -> tuple[Measurement | None, Path]:  # fmt: skip
    """Evaluate the best weights of a run that has been trained, and write its report.

    Args:
        model: in training mode. It is left with the best weights, and with the folder of the run.
        folder: the run folder.
        dataset: the validation images; None writes a report without an evaluation.
        data: their name, for the page.

    Returns:
        The evaluation, and the path of the report.
    """
    measured, missing = None, ["Average precision: the run had no validation images."]
    weights = best_weights(folder)
    if dataset is not None and weights is not None:
        log_dir, checkpoint_path = model.log_dir, model.checkpoint_path
        model.load_weights(weights, by_name=True)
        model.log_dir, model.checkpoint_path = log_dir, checkpoint_path
        config = model.config
        measured, missing = measure(model, dataset, weights=weights.name, data=data, limit=config.VALIDATION_AP_IMAGES,
                                    min_confidence=0.0, min_score=config.DETECTION_MIN_CONFIDENCE or 0.0,
                                    progress=progress), []  # fmt: skip
    path = Path(folder, "report.html")
    with progress("drawing the report") as show:
        write_report(path, read_run(folder), measured, missing, show)
    return measured, path


def end_lines(folder: str, measured: Measurement | None, report: Path, seconds: float) -> Iterator[str]:
    """Describe a run that has ended: AP by class, the best epoch, the time and the files."""
    if measured is not None:
        yield measured.result.table(width=WIDTH)
    history = read_run(folder).history
    best = best_epoch(history)
    if best is not None:
        epoch, column, value = best
        row: dict[str, Any] = next(row for row in history if row["epoch"] == epoch)
        more = f", AP50 {row['val_mask_AP50']:.3f}" if "val_mask_AP50" in row else ""
        name = {"val_mask_AP": "mask AP", "val_loss": "validation loss"}[column]
        yield line("Best epoch", f"{epoch} of {int(history[-1]['epoch'])}, {name} {value:.3f}{more}")
    yield line("Time", clock_text(seconds))
    yield line("Run folder", folder)
    yield line("Report", str(report))
