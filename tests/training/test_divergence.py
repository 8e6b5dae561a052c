"""Training stops at the first loss that is not finite, and keeps the last valid checkpoint."""
import re

import keras
import numpy as np
import pytest

from mrcnn.training.runs import checkpoint_fault, read_history
from mrcnn.training.settings import make_loader
from mrcnn.training.stopping import StopAtNan, TrainingDiverged, batch_images
from tests.training.small import shapes, small_config, small_model


def test_much_too_high_learning_rate_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    model = small_model("training", tmp_path, STEPS_PER_EPOCH=3, CHECKPOINTS_KEPT=1)
    data = shapes(6)
    good, content = f"{model.log_dir}/mask_rcnn_small_0001.h5", []

    def rate(epoch, _):
        if epoch == 1:
            content.append(open(good, "rb").read())
        return 1e6 if epoch else 0.01

    with pytest.raises(TrainingDiverged) as caught:
        model.train(data, None, 0.01, 4, "heads", custom_callbacks=[keras.callbacks.LearningRateScheduler(rate)])
    message = str(caught.value)
    step = int(re.match(r"the loss became (?:nan|-?inf) in step (\d) of 3 of epoch 2\. ", message)[1])
    assert f"The checkpoint of epoch 1 is intact: {good}." in message
    assert "rpn_class_loss nan" in message or "inf" in message
    loader = make_loader(data, model.config)
    images = {int(number) for number in re.findall(r"image (\d+) \(id", message)}
    assert images == set(loader.order(1)[2 * (step - 1) : 2 * step])  # epoch 2, batches of two
    assert model.epoch == 1 and model.find_last() == good and [open(good, "rb").read()] == content
    assert [row["epoch"] for row in read_history(f"{model.log_dir}/history.csv")] == [1]
    with pytest.raises(ValueError, match="hold NaN or infinite numbers"):
        model.save_weights(tmp_path / "user.h5")
    assert checkpoint_fault(good) is None and not (tmp_path / "user.h5").exists()


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_message_names_the_images_of_the_batch_and_the_saved_checkpoint(loss):
    loader = make_loader(shapes(3), small_config(), shuffle=False)
    stop = StopAtNan(loader, lambda: "Nothing is saved.")
    stop.set_params({"steps": 2})
    stop.on_epoch_begin(4)
    stop.on_train_batch_end(0, {"loss": 3.5})
    with pytest.raises(TrainingDiverged) as caught:
        stop.on_train_batch_end(1, {"loss": loss, "rpn_bbox_loss": loss, "mrcnn_mask_loss": 0.25, "positive_rois": 1.0})
    assert str(caught.value).startswith(
        f"the loss became {loss} in step 2 of 2 of epoch 5. Means of the losses of this epoch: rpn_bbox_loss {loss}, "
        "mrcnn_mask_loss 0.25. Images of the batch: image 2 (id 2 of 'shapes', path None). Nothing is saved. ")


def test_images_of_a_padded_batch_are_listed_once():
    loader = make_loader(shapes(3), small_config(), shuffle=False)  # batches of two, so that the second one is padded
    assert [name.partition(" (")[0] for name in batch_images(loader, 0)] == ["image 0", "image 1"]
    assert [name.partition(" (")[0] for name in batch_images(loader, 1)] == ["image 2"]
    assert [name.partition(" (")[0] for name in batch_images(loader, 3)] == ["image 2"]
