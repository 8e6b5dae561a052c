"""The object that users drive: build, load, train, detect, evaluate."""

import os
import random
import warnings
from contextlib import contextmanager
from functools import partial

import keras
import numpy as np

from mrcnn.evaluation import coco
from mrcnn.inference.mold import mold_inputs
from mrcnn.inference.predictor import Predictor
from mrcnn.inference.unmold import paste_detections, unmold_detections
from mrcnn.network import mask_rcnn as network
from mrcnn.network.ops.device import on_tensorflow_cpu
from mrcnn.training import graph_access, settings, trainable
from mrcnn.training import runs as run_dir
from mrcnn.training.fitting import fit
from mrcnn.training.optimizers import make_optimizer
from mrcnn.weights import classic_h5, pretrained
from mrcnn.weights.classic_h5 import KERAS_SUFFIX, shorten_names
from mrcnn.weights.classic_model import ClassicFiles


@keras.saving.register_keras_serializable(package="mrcnn.classic")
class TrainingModel(ClassicFiles, network.TrainingModel):
    """The network that trains, with classic weight files."""


@keras.saving.register_keras_serializable(package="mrcnn.classic")
class InferenceModel(ClassicFiles, network.NetworkModel):
    """The classic inference variant of the network, with classic weight files."""


class MaskRCNN:
    """Mask R-CNN for training or for inference.

    Args:
        mode: "training" or "inference".
        config: Config. It is validated here.
        model_dir: str. Folder of the run folders. None: the model detects, but cannot train or find checkpoints; the same
            holds for a configuration without a NAME.

    Attributes:
        keras_model: keras.Model of the mode. Training and inference models have the same layer names and weights.
        mode, config, model_dir: as given.
        log_dir: str. Folder of this run, created when training begins. None without a NAME or a model_dir.
        checkpoint_path: str. Pattern of the run's checkpoints. None without a NAME or a model_dir.
        epoch: int. Epochs trained so far, in this run or before the checkpoint that was loaded.
        anchors: float [A, 4]. Pixel anchors of the molded images seen last; of IMAGE_SHAPE before any.

    Raises:
        ValueError: another mode.
        ConfigError: a configuration that cannot work.
    """

    def __init__(self, mode, config, model_dir):
        if mode not in ("training", "inference"):
            raise ValueError(f"mode is {mode!r}: choose training or inference.")
        config.validate()
        self.mode = mode
        self.config = config
        self.model_dir = model_dir
        self.anchors = settings.config_anchors(config)
        self.epoch = 0
        self.log_dir = None
        self.checkpoint_path = None
        self._predictor = None
        self._full_predictor = None
        self._unloaded = None  # names of the layers that no loaded file gave weights; None before any was loaded
        self.keras_model = self.build(mode, config)
        self.set_log_dir()

    def build(self, mode, config):
        """Build the network and return the keras.Model of `mode`. Called by the constructor."""
        network_settings = settings.network_settings(config)
        with _seeded(config.SEED):
            self.network = network.Network(network_settings)
            if mode == "training":
                return self.network.training_model(TrainingModel)
            return _ready(self.network.inference_model(InferenceModel))

    # --- Weights ---------------------------------------------------------------------------------------------------
    def find_last(self):
        """Return the path of the newest checkpoint of this configuration's NAME under model_dir.

        Raises:
            FileNotFoundError: there is none.
            ValueError: there is no NAME or model_dir.
        """
        self._require_run("find checkpoints")
        return run_dir.find_last(self.model_dir, self.config.NAME)

    def load_weights(self, filepath, by_name=False, exclude=None):
        """Load a weight file of the classic layout, from this framework or the classic one.

        On a checkpoint `epoch` and `log_dir` become its own, and training goes on from there.

        Args:
            filepath: str. A .h5 file. One that ends with .weights.h5 is Keras's own, as keras.callbacks.ModelCheckpoint
                writes it in training; it must be of this network, and is read in either mode.
            by_name: bool. Match layers by name; otherwise by order, where the file must fit whole.
            exclude: list of layer names that keep their values, such as the heads of another number of classes.

        Layers that the file lacks and `exclude` does not name are printed in one line. They keep their values; `detect`
        warns while an inference model has layers that no file gave weights.

        Returns:
            LoadReport of the matched, missing and mismatched tensors; None for Keras's own file, which is complete.

        Raises:
            ValueError: the file is of another network, or `exclude` was given for Keras's own file.
            FileNotFoundError: there is no such file.
        """
        if str(filepath).endswith(KERAS_SUFFIX):
            self._load_keras_weights(filepath, exclude)
            self._unloaded = []
            return None
        report = classic_h5.load(self.keras_model, filepath, by_name=by_name or bool(exclude), exclude=exclude)
        self.set_log_dir(filepath)
        self._unloaded = report.unloaded_layers(self._unloaded)
        if report.missing:
            print(f"{filepath}: no weights for {shorten_names(report.missing_layers)}; they keep their values.")
        return report

    def _warn_of_unloaded(self):
        """Warn before an inference model detects with layers that were never given weights by any of the files loaded."""
        if self.mode == "inference" and self._unloaded:
            warnings.warn(f"detecting with random weights in {shorten_names(self._unloaded)}: no file that was loaded holds "
                          "them. Load a checkpoint of a whole network.", stacklevel=3)  # fmt: skip

    def _load_keras_weights(self, filepath, exclude):
        """Read a file of Keras's own layout, whose tensors are named by their place in the model that was trained."""
        if exclude:
            raise ValueError(f"{filepath}: `exclude` is for files of the classic layout; write one with save_weights.")
        if not os.path.isfile(filepath):
            raise FileNotFoundError(f"there is no weight file {filepath}")
        # The endings share their layers: what is read into the training one is in the inference one too.
        (self.keras_model if self.mode == "training" else self.network.training_model(TrainingModel)).load_weights(filepath)
        self.set_log_dir()

    def save_weights(self, filepath):
        """Write the weights in the classic layout; the classic code reads them too."""
        classic_h5.save(self.keras_model, filepath)

    def get_imagenet_weights(self):
        """Return the path of ImageNet weights for the backbone, fetched on first use."""
        return str(pretrained.imagenet_weights(self.config.BACKBONE))

    # --- Training --------------------------------------------------------------------------------------------------
    def compile(self, learning_rate, momentum):
        """Give the training model its optimizer. `train` calls it, each time anew.

        Args:
            learning_rate: float or Keras learning rate schedule.
            momentum: float.
        """
        self.keras_model.compile(optimizer=make_optimizer(self.config, learning_rate, momentum),
                                 jit_compile=_jit_compile())
        # Variables made during the first step would make TensorFlow trace that step twice: a third of the start-up.
        self.keras_model.optimizer.build(self.keras_model.trainable_variables)

    def set_trainable(self, layer_regex, keras_model=None, indent=0, verbose=1):
        """Train the layers whose name matches and freeze the others.

        Args:
            layer_regex: str. Regular expression over whole layer names.
            keras_model: keras.Model, this one's when None.
            indent: int. Spaces before the printed names.
            verbose: int. 1 prints the chosen layers.
        """
        chosen = trainable.set_trainable(keras_model or self.keras_model, layer_regex)
        if verbose > 0:
            for layer in chosen:
                print(f"{' ' * indent}{layer.name:24} ({type(layer).__name__})")

    def set_log_dir(self, model_path=None):
        """Set log_dir, checkpoint_path and epoch: those of a checkpoint, or of a new run.

        Without a NAME or a model_dir there is no run folder: log_dir and checkpoint_path are None, and epoch is set alone.

        Args:
            model_path: str, optional. A checkpoint's path, whose folder and epoch are taken over.
        """
        folder, self.epoch = (run_dir.parse_checkpoint(model_path) if model_path else None) or (None, 0)
        self.log_dir = self.checkpoint_path = None
        name, model_dir = self.config.NAME, self.model_dir
        if name and model_dir is not None:
            self.log_dir = os.path.join(model_dir, folder) if folder else run_dir.new_log_dir(model_dir, name)
            self.checkpoint_path = run_dir.checkpoint_path(self.log_dir, name)

    def train(self, train_dataset, val_dataset, learning_rate, epochs, layers, augmentation=None, custom_callbacks=None,
              no_augmentation_sources=None):
        """Train up to an epoch.

        Args:
            train_dataset: Dataset, prepared.
            val_dataset: Dataset, prepared; None trains without validation.
            learning_rate: float, or keras.optimizers.schedules.LearningRateSchedule.
            epochs: int. The epoch to stop after, counted from the start of the run: a second call with a higher number
                goes on from the first.
            layers: "heads", "3+", "4+", "5+", "all", or a regular expression over layer names.
            augmentation: imgaug augmenter, applied to image and masks together.
            custom_callbacks: list of Keras callbacks, run after ours.
            no_augmentation_sources: list of data set source names that are not augmented.

        Returns:
            keras.callbacks.History of this call; an empty one when `epochs` are trained already.

        Raises:
            ValueError: an inference model, no NAME or model_dir, or `layers` that match no layer.
            DataError: data that cannot train at all.
        """
        if self.mode != "training":
            raise ValueError('this model was built with mode "inference": build one with mode "training" to train.')
        self._require_run("train")
        with run_dir.removed_if_empty(self.log_dir):
            return fit(self, train_dataset, val_dataset, learning_rate, epochs, layers, augmentation=augmentation,
                       custom_callbacks=custom_callbacks, no_augmentation_sources=no_augmentation_sources)

    # --- Detection -------------------------------------------------------------------------------------------------
    @property
    def predictor(self):
        """Predictor: over the detection model, built on first use."""
        if self._predictor is None:
            self._predictor = self._predictor_over(_ready(self.network.detection_model()))
        return self._predictor

    @property
    def full_predictor(self):
        """Predictor: over the classic inference ending, whose `run` returns what lies between image and detections."""
        if self._full_predictor is None:
            own = self.mode == "inference"
            model = self.keras_model if own else _ready(self.network.inference_model(InferenceModel))
            self._full_predictor = self._predictor_over(model)
        return self._full_predictor

    def _predictor_over(self, model):
        return Predictor(model, self.config.BATCH_SIZE, settings.mold_settings(self.config),
                         lambda shape: settings.config_anchors(self.config, shape))

    def detect(self, images, verbose=0, masks="dense"):
        """Detect instances in any number of images of any sizes.

        Args:
            images: list of [H, W] or [H, W, channels] arrays: grey, RGB, RGBA, 8 or 16 bits.
            verbose: int. 1 prints each image's shape and range.
            masks: "dense", or "rle" for COCO RLE, a hundredth of the memory.

        Returns:
            list of dicts, one an image: rois int32 [N, 4] (y1, x1, y2, x2) in pixels; class_ids int32 [N]; scores
            float32 [N], descending; masks bool [H, W, N], or a list of N RLE dicts.
        """
        if isinstance(images, np.ndarray) and images.ndim <= 3 and images.shape[-1:] in ((1,), (3,), (4,)):
            raise ValueError(f"images is one array of shape {images.shape}: give a list of images, detect([image])")
        self._warn_of_unloaded()
        images = list(images)
        if verbose:
            graph_access.log(f"Processing {len(images)} images")
            for image in images:
                graph_access.log("image", image)
        min_confidence = self.config.DETECTION_MIN_CONFIDENCE or 0.0
        results = self.predictor.detect(images, masks=masks, min_confidence=min_confidence)
        if images:
            self.anchors = self.predictor.last_anchors
        return results

    def detect_molded(self, molded_images, image_metas, verbose=0):
        """Detect instances in images that are molded already, such as those of a data generator.

        Args:
            molded_images: float32 [B, H, W, C]. Mean subtracted.
            image_metas: [B, 12 + K].
            verbose: int. 1 prints the shapes and ranges.

        Returns:
            list of dicts as of `detect`, in the coordinates of the molded images.
        """
        molded_images = np.asarray(molded_images, np.float32)
        if not len(molded_images):
            return []
        self._warn_of_unloaded()
        if verbose:
            graph_access.log("molded_images", molded_images)
            graph_access.log("image_metas", np.asarray(image_metas))
        raw_images = molded_images + np.asarray(self.config.MEAN_PIXEL, np.float32)
        detections, masks = self.predictor.run(raw_images, np.asarray(image_metas), self.config.DETECTION_MIN_CONFIDENCE or 0.0)
        self.anchors = self.predictor.last_anchors
        shape = molded_images.shape[1:]
        window = [0, 0, shape[0], shape[1]]
        names = ("rois", "class_ids", "scores", "masks")
        return [dict(zip(names, paste_detections(found, small, shape, shape, window)))
                for found, small in zip(detections, masks)]

    def mold_inputs(self, images):
        """Resize images and subtract the mean.

        Args:
            images: list of [H, W, channels] arrays whose molded sizes are equal.

        Returns:
            molded float32 [B, H, W, C]; metas [B, 12 + K]; windows int [B, 4] pixels.
        """
        molded, metas, windows = mold_inputs(images, settings.mold_settings(self.config))
        return np.stack(molded), metas, windows

    def unmold_detections(self, detections, mrcnn_mask, original_image_shape, image_shape, window):
        """Take one image's detections back to the image as it was given; see `inference.unmold.unmold_detections`."""
        return unmold_detections(detections, mrcnn_mask, original_image_shape, image_shape, window)

    def get_anchors(self, image_shape):
        """Return the normalised anchors of a molded image, float32 [A, 4]; pixel anchors are left in `anchors`."""
        predictor = self.full_predictor if self.mode == "inference" else self.predictor
        normalised = predictor.anchors(image_shape)
        self.anchors = predictor.last_anchors
        return normalised

    def evaluate(self, dataset, image_ids=None, limit=None, progress=None, min_confidence=0.0):
        """Compute COCO AP of boxes and masks, or LVIS's federated AP where the data set is LVIS.

        Args:
            dataset: Dataset, prepared.
            image_ids: list of int, all when None.
            limit: int, optional. Only the first so many.
            progress: maker of stages, optional; see `evaluation.coco.evaluate`.
            min_confidence: float. Least score of a detection that counts, in the place of DETECTION_MIN_CONFIDENCE:
                average precision is of detections of every score.

        Returns:
            evaluation.coco.CocoResult.
        """
        self._warn_of_unloaded()
        image_ids = list(dataset.image_ids if image_ids is None else image_ids)[:limit]
        detect = partial(self.predictor.detect, masks="rle", min_confidence=min_confidence)
        return coco.evaluate(detect, dataset, image_ids,
                             batch_size=self.config.BATCH_SIZE, progress=progress)

    # --- Looking inside --------------------------------------------------------------------------------------------
    def ancestor(self, tensor, name, checked=None):
        """Return a handle for `run_graph` on a step behind a tensor, or None; see `engine.graph_access.ancestor`."""
        return graph_access.ancestor(self.keras_model, tensor, name)

    def find_trainable_layer(self, layer):
        """Return the layer itself, or the one that a wrapper holds."""
        return self.find_trainable_layer(layer.layer) if hasattr(layer, "layer") else layer

    def get_trainable_layers(self):
        """Return the layers that hold weights, those of the nested RPN model among them."""
        return trainable.leaf_layers(self.keras_model)

    def run_graph(self, images, outputs, image_metas=None):
        """Run parts of the inference graph, and print the shape and range of each; see `engine.graph_access.run_graph`.

        Args:
            images: list of images, or with `image_metas` molded images.
            outputs: list of (name, tensor of this model or handle of `ancestor`).
            image_metas: [B, 12 + K], optional.

        Returns:
            {name: array}.

        Raises:
            ValueError: a model in training mode, or an output that is None.
        """
        if self.mode != "inference":
            raise ValueError('this model was built with mode "training": build one with mode "inference" and load its '
                             "weights to look inside.")
        if image_metas is None:
            molded, image_metas, _ = self.mold_inputs(images)
        else:
            molded = np.asarray(images, np.float32)
        anchors = self.get_anchors(molded.shape[1:])
        anchors = np.broadcast_to(anchors, (len(molded), *anchors.shape))
        found = graph_access.run_graph(self.keras_model, [molded, np.asarray(image_metas, np.float32), anchors], outputs)
        for name, value in found.items():
            graph_access.log(name, value)
        return found

    def _require_run(self, purpose):
        """Raise ValueError where there is no NAME or model_dir, which name the run folder."""
        if not self.config.NAME:
            raise ValueError(f"NAME is not set: to {purpose}, give the configuration a NAME, which its run folders and "
                             "checkpoints carry.")
        if self.model_dir is None:
            raise ValueError(f'model_dir is None: to {purpose}, build the model with a folder for its runs, such as "logs".')


@contextmanager
def _seeded(seed):
    """Draw initial weights by `seed`, and leave the random state of the user's own program as it was."""
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _ready(model):
    """Compile a model that detects, and return it."""
    model.compile(jit_compile=_jit_compile())
    return model


def _jit_compile():
    """Return Keras's `jit_compile`: on a CPU a plain TensorFlow graph is as fast as XLA's, and ready far sooner."""
    return False if on_tensorflow_cpu() else "auto"
