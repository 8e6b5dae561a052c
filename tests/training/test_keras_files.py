"""Models loaded from .keras files and clones of models behave like the original."""
import keras
import numpy as np
import pytest

from tests.training.small import batch_of, shapes, small_model, to_numpy, weights_of

LOSS_WEIGHTS = {"rpn_class_loss": 1.0, "rpn_bbox_loss": 2.0, "mrcnn_class_loss": 3.0, "mrcnn_bbox_loss": 4.0,
                "mrcnn_mask_loss": 5.0}  # fmt: skip
MEAN_PIXEL = np.array([90.0, 100.0, 110.0])
CLASS_WEIGHTS = [1.0, 2.0, 0.0, 0.5]
SETTINGS = {"STEPS_PER_EPOCH": 1, "LOSS_WEIGHTS": LOSS_WEIGHTS, "CLASS_LOSS_WEIGHTS": CLASS_WEIGHTS,
            "WEIGHT_DECAY": 0.01, "MEAN_PIXEL": MEAN_PIXEL}  # fmt: skip


def _copies(model, folder):
    """Return the model loaded from a file, and a clone with the same weights."""
    model.save(folder / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return {"file": keras.models.load_model(folder / "model.keras"), "clone": clone}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained MaskRCNN, and the path of the file that keras.callbacks.ModelCheckpoint saved."""
    folder = tmp_path_factory.mktemp("trained")
    model = small_model("training", folder, **SETTINGS)
    checkpoint = keras.callbacks.ModelCheckpoint(str(folder / "best.keras"), monitor="loss", save_best_only=True)
    model.train(shapes(2), None, 0.01, 1, "all", custom_callbacks=[checkpoint])
    return model, folder / "best.keras"


def test_keras_checkpoint_is_loaded_and_trained_further(trained):
    model, path = trained
    loaded = keras.models.load_model(path)
    assert type(loaded) is type(model.keras_model)
    expected = weights_of(model.keras_model)
    assert weights_of(loaded).keys() == expected.keys()
    for name, value in weights_of(loaded).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert (loaded.loss_weights, loaded.class_weights, loaded.weight_decay) == (LOSS_WEIGHTS, CLASS_WEIGHTS, 0.01)
    ours, theirs = ([keras.ops.convert_to_numpy(v) for v in m.optimizer.variables] for m in (model.keras_model, loaded))
    assert len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs))
    batch = batch_of(model.config)
    # Keras does not save the states of random generators; they are copied so that the same ROIs are sampled
    states = [[v for v in m.variables if v.name == "seed_generator_state"] for m in (model.keras_model, loaded)]
    for original, copy in zip(*states, strict=True):
        copy.assign(to_numpy(original.value))
    original, copy = (m.train_on_batch(batch, return_dict=True) for m in (model.keras_model, loaded))
    assert original == pytest.approx(copy, rel=1e-4)
    original, copy = (m.train_on_batch(batch, return_dict=True) for m in (model.keras_model, loaded))
    assert original == pytest.approx(copy, rel=1e-3)


@pytest.mark.tensorflow_only
def test_clone_of_the_training_model_has_the_same_loss(trained):
    model, _ = trained
    clone = keras.models.clone_model(model.keras_model)
    clone.set_weights(model.keras_model.get_weights())
    assert type(clone) is type(model.keras_model)
    batch = batch_of(model.config)
    for name in ("rpn_class", "rpn_bbox", "rpn_rois"):
        ours, theirs = (to_numpy(m(batch)[name]) for m in (model.keras_model, clone))
        np.testing.assert_allclose(theirs, ours, atol=1e-5, err_msg=name)
    assert float(clone.l2_loss()) == pytest.approx(float(model.keras_model.l2_loss()), rel=1e-5)
    clone.compile("sgd")
    assert set(clone.test_on_batch(batch, return_dict=True)) == {"loss", "positive_rois", *LOSS_WEIGHTS}


@pytest.mark.parametrize("size", ["square", pytest.param("pad64", marks=pytest.mark.tensorflow_only)])
@pytest.mark.parametrize("variant", ["inference", "detection"])
@pytest.mark.parametrize("copy", ["file", "clone"])
def test_copy_of_an_inference_model_has_the_same_detections(tmp_path, size, variant, copy):
    detector = small_model("inference", tmp_path, IMAGE_RESIZE_MODE=size, MEAN_PIXEL=MEAN_PIXEL)
    predictor = detector.full_predictor if variant == "inference" else detector.predictor
    image = shapes(1).load_image(0)
    molded, metas, _ = detector.mold_inputs([image])
    images = molded if variant == "inference" else image[None]
    expected = predictor.run(images, metas)
    predictor.model = _copies(predictor.model, tmp_path)[copy]
    assert (expected[0][..., 5] > 0).any()
    for ours, theirs in zip(predictor.run(images, metas), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_loaded_model_saves_classic_weight_files(trained, tmp_path):
    model, path = trained
    loaded = keras.models.load_model(path)
    loaded.save_weights(tmp_path / "classic.h5")
    detector = small_model("inference", tmp_path, **SETTINGS)
    assert not detector.load_weights(tmp_path / "classic.h5", by_name=True).missing
    np.testing.assert_array_equal(weights_of(detector.keras_model)["fpn_p2/kernel"], weights_of(loaded)["fpn_p2/kernel"])
