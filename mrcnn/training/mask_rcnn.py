"""The main class of the framework: build, load weights, train, detect, evaluate."""

import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from mrcnn.base.closed_pipe import closed_pipe_ignored
from mrcnn.base.pixels import raw_pixels
from mrcnn.base.progress import Stages
from mrcnn.base.text import shorten_names
from mrcnn.config import Config, ConfigError
from mrcnn.datasets.dataset import Dataset
from mrcnn.evaluation import coco
from mrcnn.geometry.boxes import norm_boxes
from mrcnn.inference.mold import images_out_of_range, mold_inputs
from mrcnn.inference.predictor import INSTANCE_KEYS, RUN_LOCK, Predictor
from mrcnn.inference.unmold import Instances, paste_detections, unmold_detections
from mrcnn.io.state_dict import is_state_dict_file, read_state_dict
from mrcnn.network import mask_rcnn as network
from mrcnn.network.ops.device import check_process, on_tensorflow_cpu
from mrcnn.training import inspection, runs, settings, trainable
from mrcnn.training.checkpoints import saved_epochs
from mrcnn.training.classic_keras import ClassicFit, ClassicPredict, detect_with_keras_model
from mrcnn.training.fitting import fit
from mrcnn.training.optimizers import LearningRate, exclude_from_decay, make_optimizer
from mrcnn.training.run_lock import held_run, holds_run
from mrcnn.training.settings import DETECTION_ATTRIBUTES, LAYER_ATTRIBUTES
from mrcnn.training.stopping import stop_reported
from mrcnn.training.weight_average import AveragedModel
from mrcnn.weights import classic_h5, imagenet
from mrcnn.weights.classic_h5 import ClassicFiles, LoadReport
from mrcnn.weights.convert import load_state_dict
from mrcnn.weights.tensors import WeightsError
from mrcnn.weights.transfer import COCO, ClassNames


@keras.saving.register_keras_serializable(package="mrcnn.classic")
class TrainingModel(AveragedModel, ClassicFit, ClassicFiles, network.TrainingModel):
    """The training variant of the network, with classic weight files and a moving average of its weights."""


@keras.saving.register_keras_serializable(package="mrcnn.classic")
class InferenceModel(ClassicPredict, ClassicFiles, network.NetworkModel):
    """The classic inference variant of the network, with classic weight files."""


