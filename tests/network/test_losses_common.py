"""Masked mean, smooth L1 and cross entropy."""
import keras
import numpy as np
import pytest

from mrcnn.network.losses import masked_mean, smooth_l1, softmax_cross_entropy


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_masked_mean_averages_the_selected_values():
    values, mask = np.array([[1.0, 2], [30, 5]], np.float32), np.array([[True, True], [False, True]])
    assert float(_numpy(masked_mean(values, mask))) == pytest.approx(8 / 3)
    assert float(_numpy(masked_mean(values, np.zeros((2, 2), bool)))) == 0.0


def test_masked_mean_ignores_nan_and_inf_outside_the_mask():
    values = np.array([np.nan, np.inf, 4.0], np.float32)
    assert float(_numpy(masked_mean(values, np.array([False, False, True])))) == 4.0


def test_smooth_l1_is_quadratic_below_one_and_linear_above():
    loss = _numpy(smooth_l1(np.zeros(6, np.float32), np.array([0, 0.5, -0.5, 1, -2, 10], np.float32)))
    np.testing.assert_allclose(loss, [0, 0.125, 0.125, 0.5, 1.5, 9.5])


def test_cross_entropy_by_hand():
    # exp(0, log 2, log 5) = 1, 2, 5 of 8
    logits = np.log([[[1.0, 2, 5], [1, 2, 5]]]).astype(np.float32)
    np.testing.assert_allclose(_numpy(softmax_cross_entropy(np.array([[1, 2]]), logits)), [[np.log(4), np.log(8 / 5)]],
                               atol=1e-6)


def test_huge_logits_stay_finite():
    loss = _numpy(softmax_cross_entropy(np.array([0, 1]), np.array([[1e4, 0], [1e4, 0]], np.float32)))
    np.testing.assert_allclose(loss, [0, 1e4])
