"""A small network trained on drawn shapes, for notebooks that need a trained network before there is one of the user's own."""

from pathlib import Path

from mrcnn.datasets.catalog import open_dataset
from mrcnn.training.presets import build_config, with_classes
from mrcnn.training.runs import find_last, parse_checkpoint

NAME = "shapes"


def shapes_checkpoint(folder: Path | str, *, images: int = 2400, epochs: int = 2, **settings: object) -> str:
    """Return the newest checkpoint of a network trained on shapes. The first call trains it, in minutes on two CPU cores.

    Args:
        folder: The folder of the run folders. It should hold no other run named "shapes".
        images: Number of drawn images to train on.
        epochs: Passes over them. A run of fewer epochs is not enough: a new one is trained.
        **settings: Changes of the configuration of `mrcnn train shapes` for random weights.

    Raises:
        ConfigError: A setting is unknown or cannot work.
    """
    try:
        checkpoint = find_last(folder, NAME)
    except FileNotFoundError:
        return _train(str(folder), images, epochs, settings)
    parsed = parse_checkpoint(checkpoint)
    return checkpoint if parsed and parsed[1] >= epochs else _train(str(folder), images, epochs, settings)


def _train(folder: str, images: int, epochs: int, settings: dict[str, object]) -> str:
    import keras

    from mrcnn.training.mask_rcnn import MaskRCNN

    config = build_config(NAME, settings, from_scratch=True)
    dataset = open_dataset(format="shapes", subset="train", count=images, image_size=config.IMAGE_MAX_DIM)
    steps = epochs * -(-images // config.BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=2e-3, warmup_steps=max(1, min(50, steps // 10)), alpha=0.01)  # fmt: skip
    model = MaskRCNN("training", with_classes(config, dataset), folder)
    model.train(dataset, None, learning_rate=rate, epochs=epochs, layers="all")
    return find_last(folder, NAME)
