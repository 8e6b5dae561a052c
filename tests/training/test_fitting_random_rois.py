"""With USE_RPN_ROIS False, the heads are trained on random regions."""
import numpy as np

from mrcnn.training.fitting import _batches
from mrcnn.training.settings import make_loader
from tests.training.small import shapes, small_config, small_model


def test_random_regions_depend_on_the_step_only():
    config = small_config(USE_RPN_ROIS=False)
    make = _batches(make_loader(shapes(4), config), config)
    first, again, later = make(0), make(0), make(2)
    rois = first[-1]
    assert len(first) == 9 and rois.shape == (2, 40, 4) and rois.dtype == np.int32
    np.testing.assert_array_equal(rois, again[-1])
    assert (rois != later[-1]).any()
    assert (rois[..., 2:] > rois[..., :2]).all() and rois.min() >= 0 and rois.max() <= 64


def test_random_regions_have_positives_from_the_first_step(tmp_path):
    model = small_model("training", tmp_path, USE_RPN_ROIS=False)
    history = model.train(shapes(4), shapes(2, seed=1), 0.001, 1, "heads").history
    assert history["positive_rois"][0] > 0.1 and history["val_mrcnn_mask_loss"][0] > 0
