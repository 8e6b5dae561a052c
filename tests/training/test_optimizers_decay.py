"""Weight decay of the three kinds: what it does to a kernel, and what it spares."""
import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.config import ConfigError
from mrcnn.training.optimizers import L2SGD, exclude_from_decay, make_optimizer
from tests.training.small import batch_of, small_config, small_model, to_numpy


def _stepped(optimizer, steps=2):
    """Return a kernel of 2 and a bias of 3 after each of some steps with gradients of 1."""
    kernel, bias = keras.Variable([[2.0]], name="kernel"), keras.Variable([3.0], name="bias")
    exclude_from_decay(optimizer, [kernel, bias])
    optimizer.build([kernel, bias])
    values = []
    for _ in range(steps):
        optimizer.apply([ops.ones((1, 1)), ops.ones((1,))], [kernel, bias])
        values.append((float(to_numpy(kernel.value)[0, 0]), float(to_numpy(bias.value)[0])))
    return np.array(values)


def test_l2_by_hand():
    # kernel: v = -0.5 * (1 + 0.1 * 2) = -0.6, then 0.9 * -0.6 - 0.5 * (1 + 0.1 * 1.4) = -1.11; bias: -0.5, then -0.95
    config = small_config(WEIGHT_DECAY_KIND="l2", WEIGHT_DECAY=0.1, GRADIENT_CLIP_NORM=None)
    values = _stepped(make_optimizer(config, 0.5, 0.9))
    np.testing.assert_allclose(values, [(1.4, 2.5), (0.29, 1.55)], rtol=1e-5)


def test_l2_is_not_clipped():
    # the gradient (1, 1) has the norm 1.414; clipped to a tenth of it, (0.1, 0.1). The kernel's L2 term adds 0.5 * 2
    config = small_config(WEIGHT_DECAY_KIND="l2", WEIGHT_DECAY=0.5, GRADIENT_CLIP_NORM=0.1 * 2**0.5)
    np.testing.assert_allclose(_stepped(make_optimizer(config, 1.0, 0.9), 1), [(0.9, 2.9)], rtol=1e-5)


def test_decoupled_by_hand():
    # kernel: 2 * (1 - 0.5 * 0.1) = 1.9, less 0.5 is 1.4; then 1.33, less 0.95 is 0.38
    config = small_config(WEIGHT_DECAY_KIND="decoupled", WEIGHT_DECAY=0.1, GRADIENT_CLIP_NORM=None)
    np.testing.assert_allclose(_stepped(make_optimizer(config, 0.5, 0.9)), [(1.4, 2.5), (0.38, 1.55)], rtol=1e-5)


def test_adamw_decays_by_its_setting():
    # Adam's first step is the learning rate: kernel 2 * (1 - 0.5 * 0.1) - 0.5, bias 3 - 0.5
    config = small_config(OPTIMIZER="adamw", WEIGHT_DECAY_KIND="decoupled", WEIGHT_DECAY=0.1)
    np.testing.assert_allclose(_stepped(make_optimizer(config, 0.5, 0.9), 1), [(1.4, 2.5)], rtol=1e-5)


@pytest.mark.parametrize("kind", ["l2", "decoupled"])
def test_the_steps_are_those_of_pytorch(kind):
    torch = pytest.importorskip("torch")
    kernel, bias = (torch.tensor(value, requires_grad=True) for value in ([[2.0]], [3.0]))
    groups = [{"params": [kernel], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
    if kind == "l2":
        ours = make_optimizer(small_config(WEIGHT_DECAY_KIND=kind, WEIGHT_DECAY=0.1, GRADIENT_CLIP_NORM=None), 0.5, 0.9)
        theirs = torch.optim.SGD(groups, lr=0.5, momentum=0.9)
    else:
        ours = make_optimizer(small_config(WEIGHT_DECAY_KIND=kind, WEIGHT_DECAY=0.1, OPTIMIZER="adamw"), 0.5, 0.9)
        theirs = torch.optim.AdamW(groups, lr=0.5, eps=1e-7)
    expected = []
    for _ in range(5):
        kernel.grad, bias.grad = torch.ones(1, 1), torch.ones(1)
        theirs.step()
        expected.append((kernel.item(), bias.item()))
    np.testing.assert_allclose(_stepped(ours, 5), expected, atol=1e-4)  # Keras adds epsilon elsewhere in Adam


def test_the_l2_optimizer_is_serialised():
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(L2SGD(0.5, momentum=0.9, decay=0.25)))
    assert isinstance(copy, L2SGD) and copy.decay == 0.25


@pytest.mark.parametrize(("values", "term"), [({}, True), ({"WEIGHT_DECAY_KIND": "l2"}, False),
                                              ({"WEIGHT_DECAY_KIND": "decoupled"}, False)])  # fmt: skip
def test_only_the_classic_kind_has_a_term_in_the_loss(tmp_path, values, term):
    model = small_model("training", tmp_path, WEIGHT_DECAY=0.5, **values)
    assert (float(to_numpy(model.keras_model.l2_loss())) > 0) == term


@pytest.mark.parametrize("kind", ["l2", "decoupled"])
def test_a_step_shrinks_kernels_and_spares_norms_and_biases(tmp_path, kind):
    """Without a gradient through the losses, only decay changes a weight."""
    model = small_model("training", tmp_path, WEIGHT_DECAY_KIND=kind, WEIGHT_DECAY=0.5, SEED=3,
                        LOSS_WEIGHTS=dict.fromkeys(small_config().LOSS_WEIGHTS, 0.0))  # fmt: skip
    model.set_trainable("all", verbose=0)
    for variable in model.keras_model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    model.compile(0.1, 0.9)
    model.keras_model.train_on_batch(batch_of(model.config))
    for variable in model.keras_model.trainable_variables:
        expected = 0.95 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(to_numpy(variable.value), expected, rtol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize(("values", "words"), [
    ({"WEIGHT_DECAY_KIND": "L2"}, "WEIGHT_DECAY_KIND is 'L2': choose one of classic, l2, decoupled"),
    ({"WEIGHT_DECAY_KIND": "l2", "OPTIMIZER": "adamw"}, "OPTIMIZER is 'adamw': choose \"decoupled\""),
    ({"WEIGHT_DECAY_KIND": "l2", "OPTIMIZER": staticmethod(lambda rate, config: None)}, "OPTIMIZER is a callable")])
def test_invalid_kinds(values, words):
    with pytest.raises(ConfigError, match=words):
        small_config(**values).validate()
