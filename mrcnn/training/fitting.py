"""The training loop around keras.Model.fit: data in, checkpoints, logs and validation out."""

import os
from importlib.util import find_spec

import keras

from mrcnn.base.atomic_write import save_json
from mrcnn.base.errors import DataError
from mrcnn.datasets.dataset import Dataset
from mrcnn.loading.generator import WithRandomRois
from mrcnn.loading.loader_pool import WorkerProcesses
from mrcnn.training.callbacks import CocoValidation, History, SaveEpoch, Speed
from mrcnn.training.environment import add_entry
from mrcnn.training.feed import FixedBatches, Remembering, stream
from mrcnn.training.progress import TrainingProgress
from mrcnn.training.resume import STATE_NAME, restore_state
from mrcnn.training.runs import HISTORY_NAME
from mrcnn.training.settings import make_loader
from mrcnn.training.trainable import check_stage, layer_regex


def fit(model, train_dataset, val_dataset, learning_rate, epochs, layers, *, augmentation, custom_callbacks,
        no_augmentation_sources):
    """Train `model`, a MaskRCNN in training mode; arguments as of `MaskRCNN.train`."""
    config = model.config
    regex = layer_regex(layers)
    check_stage(model.keras_model, layers)
    if epochs <= model.epoch:  # a stage that a resumed run has behind it: scripts of several stages rely on this
        print(f"Nothing to train up to epoch {epochs}: {model.epoch} epochs are trained already. `epochs` counts from "
              "the start of the run.")
        return keras.callbacks.History()
    loader = _loader(train_dataset, config, "training", augmentation=augmentation,
                     no_augmentation_sources=no_augmentation_sources)
    val_loader = _loader(val_dataset, config, "validation", shuffle=False) if val_dataset is not None else None
    steps = min(config.STEPS_PER_EPOCH, len(loader))
    model.set_trainable(regex, verbose=0)
    model.compile(learning_rate, config.LEARNING_MOMENTUM)
    resumed = restore_state(model.keras_model, os.path.join(model.log_dir, STATE_NAME), model.epoch)
    print(f"\nEpochs {model.epoch + 1} to {epochs}, {steps} steps each ({_share(steps, loader)}), learning rate "
          f"{_show(learning_rate)}\nCheckpoints: {model.checkpoint_path}")
    if model.epoch:
        print(f"The optimizer goes on from epoch {model.epoch}." if resumed else "The optimizer starts anew.")
    _write_run(model, train_dataset)
    add_entry(model.log_dir, first_epoch=model.epoch + 1, last_epoch=epochs, layers=layers,
              learning_rate=str(_show(learning_rate)), images=len(train_dataset.image_ids),
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
            callbacks=[*_callbacks(model, val_dataset, progress), *(custom_callbacks or ()), progress])
    except Exception as error:
        for cause in (maker.error for maker in makers):
            if cause is not None and cause is not error and str(cause) in str(error):
                raise cause from None
        raise
    finally:
        progress.close()
        for maker in makers:  # before the feed: it may wait for a batch of theirs
            maker.close()
        _close(feed)


def _loader(dataset, config, role, **options):
    """Return the Loader of a data set; one that has nothing to show is an error that says so."""
    if not len(dataset.image_ids):
        raise DataError(f"the {role} data set has no images: load some, and call its prepare() before training.")
    if type(dataset).load_mask is Dataset.load_mask and type(dataset).load_instances is Dataset.load_instances:
        raise DataError(f"the {role} data set is a {type(dataset).__name__}, which defines no load_mask: no image of it "
                        "would have an instance. Define load_mask(self, image_id), and look for a misspelt name.")
    return make_loader(dataset, config, **options)


def _batches(loader, config, num_steps=None):
    """Return step -> training arrays; with USE_RPN_ROIS False random regions are the last of them."""
    make = loader.__getitem__ if config.USE_RPN_ROIS else WithRandomRois(loader, config.POST_NMS_ROIS_TRAINING)
    if config.LOADER_PROCESSES and config.LOADER_WORKERS:
        return WorkerProcesses(loader, make, config.LOADER_WORKERS, num_steps)
    return make


def _close(feed):
    """Close a generator, or leave it to the thread in which TensorFlow may read it now: it ends when that lets go of it."""
    try:
        feed.close()
    except ValueError as error:
        if "already executing" not in str(error):
            raise


def _callbacks(model, val_dataset, progress):
    """Return our callbacks in the order in which they run at the end of an epoch: list."""
    config = model.config
    history = History(os.path.join(model.log_dir, HISTORY_NAME))
    callbacks = [SaveEpoch(model.checkpoint_path, os.path.join(model.log_dir, STATE_NAME), config.CHECKPOINTS_KEPT,
                           on_saved=lambda epochs: setattr(model, "epoch", epochs))]  # fmt: skip
    if config.VALIDATION_AP_EVERY and val_dataset is not None:
        # The losses are in history.csv before AP is computed, which may fail; AP is in the logs when later callbacks run.
        callbacks += [history, CocoValidation(
            lambda: model.evaluate(val_dataset, limit=config.VALIDATION_AP_IMAGES, progress=progress.stage),
            config.VALIDATION_AP_EVERY)]  # fmt: skip
    callbacks += [Speed(config.BATCH_SIZE), history]
    if find_spec("tensorflow") and find_spec("tensorboard"):  # Keras writes event files through TensorFlow
        callbacks.append(keras.callbacks.TensorBoard(model.log_dir, write_graph=False))
    return callbacks


def _write_run(model, dataset):
    """Leave in the log folder what prediction needs beside the weights: configuration and class names."""
    model.config.save(os.path.join(model.log_dir, "config.json"))
    save_json(os.path.join(model.log_dir, "classes.json"), list(dataset.class_names), indent=1)


def _share(steps, loader):
    return "one pass over the data" if steps == len(loader) else f"of {len(loader)} in a pass; STEPS_PER_EPOCH"


def _show(learning_rate):
    return learning_rate if isinstance(learning_rate, float) else getattr(learning_rate, "name", learning_rate)
