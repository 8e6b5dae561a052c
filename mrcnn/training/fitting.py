"""The training loop around `keras.Model.fit`: batches, checkpoints, logs and validation."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.base.text import printable
from mrcnn.config import Config
from mrcnn.datasets.dataset import Dataset
from mrcnn.datasets.splits import shared_images
from mrcnn.loading.generator import WithRandomRois
from mrcnn.loading.loader import Loader
from mrcnn.loading.loader_pool import WorkerProcesses
from mrcnn.training.callbacks import BestEpoch, CocoValidation, History, Speed
from mrcnn.training.checkpoints import (
    SaveEpoch,
    restore_state,
    saved_epochs,
    saved_rows,
    stage_begin,
    training_stage,
    why_not_restored,
)
from mrcnn.training.held_out import save_held_out
from mrcnn.training.optimizers import LearningRate, batch_scaled_rate, scheduled_rate
from mrcnn.training.progress import TrainingProgress
from mrcnn.training.runs import HISTORY_NAME, add_environment, differences, state_path
from mrcnn.training.settings import make_loader, training_loader
from mrcnn.training.stopping import StopAtNan
from mrcnn.training.trainable import layer_regex
from mrcnn.training.trained_run import best_path
from mrcnn.training.weight_average import UseAverage, start_average

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

logger = logging.getLogger(__name__)

Batch = tuple[np.ndarray, ...]

# Batches made in advance per worker thread: enough to bridge one slow image, few enough to limit memory.
AHEAD = 2


def fit(model: "MaskRCNN", train_dataset: Dataset, val_dataset: Dataset | None, learning_rate: LearningRate, epochs: int,
        layers: str, *, augmentation: Any, custom_callbacks: Sequence[keras.callbacks.Callback] | None,
        no_augmentation_sources: Sequence[str] | None) -> keras.callbacks.History:
    """Train a MaskRCNN in training mode; the arguments are those of `MaskRCNN.train`."""
    config, log_dir = model.config, model.log_dir
    assert log_dir is not None  # `MaskRCNN.train` has checked
    regex = layer_regex(layers, model.keras_model)
    if epochs <= model.epoch:  # scripts with several stages call this for a finished stage after resuming a run
        print(f"Nothing to train up to epoch {epochs}: {model.epoch} epochs have been trained. `epochs` counts from the "
              "start of the run.")
        return keras.callbacks.History()
    if val_dataset is not None and (shared := shared_images(train_dataset, val_dataset)):
        logger.warning("%d of %d validation images are also training images, such as %s: validation then measures what the "
                       "network remembers, not what it does on new images", len(shared), len(val_dataset.image_info),
                       printable(shared[0]))
    loader = _loader(train_dataset, "training",
                     lambda: training_loader(train_dataset, config, augmentation, no_augmentation_sources))
    val_loader = None
    if val_dataset is not None and config.VALIDATION_STEPS:
        val_loader = _loader(val_dataset, "validation", lambda: make_loader(val_dataset, config, shuffle=False))
    steps = min(config.STEPS_PER_EPOCH, len(loader) * config.PASSES_PER_EPOCH)
    model.set_trainable(regex, verbose=0)
    learning_rate = batch_scaled_rate(config, learning_rate)
    state = state_path(log_dir, model.epoch)
    stage, resumed = _compile(model, learning_rate, epochs, steps, state)
    print(f"\nEpochs {model.epoch + 1} to {epochs}, learning rate {_rate_name(learning_rate)}\n"
          f"Steps per epoch: {steps} ({_share(steps, loader)})\nCheckpoints: {model.checkpoint_path}")
    if model.epoch:
        print(f"The optimizer resumes from epoch {model.epoch}." if resumed
              else f"The optimizer starts afresh: {why_not_restored(state, model.epoch, stage)}.")  # fmt: skip
    for difference in differences(log_dir, model.epoch, config, len(train_dataset.image_ids)):
        print(difference)
    _write_run(log_dir, config, train_dataset)
    save_held_out(log_dir, train_dataset, val_dataset)
    add_environment(log_dir, first_epoch=model.epoch + 1, last_epoch=epochs, layers=layers,
              learning_rate=str(_rate_name(learning_rate)), images=len(train_dataset.image_ids),
              validation_images=len(val_dataset.image_ids) if val_dataset is not None else 0)
    threads = 0 if config.LOADER_PROCESSES else config.LOADER_WORKERS
    makers = [Remembering(_batches(loader, config))]
    feed = stream(makers[0], model.epoch * steps, threads)
    val_feed, val_steps = None, None
    if val_loader is not None:
        val_steps = min(config.VALIDATION_STEPS, len(val_loader))
        makers.append(Remembering(_batches(val_loader, config, val_steps)))
        val_feed = FixedBatches(makers[1], val_steps, threads)
    progress = TrainingProgress(validation_steps=val_steps)
    try:
        return model.keras_model.fit(
            feed, verbose=0, shuffle=False, steps_per_epoch=steps, initial_epoch=model.epoch, epochs=epochs,
            validation_data=val_feed, validation_steps=val_steps,
            callbacks=[StopAtNan(loader, lambda: saved_epochs(str(model.checkpoint_path), model.epoch)),
                       *_callbacks(model, log_dir, stage, val_dataset, progress), *(custom_callbacks or ()), progress])
    except Exception as error:
        for cause in (maker.error for maker in makers):
            if cause is not None and cause is not error and str(cause) in str(error):
                raise cause from None
        raise
    finally:
        model.keras_model.average = None
        progress.close()
        for maker in makers:  # before the feed, which may be waiting for one of their batches
            maker.close()
        _close(feed)


def _compile(model: "MaskRCNN", learning_rate: LearningRate, epochs: int, steps: int, path: Path,
             ) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """Compile a model, and restore the training state of its checkpoint if that belongs to the same stage.

    The stage may have begun in an earlier process, and its learning rate follows the schedule from there.

    Args:
        epochs: see `MaskRCNN.train`.
        steps: of an epoch.
        path: the training state of the checkpoint.

    Returns:
        The stage, and whether its state was restored.
    """
    if model.config.EMA_MOMENTUM:
        model.keras_model.average = start_average(
            model.keras_model, model.config.EMA_MOMENTUM, model.config.GRADIENT_ACCUMULATION)
    for begun in dict.fromkeys((stage_begin(path, model.epoch), model.epoch)):
        rate = scheduled_rate(model.config, learning_rate, (epochs - begun) * steps, epochs - begun)
        model.compile(rate, model.config.LEARNING_MOMENTUM)
        stage = training_stage(model.keras_model)
        if rate is not learning_rate:
            stage["begun"] = begun
        if restore_state(model.keras_model, path, model.epoch, stage):
            return stage, True
    return stage, False


def _callbacks(model: "MaskRCNN", log_dir: str, stage: dict[str, Any], val_dataset: Dataset | None,
               progress: TrainingProgress) -> list[keras.callbacks.Callback]:
    """Return the framework's callbacks in the order in which they run at the end of an epoch."""
    config = model.config
    assert model.checkpoint_path is not None
    history = History(os.path.join(log_dir, HISTORY_NAME), saved_rows(state_path(log_dir, model.epoch), model.epoch))
    callbacks: list[keras.callbacks.Callback] = [
        *([UseAverage()] if config.EMA_MOMENTUM else []),
        SaveEpoch(model.checkpoint_path, stage, config.CHECKPOINTS_KEPT, history.rows_with, history.on_epoch_end,
                  on_saved=lambda epochs: setattr(model, "epoch", epochs))]  # fmt: skip
    if config.VALIDATION_AP_EVERY and val_dataset is not None:
        # Losses are written to history.csv before AP is computed, which may fail; later callbacks find AP in the logs.
        callbacks += [history, CocoValidation(
            lambda: model.evaluate(val_dataset, limit=config.VALIDATION_AP_IMAGES, progress=progress.stage),
            config.VALIDATION_AP_EVERY)]  # fmt: skip
        if config.KEEP_BEST or config.VALIDATION_AP_PATIENCE:
            assert config.NAME is not None  # `MaskRCNN.train` has checked
            callbacks.append(BestEpoch(
                best_path(log_dir, config.NAME) if config.KEEP_BEST else None, config.VALIDATION_AP_PATIENCE,
                [row["val_mask_AP"] for row in history.read() if row["epoch"] <= model.epoch and "val_mask_AP" in row]))
    callbacks += [Speed(config.BATCH_SIZE), history]
    if find_spec("tensorflow") and find_spec("tensorboard"):  # Keras writes event files through TensorFlow
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    return callbacks


