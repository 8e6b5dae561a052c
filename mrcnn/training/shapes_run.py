"""A small network trained on drawn shapes: one to look at before there is one of your own."""

from mrcnn.datasets.catalog import open_dataset
from mrcnn.training.presets import build_config, with_classes
from mrcnn.training.runs import find_last, parse_checkpoint

NAME = "shapes"


def shapes_checkpoint(folder, *, images=2400, epochs=2, **settings):
    """Return a checkpoint of a network trained on shapes; the first call trains it, in minutes on two CPU cores.

    Args:
        folder: path. The folder of run folders; nothing else of the name "shapes" should be in it.
        images: int. Drawn images to train on.
        epochs: int. Passes over them.
        **settings: changes of the configuration that `mrcnn train shapes` takes for random weights.

    Returns:
        str. Path of the newest checkpoint in `folder` that has so many epochs behind it.

    Raises:
        ConfigError: a setting is unknown or cannot work.
    """
    try:
        last = find_last(str(folder), NAME)
    except FileNotFoundError:
        last = None
    if last is None or parse_checkpoint(last)[1] < epochs:
        _train(str(folder), images, epochs, settings)
        last = find_last(str(folder), NAME)
    return last


def _train(folder, images, epochs, settings):
    import keras

    from mrcnn.training.mask_rcnn import MaskRCNN

    config = build_config(NAME, settings, from_scratch=True)
    dataset = open_dataset(format="shapes", subset="train", count=images, image_size=config.IMAGE_MAX_DIM)
    steps = epochs * -(-images // config.BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=2e-3, warmup_steps=max(1, min(50, steps // 10)), alpha=0.01)  # fmt: skip
    model = MaskRCNN("training", with_classes(config, dataset), folder)
    model.train(dataset, None, learning_rate=rate, epochs=epochs, layers="all")
