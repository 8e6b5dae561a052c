"""Small models with the layer types and nesting of the detector, and files like those of older Keras versions."""
import h5py
import keras
import numpy as np
from keras import layers


def small_model(classes=5, nested="rpn_model", names=("conv1", "bn_conv1", "mrcnn_class_logits"), seed=0):
    """Return a model of [B, 8, 12, 3] images: convolution, batch norm, a nested model applied to two maps, a dense head.

    All weights are drawn with `seed`: models with equal seeds are equal, others differ.
    """
    conv, norm, logits = names
    fine = layers.Input((None, None, 4))
    shared = layers.Conv2D(6, 3, padding="same", activation="relu", name="rpn_conv_shared")(fine)
    raw = layers.Conv2D(2, 1, name="rpn_class_raw")(shared)
    head = keras.Model(fine, raw, name=nested)

    image = layers.Input((8, 12, 3), name="input_image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name=conv)(image)
    x = layers.BatchNormalization(name=norm)(x)
    x = layers.Activation("relu", name="relu")(x)
    rpn = layers.Concatenate(axis=1, name="rpn")(
        [layers.Flatten(name=f"flat{i}")(head(m)) for i, m in enumerate([x, layers.MaxPooling2D(name="pool")(x)])])
    x = layers.Dropout(0.5, seed=seed, name="dropout")(layers.Flatten(name="flat")(x))
    model = keras.Model(image, [rpn, layers.Dense(classes, name=logits)(x)], name="small")
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(0, 0.3, variable.shape)
        variable.assign(np.abs(value) + 0.5 if variable.name == "moving_variance" else value)
    return model


# Groups, tensors and shapes in the file of `small_model()`, written by hand.
LAYOUT = [
    ("conv1", "conv1/kernel:0", (3, 3, 3, 4)),
    ("conv1", "conv1/bias:0", (4,)),
    ("bn_conv1", "bn_conv1/gamma:0", (4,)),
    ("bn_conv1", "bn_conv1/beta:0", (4,)),
    ("bn_conv1", "bn_conv1/moving_mean:0", (4,)),
    ("bn_conv1", "bn_conv1/moving_variance:0", (4,)),
    ("rpn_model", "rpn_conv_shared/kernel:0", (3, 3, 4, 6)),
    ("rpn_model", "rpn_conv_shared/bias:0", (6,)),
    ("rpn_model", "rpn_class_raw/kernel:0", (1, 1, 6, 2)),
    ("rpn_model", "rpn_class_raw/bias:0", (2,)),
    ("mrcnn_class_logits", "mrcnn_class_logits/kernel:0", (96, 5)),
    ("mrcnn_class_logits", "mrcnn_class_logits/bias:0", (5,)),
]


def write_layout(path, rows, root=None, split=None, seed=7):
    """Write a file of `rows` in the layout of Keras 2, and return {tensor name: value}.

    Args:
        path: the file.
        rows: list of (group, tensor name, shape). If the shape is None, the group has no tensors.
        root: str, optional. The group of all layers; `model.save` used "model_weights".
        split: int, optional. Number of attributes over which `layer_names` is split, as for very long lists.
        seed: int. Seed of the random values.
    """
    rng, values = np.random.default_rng(seed), {}
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        names = [name.encode() for name in dict.fromkeys(group for group, _, _ in rows)]
        if split:
            for number, piece in enumerate(np.array_split(np.array(names), split)):
                top.attrs[f"layer_names{number}"] = piece
        else:
            top.attrs["layer_names"] = names
        top.attrs["backend"] = b"tensorflow"
        for name in names:
            group = top.create_group(name)
            tensors = [(t, s) for g, t, s in rows if g == name.decode() and s is not None]
            group.attrs["weight_names"] = [tensor.encode() for tensor, _ in tensors]
            for tensor, shape in tensors:
                values[tensor] = rng.uniform(0.5, 1, shape).astype(np.float32)
                group.create_dataset(tensor, data=values[tensor])
    return values


def values_of(model):
    """Return [(name, value)] of the weights of a model, including nested models, in order."""
    return [(variable.name, keras.ops.convert_to_numpy(variable.value)) for variable in model.weights]


def same_values(model, other):
    """Return whether two models have weights with the same names and values."""
    pairs = list(zip(values_of(model), values_of(other), strict=True))
    return all(a == b and np.array_equal(x, y) for (a, x), (b, y) in pairs)
