"""The network for the shapes example is trained once and reused."""
from pathlib import Path

import pytest

from mrcnn.config import ConfigError
from mrcnn.training import mask_rcnn
from mrcnn.training.run_start import shapes_checkpoint


class FakeModel:
    """Records calls of `train`, and writes a checkpoint file."""

    trained = []

    def __init__(self, mode, config, model_dir):
        config.validate()
        self.mode, self.config = mode, config
        self.folder = Path(model_dir) / f"shapes2026010{len(self.trained) + 1}T0000"

    def train(self, dataset, val_dataset, *, learning_rate, epochs, layers):
        self.trained.append((self.mode, self.config, len(dataset.image_ids), dataset.image_size(0), epochs, layers))
        self.folder.mkdir(parents=True)
        (self.folder / f"mask_rcnn_shapes_{epochs:04d}.h5").touch()


@pytest.fixture
def trained(monkeypatch):
    monkeypatch.setattr(FakeModel, "trained", [])
    monkeypatch.setattr(mask_rcnn, "MaskRCNN", FakeModel)
    return FakeModel.trained


def test_first_call_trains_and_the_next_uses_its_checkpoint(tmp_path, trained):
    path = shapes_checkpoint(tmp_path, images=20, epochs=2, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64)
    assert path == str(tmp_path / "shapes20260101T0000" / "mask_rcnn_shapes_0002.h5")
    ((mode, config, images, size, epochs, layers),) = trained
    assert (mode, images, size, epochs, layers) == ("training", 20, (64, 64), 2, "all")
    assert (config.NUM_CLASSES, config.BACKBONE, config.TRAIN_BN) == (4, "compact", None)
    assert shapes_checkpoint(tmp_path, images=20, epochs=2) == path and len(trained) == 1


def test_run_with_fewer_epochs_is_not_used(tmp_path, trained):
    shapes_checkpoint(tmp_path, images=8, epochs=1)
    assert shapes_checkpoint(tmp_path, images=8, epochs=3).endswith("shapes20260102T0000/mask_rcnn_shapes_0003.h5")
    assert len(trained) == 2


def test_unknown_setting_is_an_error_before_training(tmp_path, trained):
    with pytest.raises(ConfigError, match="IMAGE_MAXDIM"):
        shapes_checkpoint(tmp_path, IMAGE_MAXDIM=64)
    assert not trained
