"""The classic weight file: writing, reading, and errors for files that do not fit."""
import h5py
import keras
import numpy as np
import pytest

from mrcnn.weights import classic_h5
from mrcnn.weights.tensors import WeightsError, read_names, write_names
from tests.weights.small import LAYOUT, same_values, small_model, values_of, write_layout


def _value(model, layer, tensor):
    leaf = model.get_layer(layer) if not isinstance(layer, keras.Layer) else layer
    (variable,) = [v for v in leaf.weights if v.name == tensor]
    return keras.ops.convert_to_numpy(variable.value)


def test_file_has_the_classic_groups_tensors_and_attributes(tmp_path):
    path = tmp_path / "w.h5"
    model = small_model()
    classic_h5.save(model, path)
    assert classic_h5.layout(path) == LAYOUT
    with h5py.File(path) as file:
        assert list(file.attrs["layer_names"]) == [b"conv1", b"bn_conv1", b"rpn_model", b"mrcnn_class_logits"]
        assert file.attrs["backend"] in ("tensorflow", b"tensorflow")
        assert set(file) == {"conv1", "bn_conv1", "rpn_model", "mrcnn_class_logits"}
        stored = file["rpn_model/rpn_class_raw/kernel:0"]
        assert stored.dtype == np.float32
        inner = model.get_layer("rpn_model").get_layer("rpn_class_raw")
        np.testing.assert_array_equal(stored[()], _value(model, inner, "kernel"))


@pytest.mark.parametrize("by_name", [True, False])
def test_saved_weights_are_loaded(tmp_path, by_name):
    model, other = small_model(seed=1), small_model(seed=2)
    classic_h5.save(model, tmp_path / "w.h5")
    report = classic_h5.load(other, tmp_path / "w.h5", by_name=by_name)
    assert same_values(model, other)
    assert len(report.matched) == 12 and "bn_conv1/moving_variance" in report.matched
    assert not report.missing and not report.mismatched and not report.unused and not report.excluded
    assert report.summary() == "12 tensors loaded" and repr(report) == "<LoadReport: 12 tensors loaded>"
    image = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype(np.float32)
    for ours, theirs in zip(model.predict(image, verbose=0), other.predict(image, verbose=0), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("root, split", [(None, None), ("model_weights", None), (None, 2)])
def test_files_of_keras_2_are_loaded(tmp_path, root, split):
    """Files of `save_weights` and `model.save`, and a layer list too long for an attribute. Some layers have no weights."""
    rows = [("input_image", "none", None), *LAYOUT, ("relu", "none", None)]
    values = write_layout(tmp_path / "w.h5", rows, root=root, split=split)
    model = small_model()
    report = classic_h5.load(model, tmp_path / "w.h5")
    assert len(report.matched) == 12
    np.testing.assert_array_equal(_value(model, "bn_conv1", "moving_mean"), values["bn_conv1/moving_mean:0"])
    inner = model.get_layer("rpn_model").get_layer("rpn_conv_shared")
    np.testing.assert_array_equal(_value(model, inner, "kernel"), values["rpn_conv_shared/kernel:0"])


@pytest.mark.parametrize(
    "rename",
    [
        lambda group, tensor: f"{group}_3/{tensor.split('/')[-1]}" if group != "rpn_model" else tensor,
        lambda group, tensor: f"{group}/{tensor}",
        lambda group, tensor: tensor.removesuffix(":0"),
        lambda group, tensor: tensor.replace("/kernel:0", "_W:0").replace("/bias:0", "_b:0"),
    ],
    ids=["numbered layer", "prefix of the nested model", "no output number", "names of Keras 1"],
)
def test_older_tensor_names_are_matched(tmp_path, rename):
    rows = [(group, rename(group, tensor), shape) for group, tensor, shape in LAYOUT]
    values = write_layout(tmp_path / "w.h5", rows)
    model = small_model()
    report = classic_h5.load(model, tmp_path / "w.h5")
    assert len(report.matched) == 12 and not report.unused
    name = rename("conv1", "conv1/kernel:0")
    np.testing.assert_array_equal(_value(model, "conv1", "kernel"), values[name])


def test_order_of_the_file_is_irrelevant_if_names_match(tmp_path):
    values = write_layout(tmp_path / "w.h5", LAYOUT[::-1])
    model = small_model()
    classic_h5.load(model, tmp_path / "w.h5", by_name=False)
    np.testing.assert_array_equal(_value(model, "mrcnn_class_logits", "bias"), values["mrcnn_class_logits/bias:0"])


def test_time_distributed_layers_have_the_names_of_plain_ones(tmp_path):
    frames = keras.layers.Input((3, 8, 8, 2))
    layer = keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3), name="mrcnn_mask_conv1")
    wrapped = keras.Model(frames, layer(frames))
    classic_h5.save(wrapped, tmp_path / "w.h5")
    assert classic_h5.layout(tmp_path / "w.h5") == [
        ("mrcnn_mask_conv1", "mrcnn_mask_conv1/kernel:0", (3, 3, 2, 4)),
        ("mrcnn_mask_conv1", "mrcnn_mask_conv1/bias:0", (4,)),
    ]
    image = keras.layers.Input((8, 8, 2))
    plain = keras.Model(image, keras.layers.Conv2D(4, 3, name="mrcnn_mask_conv1")(image))
    classic_h5.load(plain, tmp_path / "w.h5", by_name=False)
    assert same_values(plain, wrapped)