class MaskRCNN:
    """Mask R-CNN for training or for inference.

    Args:
        mode: "training" or "inference".
        config: validated by the constructor.
        model_dir: folder of the run folders. Without one, or without a NAME in the configuration, the model can detect, but
            cannot train or find checkpoints.

    Attributes:
        keras_model: the Keras model of the mode. Training and inference models have the same layer names and weights.
        mode, config, model_dir: the arguments.
        log_dir: run folder, created when training begins: that of the loaded checkpoint, or else a new one in model_dir. If
            another run takes its name first, `train` adds a number to it. None without a NAME or a model_dir.
        checkpoint_path: path of the run's checkpoints, with {epoch:04d}. None without a NAME or a model_dir.
        epoch: number of epochs trained so far, including those of a loaded checkpoint.
        anchors: pixel anchors [A, 4] of the last molded images, initially those of IMAGE_SHAPE.

    Raises:
        ValueError: the mode is unknown.
        ConfigError: the configuration is invalid.
    """

    # for subclasses whose constructor does not call this one
    epoch = 0
    anchors: Any = None
    _predictors: Mapping[str, tuple[dict[str, Any], Predictor]] = MappingProxyType({})  # by kind, with their configuration
    _has_warned_of_random_weights = False
    # the model that `build` made; `detect` runs any other one that `keras_model` was set to
    _built: keras.Model | None = None

    def __init__(self, mode: str, config: Config, model_dir: str | None) -> None:
        if mode not in ("training", "inference"):
            raise ValueError(f"mode is {mode!r}: choose training or inference.")
        _check_config(config, mode)
        self.mode = mode
        self.config = config
        self.model_dir = model_dir
        self.anchors = settings.config_anchors(config)
        self.log_dir: str | None = None
        self.checkpoint_path: str | None = None
        self.keras_model = self.build(mode, config)
        self.set_log_dir()

    def build(self, mode: str, config: Config) -> keras.Model:
        """Build the network and return the Keras model of `mode`. The constructor calls it."""
        network_settings = settings.network_settings(config)
        self._built_values = settings.attribute_values(config, LAYER_ATTRIBUTES + DETECTION_ATTRIBUTES)
        with _seeded(config.SEED), _precision(config.PRECISION):
            self.network = network.Network(network_settings)
            if mode == "training":
                self._built = self.network.training_model(TrainingModel)
            else:
                self._built = _compiled(self.network.inference_model(InferenceModel))
        return self._built

    # --- Weights ------------------------------------------------------------------------------------------------------
    def find_last(self) -> runs.CheckpointPath:
        """Return the path of the newest checkpoint of this configuration's NAME under model_dir.

        Raises:
            FileNotFoundError: there is none.
            ValueError: there is no NAME or model_dir.
        """
        name, model_dir = self._run_names("find checkpoints")
        return runs.CheckpointPath(runs.find_last(model_dir, name))

    def load_weights(self, filepath: str | os.PathLike[str], by_name: bool = False, exclude: Sequence[str] | None = None,
                     classes_from: Sequence[str] | str | None = None, class_names: Sequence[str] | None = None) -> LoadReport:
        """Load a weight file: of this framework, of the classic one, of Keras, or of torchvision, detectron2 or mmdetection.

        After loading a checkpoint, `epoch` and `log_dir` are those of its run, which training resumes.

        Layers that are neither in the file nor in `exclude` keep their values; one printed line lists them. `detect` warns as
        long as an inference model has layers whose weights were not in any loaded file.

        Args:
            filepath: an .h5 file in the classic layout, or in Keras', which keras.callbacks.ModelCheckpoint writes to files
                named .weights.h5. Files of training and inference models load in either mode. Or a .pth, .pt, .pkl or
                .safetensors file of another framework, which must fit the model; see `mrcnn.weights.convert`.
            by_name: whether to match layers by name. Otherwise the file must fit the whole model.
            exclude: names of layers that keep their values, such as the heads if the number of classes differs.
            classes_from: names of the classes that the file was trained on, background first: a list, the path of a
                classes.json, or "coco". Then the class heads take over the rows of classes with the same name, a table of
                which is printed, and keep their values for the others.
            class_names: names of the model's classes, background first, such as `dataset.class_names`; for `classes_from`.

        Returns:
            Matched, missing and mismatched tensors, and the classes that were taken over.

        Raises:
            ValueError: the file is damaged or belongs to another network, or weights in it are NaN or infinite.
            FileNotFoundError: there is no such file.
        """
        check_process()
        classes = _class_names(classes_from, class_names)
        try:
            if is_state_dict_file(filepath):
                report = load_state_dict(self, read_state_dict(filepath), exclude or (), classes, filepath)
            else:
                report = self.keras_model.load_weights(filepath, by_name=by_name, exclude=exclude, classes=classes)
        except WeightsError as error:
            earlier = runs.whole_checkpoint_instead(str(filepath))
            if earlier is None:
                raise
            raise WeightsError(f"{error}. The newest checkpoint of this run that is whole is {earlier}") from error
        self.set_log_dir(filepath)
        return report

    def _check_ready(self) -> None:
        """Refuse to detect in a forked process, and warn if weights are random: all, or of an inference model some."""
        check_process()
        if not isinstance(self.keras_model, ClassicFiles):  # the user's own
            return
        unloaded = self.keras_model.unloaded_layers
        if unloaded is None and not self._is_trained() and not self._has_warned_of_random_weights:
            self._has_warned_of_random_weights = True
            warnings.warn("detecting with random weights, because none were loaded and the model was not trained: call "
                          "load_weights first.", stacklevel=3)
        if self.mode == "inference" and unloaded:
            warnings.warn(f"detecting with random weights in {shorten_names(unloaded)}: no loaded file contains them. "
                          "Load a checkpoint of a complete network.", stacklevel=3)

    def _is_trained(self) -> bool:
        """Return whether the model was trained, by `train` or by a user's own call of Keras' `fit`."""
        optimizer = getattr(self.keras_model, "optimizer", None)  # Keras sets it when a model is compiled
        return self.epoch > 0 or optimizer is not None and int(optimizer.iterations) > 0

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Write the weights in the classic layout, which the classic code can read."""
        classic_h5.save(self.keras_model, filepath)

    def get_imagenet_weights(self) -> str:
        """Return the path of ImageNet weights for the backbone, which the first call downloads.

        A warning names the settings that these weights need and the configuration does not have.
        """
        unmet = settings.unmet_imagenet_settings(self.config)
        if unmet:
            warnings.warn(f"the ImageNet weights of {self.config.BACKBONE} need {', '.join(unmet)}, and the configuration has "
                          "other values: set these before the model is built.", stacklevel=2)
        return str(imagenet.imagenet_weights(self.config.BACKBONE, resnet=settings.resnet_variant(self.config)))

    # --- Training -----------------------------------------------------------------------------------------------------
    def compile(self, learning_rate: LearningRate, momentum: float) -> None:
        """Compile the training model with a new optimizer. `train` calls this."""
        optimizer = make_optimizer(self.config, learning_rate, momentum)
        if self.config.WEIGHT_DECAY_KIND == "decoupled":
            exclude_from_decay(optimizer, self.keras_model.trainable_variables)
        self.keras_model.compile(optimizer=optimizer, jit_compile=_jit_compile())
        # If the first step created the variables, TensorFlow would trace it twice, a third of the start-up time.
        self.keras_model.optimizer.build(self.keras_model.trainable_variables)

    def set_trainable(self, layer_regex: str, keras_model: keras.Model | None = None, indent: int = 0,
                      verbose: int = 1) -> None:
        """Make the layers whose name matches trainable, and freeze all others.

        Args:
            layer_regex: "heads", "3+", "4+", "5+", "all", or a regular expression over whole layer names.
            keras_model: None for `keras_model` of this object.
            indent: number of spaces before the printed names.
            verbose: 1 prints the trainable layers.
        """
        model = keras_model or self.keras_model
        layers = trainable.set_trainable(model, trainable.layer_regex(layer_regex, model))
        if verbose > 0:
            for layer in layers:
                print(f"{' ' * indent}{layer.name:24} ({type(layer).__name__})")

    def set_log_dir(self, model_path: str | os.PathLike[str] | None = None) -> None:
        """Set log_dir, checkpoint_path and epoch to those of a checkpoint, or to those of a new run.

        A run is resumed where its checkpoint lies, in model_dir or elsewhere.

        Without a NAME or a model_dir there is no run folder: log_dir and checkpoint_path are None, and only epoch is set.

        Args:
            model_path: path of a checkpoint whose run is resumed.
        """
        run = runs.parse_checkpoint(str(model_path)) if model_path else None
        self.epoch = run[1] if run else 0
        self.log_dir = self.checkpoint_path = None
        self._is_new_run = run is None
        name, model_dir = self.config.NAME, self.model_dir
        if name and model_dir is not None:
            self.log_dir = os.path.dirname(str(model_path)) or "." if run else runs.new_log_dir(model_dir, name)
            self.checkpoint_path = runs.checkpoint_path(self.log_dir, name)

    def _run_names(self, purpose: str) -> tuple[str, str]:
        """Return NAME and model_dir, which run folders need.

        Raises:
            ValueError: one of them is None.
        """
        if not self.config.NAME:
            raise ValueError(f"NAME is not set: to {purpose}, give the configuration a NAME, which its run folders and "
                             "checkpoints carry.")
        if self.model_dir is None:
            raise ValueError(f'model_dir is None: to {purpose}, build the model with a folder for its runs, such as "logs".')
        return self.config.NAME, self.model_dir

    def train(self, train_dataset: Dataset, val_dataset: Dataset | None, learning_rate: LearningRate, epochs: int, layers: str,
              augmentation: Any = None, custom_callbacks: Sequence[keras.callbacks.Callback] | None = None,
              no_augmentation_sources: Sequence[str] | None = None) -> keras.callbacks.History:
        """Train up to an epoch.

        Args:
            train_dataset: prepared.
            val_dataset: prepared. None trains without validation.
            learning_rate: a number or a Keras schedule.
            epochs: the last epoch, counted from the start of the run. A second call with a higher number continues where the
                first one stopped.
            layers: "heads", "3+", "4+", "5+", "all", or a regular expression over layer names.
            augmentation: imgaug augmenter, applied to image and masks together.
            custom_callbacks: Keras callbacks, which run after the framework's.
            no_augmentation_sources: names of data set sources whose images are not augmented.

        Returns:
            The history of this call, empty if `epochs` epochs have already been trained.

        Raises:
            ValueError: the model is in inference mode, there is no NAME or model_dir, or `layers` matches no layer.
            DataError: the data cannot be used for training.
        """
        if self.mode != "training":
            raise ValueError('this model was built with mode "inference": build one with mode "training" to train.')
        run_name, _ = self._run_names("train")
        check_process()
        for name, dataset in (("train_dataset", train_dataset), ("val_dataset", val_dataset)):
            if dataset is not None:
                _check_dataset(dataset, name)
        assert self.log_dir is not None
        if self._is_new_run and holds_run(self.log_dir):  # the run of `mrcnn.tools.train`, whose best weights were loaded
            self.set_log_dir()
        with (closed_pipe_ignored(), held_run(self.log_dir, self._is_new_run) as log_dir,
              stop_reported(self._saved_epochs)):  # fmt: skip
            if log_dir != self.log_dir:  # another run has taken the name
                self.log_dir, self.checkpoint_path = log_dir, runs.checkpoint_path(log_dir, run_name)
            try:
                return fit(self, train_dataset, val_dataset, learning_rate, epochs, layers, augmentation=augmentation,
                           custom_callbacks=custom_callbacks, no_augmentation_sources=no_augmentation_sources)
            finally:
                self._is_new_run = not holds_run(log_dir)

    def _saved_epochs(self) -> str:
        return saved_epochs(str(self.checkpoint_path), self.epoch)

    # --- Detection ----------------------------------------------------------------------------------------------------
    @property
    def predictor(self) -> Predictor:
        """Predictor with the detection model, built on first use, and again when `config` has changed."""
        names = tuple(name for name in DETECTION_ATTRIBUTES if name != "DETECTION_MIN_CONFIDENCE")  # an input of the model
        return self._predictor_for("detection", names, lambda net, _: _compiled(net.detection_model()))

    @property
    def full_predictor(self) -> Predictor:
        """Predictor with the classic inference model, whose `run` returns every intermediate output; built as `predictor`."""

        def build(net: network.Network, is_changed: bool) -> keras.Model:
            use_own = self.mode == "inference" and not is_changed
            return self.keras_model if use_own else _compiled(net.inference_model(InferenceModel))

        return self._predictor_for("inference", DETECTION_ATTRIBUTES, build)

    def _predictor_for(self, kind: str, names: tuple[str, ...],
                       build: Callable[[network.Network, bool], keras.Model]) -> Predictor:
        """Return the predictor of a kind for the present configuration; only the last one of each kind is kept.

        Args:
            kind: name of the kind.
            names: the attributes of the configuration on which the model depends.
            build: function (network, whether an attribute changed since the network was built) -> model.

        Raises:
            ConfigError: the configuration is invalid now, or an attribute that defines layers was changed.
        """
        check_process()
        values = settings.attribute_values(self.config, names + LAYER_ATTRIBUTES)
        with RUN_LOCK:
            if kind not in self._predictors or self._predictors[kind][0] != values:
                is_changed = any(values[name] != self._built_values[name] for name in values)
                with _precision(self.config.PRECISION):
                    model = build(self._changed_network() if is_changed else self.network, is_changed)
                predictor = Predictor(model, self.config.BATCH_SIZE, settings.mold_settings(self.config),
                                      partial(settings.config_anchors, self.config))
                self._predictors = {**self._predictors, kind: (values, predictor)}
            predictor = self._predictors[kind][1]
        predictor.batch_size = self.config.BATCH_SIZE
        return predictor

    def _changed_network(self) -> network.Network:
        """Return a network of the same layers for the present configuration."""
        self.config.validate()
        for name, value in settings.attribute_values(self.config, LAYER_ATTRIBUTES).items():
            if value != self._built_values[name]:
                raise ConfigError(f"{name} was {self._built_values[name]!r} when the model was built, and is {value!r} now. It "
                                  "defines layers of the network: build another MaskRCNN with the new configuration.")
        before, now = len(self._built_values["RPN_ANCHOR_RATIOS"]), len(self.config.RPN_ANCHOR_RATIOS)
        if before != now:
            raise ConfigError(f"RPN_ANCHOR_RATIOS had {before} values when the model was built, and has {now} now. Their "
                              "number defines layers of the network: build another MaskRCNN with the new configuration.")
        return self.network.with_settings(settings.network_settings(self.config))

    @property
    def _min_confidence(self) -> float:
        return float(self.config.DETECTION_MIN_CONFIDENCE or 0.0)

    def detect(self, images: Sequence[npt.ArrayLike], verbose: int = 0, masks: str = "dense") -> list[dict[str, Any]]:
        """Detect instances in any number of images of any size.

        If you replaced `keras_model` or overrode `build` or `unmold_detections`, yours are used, and each image is run alone.

        Args:
            images: [H, W] or [H, W, channels] arrays: greyscale, RGB or RGBA with 8 or 16 bits.
            verbose: 1 prints each image's shape and range.
            masks: "dense", or "rle" for COCO RLE, which needs a hundredth of the memory.

        Returns:
            For each image: rois int32 [N, 4] (y1, x1, y2, x2) in pixels; class_ids int32 [N]; scores float32 [N],
            descending; masks bool [H, W, N], or a list of N RLE dicts.
        """
        if isinstance(images, np.ndarray) and images.ndim <= 3 and images.shape[-1:] in ((1,), (3,), (4,)):
            raise ValueError(f"images is one array of shape {images.shape}: give a list of images, detect([image])")
        self._check_ready()
        images = [images] if isinstance(images, str | os.PathLike) else list(images)
        wrong = images_out_of_range(images, settings.mold_settings(self.config))
        if wrong:
            low, high = np.min(images[wrong[0]]), np.max(images[wrong[0]])
            warnings.warn(f"images[{wrong[0]}] has values of {low:.4g} to {high:.4g}, but 0 to 255 are expected ({len(wrong)} "
                          f"of {len(images)} images). Hardly anything will be detected: pass the pixels as they were read, "
                          "neither divided by 255 nor normalised.", stacklevel=2)
        if verbose:
            inspection.log(f"Processing {len(images)} images")
            for image in images:
                inspection.log("image", image)
        if self._is_customised():
            with RUN_LOCK:
                return detect_with_keras_model(self, images, masks)
        results = self.predictor.detect(images, masks=masks, min_confidence=self._min_confidence)
        if images:
            self.anchors = self.predictor.last_anchors
        return results

    def _is_customised(self) -> bool:
        """Return whether detection must run `keras_model` and `unmold_detections`, because one of them is the user's own."""
        unmold = getattr(self.unmold_detections, "__func__", None)
        return self.mode == "inference" and (self.keras_model is not self._built or unmold is not MaskRCNN.unmold_detections)

    def detect_molded(self, molded_images: npt.ArrayLike, image_metas: npt.ArrayLike, verbose: int = 0) -> list[dict[str, Any]]:
        """Detect instances in molded images, such as those of the classic data generator.

        Args:
            molded_images: [B, H, W, C], mean subtracted.
            image_metas: [B, 12 + K].
            verbose: 1 prints shapes and ranges.

        Returns:
            See `detect`; the coordinates are those of the molded images.
        """
        molded_images, image_metas = np.asarray(molded_images, np.float32), np.asarray(image_metas)
        if not len(molded_images):
            return []
        self._check_ready()
        if verbose:
            inspection.log("molded_images", molded_images)
            inspection.log("image_metas", image_metas)
        mold = settings.mold_settings(self.config)
        raw_images = raw_pixels(molded_images, mold.mean_pixel, mold.std_pixel, mold.bgr)
        detections, masks = self.predictor.run(raw_images, image_metas, self._min_confidence)
        self.anchors = self.predictor.last_anchors
        shape = molded_images.shape[1:]
        window = [0, 0, shape[0], shape[1]]
        return [dict(zip(INSTANCE_KEYS, paste_detections(rows, small_masks, shape, shape, window, mold.continuous,
                                                         paste=mold.paste)))
                for rows, small_masks in zip(detections, masks)]

    def mold_inputs(self, images: Sequence[npt.ArrayLike]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Resize images and normalise their pixels.

        Args:
            images: [H, W, channels] arrays that have the same size after resizing.

        Returns:
            Molded images float32 [B, H, W, C]; metas [B, 12 + K]; windows int [B, 4] in pixels.
        """
        molded, metas, windows = mold_inputs(images, settings.mold_settings(self.config))
        return np.stack(molded), metas, windows

    def unmold_detections(self, detections: npt.ArrayLike, mrcnn_mask: npt.ArrayLike, original_image_shape: Sequence[int],
                          image_shape: Sequence[int], window: Sequence[int]) -> Instances:
        """Map the detections of one image onto the original image; see `inference.unmold.unmold_detections`."""
        return unmold_detections(np.asarray(detections), np.asarray(mrcnn_mask), original_image_shape, image_shape, window,
                                 settings.is_continuous(self.config), paste=self.config.MASK_PASTE)

    def get_anchors(self, image_shape: Sequence[int]) -> np.ndarray:
        """Return the normalised anchors of a molded image, float32 [A, 4], and store the pixel anchors in `anchors`."""
        shape = tuple(int(side) for side in image_shape)
        self.anchors = settings.config_anchors(self.config, shape)
        return norm_boxes(self.anchors, shape[:2], settings.is_continuous(self.config))

    def evaluate(self, dataset: Dataset, image_ids: Sequence[int] | None = None, limit: int | None = None,
                 progress: Stages | None = None, min_confidence: float | None = 0.0) -> coco.CocoResult:
        """Compute COCO AP of boxes and masks; for an LVIS data set, its federated AP.

        Args:
            dataset: prepared.
            image_ids: None for all images.
            limit: maximum number of images, the first ones; None for all.
            progress: see `evaluation.coco.evaluate`.
            min_confidence: minimum score of a detection, instead of DETECTION_MIN_CONFIDENCE, because average precision
                needs detections of every score.
        """
        _check_dataset(dataset, "dataset")
        self._check_ready()
        image_ids = list(dataset.image_ids if image_ids is None else image_ids)[:limit]
        if self._is_customised():
            return coco.evaluate(partial(detect_with_keras_model, self, masks="rle"), dataset, image_ids, progress=progress)
        detect = partial(self.predictor.detect, masks="rle", min_confidence=float(min_confidence or 0.0))
        return coco.evaluate(detect, dataset, image_ids, batch_size=self.config.BATCH_SIZE, progress=progress,
                             check=self.predictor.check)

    # --- Inspection ---------------------------------------------------------------------------------------------------
    def ancestor(self, tensor: Any, name: str, checked: Any = None) -> Any:
        """Return a handle for `run_graph` to a named step, or None; see `training.inspection.ancestor`."""
        return inspection.ancestor(self.keras_model, tensor, name)

    def find_trainable_layer(self, layer: Any) -> Any:
        """Return the layer itself, or the layer inside a wrapper."""
        return self.find_trainable_layer(layer.layer) if hasattr(layer, "layer") else layer

    def get_trainable_layers(self) -> list[keras.layers.Layer]:
        """Return the layers that hold weights, including those of the nested RPN model."""
        return trainable.leaf_layers(self.keras_model)

    def run_graph(self, images: Any, outputs: Sequence[tuple[str, Any]],
                  image_metas: npt.ArrayLike | None = None) -> dict[str, np.ndarray]:
        """Run parts of the inference graph, and print shape and range of each output; see `training.inspection.run_graph`.

        Args:
            images: a list of images, or molded images if `image_metas` is given.
            outputs: (name, tensor of this model or handle from `ancestor`).
            image_metas: [B, 12 + K].

        Raises:
            ValueError: the model is in training mode, or an output is None.
        """
        if self.mode != "inference":
            raise ValueError('this model was built with mode "training": build one with mode "inference" and load its '
                             "weights to run parts of it.")
        if image_metas is None:
            molded, image_metas, _ = self.mold_inputs(images)
        else:
            molded = np.asarray(images, np.float32)
        anchors = self.get_anchors(molded.shape[1:])
        anchors = np.broadcast_to(anchors, (len(molded), *anchors.shape))
        values = inspection.run_graph(self.keras_model, [molded, np.asarray(image_metas, np.float32), anchors], outputs)
        for name, value in values.items():
            inspection.log(name, value)
        return values


def _class_names(classes_from: Sequence[str] | str | None, class_names: Sequence[str] | None) -> ClassNames | None:
    """Return the names for `load_weights`; None if classes are not matched."""
    if classes_from is None:
        return None
    if class_names is None:
        raise ValueError("classes_from matches classes by name, so class_names must name those of the model: give "
                         "class_names=dataset.class_names.")
    if isinstance(classes_from, str | os.PathLike) and classes_from != COCO:
        classes_from = runs.load_class_names(os.fspath(classes_from))
    return ClassNames(class_names, classes_from)


def _check_config(config: Config, mode: str) -> None:
    """Check the configuration of a new model, and warn if its batch is not shared by GPU_COUNT devices."""
    if isinstance(config, type):
        raise TypeError(f"config is the class {config.__name__}, expected an instance: {config.__name__}().")
    config.validate()
    if mode == "training" and config.GPU_COUNT > 1 and keras.distribution.distribution() is None:
        warnings.warn(f"GPU_COUNT is {config.GPU_COUNT}, but no keras.distribution is set, so that one device gets all "
                      f"{config.BATCH_SIZE} images of a batch. Call keras.distribution.set_distribution(keras.distribution."
                      "DataParallel()) before the model is built, or set GPU_COUNT to 1.", stacklevel=3)


def _check_dataset(dataset: Any, name: str) -> None:
    if not hasattr(dataset, "image_ids"):
        found = f"the path {dataset}" if isinstance(dataset, str | os.PathLike) else f"a {type(dataset).__name__}"
        raise TypeError(f"{name} is {found}, expected a Dataset: open the data first, with mrcnn.datasets.open(path).")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`, and restore the random state of the user's program.

    Keras seeds its initialisers from Python's generator; NumPy's is seeded for a user's backbone. keras.utils.set_random_seed
    would also seed TensorFlow and PyTorch, and TensorFlow's state cannot be restored.
    """
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextmanager
def _precision(name: str | None) -> Iterator[None]:
    """Give the layers that are created in the block this dtype policy; None leaves Keras' policy."""
    before = keras.config.dtype_policy()
    if name is not None:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _compiled(model: keras.Model) -> keras.Model:
    """Compile a detection model. Its optimizer is never used; plain SGD has no variables that a .keras file would lack."""
    model.compile(optimizer="sgd", jit_compile=_jit_compile())
    return model


def _jit_compile() -> bool | str:
    """Return Keras' `jit_compile`. On a CPU, a plain TensorFlow graph is as fast as with XLA, and compiles much faster."""
    return False if on_tensorflow_cpu() else "auto"