def _write_run(log_dir: str, config: Config, dataset: Dataset) -> None:
    """Write the configuration and the class names, which prediction needs besides the weights, to the run folder."""
    os.makedirs(log_dir, exist_ok=True)
    config.save(os.path.join(log_dir, "config.json"))
    save_json(os.path.join(log_dir, "classes.json"), list(dataset.class_names), indent=1, durable=True)


def _share(steps: int, loader: Loader) -> str:
    passes, rest = divmod(steps, len(loader))
    if rest:
        return f"of {len(loader)} in a pass; STEPS_PER_EPOCH"
    return "one pass over the data" if passes == 1 else f"{passes} passes over the data"


def _rate_name(learning_rate: LearningRate) -> object:
    return learning_rate if isinstance(learning_rate, float) else getattr(learning_rate, "name", learning_rate)


# --- Batches ----------------------------------------------------------------------------------------------------------
def _loader(dataset: Dataset, role: str, make: Callable[[], Loader]) -> Loader:
    """Make the Loader of a data set, which must have images and define load_mask."""
    if not len(dataset.image_ids):
        raise DataError(f"the {role} data set has no images: load some, and call its prepare() before training.")
    if type(dataset).load_mask is Dataset.load_mask and type(dataset).load_instances is Dataset.load_instances:
        raise DataError(f"the {role} data set is a {type(dataset).__name__}, which defines no load_mask, so that none of its "
                        "images would have instances. Define load_mask(self, image_id), or correct a misspelt name.")
    try:
        loader = make()
        if role == "validation":
            loader.sample(0, 0)  # raises if no image can be used, an epoch before the first validation
    except DataError as error:
        advice = ". Choose images with objects, or train without validation" if role == "validation" else ""
        raise DataError(f"the {role} data set cannot be used: {error}{advice}") from error
    return loader