def test_tensors_of_a_composite_layer_have_different_names(tmp_path):
    def attention(seed):
        keras.utils.set_random_seed(seed)
        tokens = keras.layers.Input((4, 6))
        return keras.Model(tokens, keras.layers.MultiHeadAttention(2, 3, name="mixer")(tokens, tokens))

    model, other = attention(1), attention(2)
    classic_h5.save(model, tmp_path / "w.h5")
    names = [name for _, name, _ in classic_h5.layout(tmp_path / "w.h5")]
    assert len(names) == len(set(names)) == 8 and "mixer/query/kernel:0" in names
    assert len(classic_h5.load(other, tmp_path / "w.h5").matched) == 8
    assert same_values(model, other)


def test_random_state_is_not_saved(tmp_path):
    model = small_model()
    assert any("seed" in variable.path for variable in model.variables)
    classic_h5.save(model, tmp_path / "w.h5")
    assert not [name for _, name, _ in classic_h5.layout(tmp_path / "w.h5") if "seed" in name]


def test_heads_with_a_different_class_count_must_be_excluded(tmp_path):
    classic_h5.save(small_model(classes=81), tmp_path / "w.h5")
    model = small_model(classes=5, seed=3)
    before = values_of(model)
    shapes = r"mrcnn_class_logits/kernel: \(96, 81\) in the file, \(96, 5\) in the model"
    with pytest.raises(WeightsError, match=shapes) as caught:
        classic_h5.load(model, tmp_path / "w.h5")
    assert "exclude=['mrcnn_class_logits']" in str(caught.value)
    for (_, was), (_, now) in zip(before, values_of(model), strict=True):
        np.testing.assert_array_equal(was, now)

    report = classic_h5.load(model, tmp_path / "w.h5", exclude=["mrcnn_class_logits", "mrcnn_bbox_fc"])
    assert report.excluded == ["mrcnn_class_logits/kernel", "mrcnn_class_logits/bias"]
    assert len(report.matched) == 10 and not report.mismatched
    np.testing.assert_array_equal(_value(model, "mrcnn_class_logits", "kernel"), before[-2][1])


@pytest.mark.parametrize("exclude, count", [(["rpn_model"], 4), (["rpn_class_raw"], 2)])
def test_nested_model_or_one_of_its_layers_can_be_excluded(tmp_path, exclude, count):
    classic_h5.save(small_model(seed=1), tmp_path / "w.h5")
    report = classic_h5.load(small_model(seed=2), tmp_path / "w.h5", exclude=exclude)
    assert len(report.excluded) == count and len(report.matched) == 12 - count