def _batches(loader: Loader, config: Config, num_steps: int | None = None) -> Callable[[int], Batch]:
    """Return a function step -> training arrays; with USE_RPN_ROIS False, the last array is random ROIs."""
    make = loader.__getitem__ if config.USE_RPN_ROIS else WithRandomRois(loader, config.POST_NMS_ROIS_TRAINING)
    if config.LOADER_PROCESSES and config.LOADER_WORKERS:
        return WorkerProcesses(loader, make, config.LOADER_WORKERS, num_steps)
    return make


class Remembering:
    """Make batches and remember the first error, because TensorFlow buries it in two pages of its own message.

    Attributes:
        error: the first error that was raised, or None.
    """

    def __init__(self, make_batch: Callable[[int], Batch]) -> None:
        self.make_batch = make_batch
        self.error: Exception | None = None

    def __call__(self, step: int) -> Batch:
        """Make the batch of a step."""
        try:
            return self.make_batch(step)
        except Exception as error:
            self.error = self.error or error
            raise

    def close(self) -> None:
        """Stop the processes that make the batches, if there are any."""
        if hasattr(self.make_batch, "close"):
            self.make_batch.close()


def stream(make_batch: Callable[[int], Batch], first: int = 0, workers: int = 2) -> Iterator[tuple[Batch]]:
    """Yield the batches of successive steps, endlessly.

    Args:
        make_batch: function of the step. Must be thread-safe.
        first: the first step.
        workers: number of threads that make batches in advance; 0 makes each batch when it is requested.

    Yields:
        (batch,), which Keras treats as inputs without targets.
    """
    step = first
    if workers < 1:
        while True:
            yield (make_batch(step),)
            step += 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mrcnn-loader")
    try:
        pending: deque = deque()
        while True:
            while len(pending) < workers * AHEAD:
                pending.append(pool.submit(make_batch, step))
                step += 1
            yield (pending.popleft().result(),)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class FixedBatches(keras.utils.PyDataset):
    """The first batches of a loader, for validation: the same ones every time.

    A generator would not work, because Keras continues it where the last validation stopped reading, so that each epoch would
    be validated on different images.

    Args:
        make_batch: function of the step. Must be thread-safe.
        count: number of batches.
        workers: number of threads; 0 makes each batch when it is requested.
    """

    def __init__(self, make_batch: Callable[[int], Batch], count: int, workers: int = 2) -> None:
        super().__init__(workers=workers, max_queue_size=max(workers * AHEAD, 1))
        self.make_batch = make_batch
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, step: int) -> tuple[Batch]:
        return (self.make_batch(step),)


def _close(feed: Any) -> None:
    """Close a generator. If a TensorFlow thread is reading it, it ends when that thread releases it."""
    try:
        feed.close()
    except ValueError as error:
        if "already executing" not in str(error):
            raise