def test_report_names_missing_and_unused_tensors(tmp_path):
    write_layout(tmp_path / "w.h5", [*LAYOUT[:2], ("fc1000", "fc1000/kernel:0", (8, 10))])
    report = classic_h5.load(small_model(), tmp_path / "w.h5")
    assert report.matched == ["conv1/kernel", "conv1/bias"]
    assert report.unused == ["fc1000/kernel:0"]
    assert len(report.missing) == 10 and report.missing[0] == "bn_conv1/gamma"
    assert "10 missing (bn_conv1/gamma, bn_conv1/beta, bn_conv1/moving_mean, ...)" in report.summary()


def test_by_name_false_matches_by_order_if_names_differ(tmp_path):
    theirs = small_model(nested="model_1", names=("conv2d_1", "batch_normalization_1", "dense_1"), seed=1)
    classic_h5.save(theirs, tmp_path / "w.h5")
    ours = small_model(seed=2)
    assert len(classic_h5.load(ours, tmp_path / "w.h5", by_name=False).matched) == 12
    for (_, was), (_, now) in zip(values_of(theirs), values_of(ours), strict=True):
        np.testing.assert_array_equal(was, now)


def test_by_name_false_rejects_a_different_architecture(tmp_path):
    write_layout(tmp_path / "w.h5", LAYOUT[:6])
    with pytest.raises(WeightsError, match="2 layers with weights in the file, 4 in the model.*by_name=True"):
        classic_h5.load(small_model(), tmp_path / "w.h5", by_name=False)
    write_layout(tmp_path / "w.h5", [row for row in LAYOUT if row[1] != "conv1/bias:0"])
    with pytest.raises(WeightsError, match="conv1 has 1 tensors, but conv1, the layer at its position in the model, has 2"):
        classic_h5.load(small_model(), tmp_path / "w.h5", by_name=False)


def test_file_without_matching_tensors_is_an_error(tmp_path):
    write_layout(tmp_path / "w.h5", [("block1", "block1/w:0", (3, 3)), ("block2", "block2/w:0", (3, 3))])
    with pytest.raises(WeightsError, match="no tensor matches.*block1, block2.*conv1, bn_conv1, rpn_model"):
        classic_h5.load(small_model(), tmp_path / "w.h5")


def test_files_of_other_types_are_an_error_that_says_the_type(tmp_path):
    model = small_model()
    with pytest.raises(FileNotFoundError, match="there is no weight file"):
        classic_h5.load(model, tmp_path / "absent.h5")
    (tmp_path / "page.h5").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="page.h5: not a complete HDF5 file"):
        classic_h5.load(model, tmp_path / "page.h5")
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["pressure"] = np.zeros(3)
    with pytest.raises(WeightsError, match="table.h5: not a weight file: .*it holds 1 group .pressure"):
        classic_h5.load(model, tmp_path / "table.h5")


def test_failed_save_keeps_the_old_file_and_leaves_no_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "w.h5"
    classic_h5.save(small_model(seed=1), path)
    before = path.read_bytes()

    def fail(variable):
        raise OSError("no space left on device")

    monkeypatch.setattr(classic_h5, "to_hdf5", fail)
    with pytest.raises(OSError, match="no space"):
        classic_h5.save(small_model(seed=2), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.h5"]


def test_list_too_long_for_an_attribute_is_split_and_read_back(tmp_path):
    names = [f"a_rather_long_name_of_a_layer_{number:05d}" for number in range(4000)]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_names(file, "layer_names", names)
        assert "layer_names" not in file.attrs and "layer_names0" in file.attrs
        assert read_names(file, "layer_names") == names


def test_bfloat16_weights_are_written_as_float32(tmp_path):
    image = keras.layers.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Conv2D(2, 1, dtype="bfloat16", name="conv1")(image))
    classic_h5.save(model, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["conv1/conv1/kernel:0"].dtype == np.float32
    assert len(classic_h5.load(model, tmp_path / "w.h5").matched) == 2
