"""What is chosen from the data and the weights, on data sets counted by hand."""
import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.datasets.catalog import FORMATS
from mrcnn.loading.object_sizes import MeasuredObjects
from mrcnn.loading.pixel_statistics import PixelMoments
from mrcnn.training.presets import (
    FORMAT_SETTINGS,
    SMALL_BACKBONE,
    Facts,
    choose_preset,
    chosen_values,
    image_size,
    run_length,
)


def squares(*sides, size=(600, 800), images=1):
    """Objects of these sides at the corner of each image."""
    boxes = np.array([[0, 0, side, side] for side in sides], float)
    return MeasuredObjects([boxes] * images, [size] * images)


def preset(weights="none", objects=None, images=15, validation=3, base=(), pixels=None, **given):
    """The values that are chosen, and the choices by name."""
    choices = choose_preset(weights, Facts(images, validation, objects or squares(100), pixels), dict(base), given)
    return chosen_values(choices), {choice.what: choice for choice in choices}


@pytest.mark.parametrize("objects, expected", [
    # a side of an eighth of the image is 32 pixels at 256
    (squares(100), 256),
    # the median is 200 of 800, 32 pixels at 128; the 5 % quantile, a tenth of the way from 20 to 200, is 12 pixels at 253
    (squares(20, 200, 200), 256),
    # 800 / 20 * 32 = 1280, above the limit
    (squares(20), 384),
    # half of the image needs 64, below the limit
    (squares(400), 128),
    # 800 / 90 * 32 = 284 is rounded up
    (squares(90), 320),
    # images are not enlarged beyond the step above their size: 150 pixels are 192 at most
    (squares(4, size=(100, 150)), 192),
])  # fmt: skip
def test_the_image_size_follows_the_objects(objects, expected):
    assert image_size(objects) == expected


def test_random_weights_get_a_small_network_and_a_run_for_15_images():
    values, choices = preset()
    assert (values["BACKBONE"], values["TRAIN_BN"], values["GT_BOXES_AS_ROIS"]) == ("compact", None, True)
    assert values["IMAGE_MIN_DIM"] == values["IMAGE_MAX_DIM"] == 256 and len(values["RPN_ANCHOR_SCALES"]) == 5
    assert (values["OPTIMIZER"], values["LEARNING_RATE"], values["LEARNING_RATE_SCHEDULE"]) == ("adam", 0.002, "cosine")
    assert (values["TRAIN_AUGMENT"], values["TRAIN_LAYERS"]) == ("rotate", "all")
    # 15 images in batches of 4 are 4 steps a pass; 10 passes are the 40 steps of an epoch, 20 of which are 800
    assert (values["IMAGES_PER_GPU"], values["PASSES_PER_EPOCH"], values["TRAIN_EPOCHS"]) == (4, 10, 20)
    assert (values["VALIDATION_AP_EVERY"], values["VALIDATION_AP_PATIENCE"], values["KEEP_BEST"]) == (1, 10, True)
    assert values["CHECKPOINTS_KEPT"] == 3 and values["VALIDATION_AP_IMAGES"] is None
    assert choices["Images"].text == "resized to 256 x 256 pixels" and "at least 32 pixels" in choices["Images"].reason


@pytest.mark.parametrize("weights", ["none", "coco", "imagenet", "file"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_choice_is_valid_and_has_a_reason(format, weights):
    base = FORMAT_SETTINGS.get(format, {})
    values, choices = preset(weights, base=base)
    Config.from_dict({"NAME": format, "NUM_CLASSES": 4, **base, **values}).validate()
    assert all(choice.text and choice.reason and "{" not in choice.text for choice in choices.values())
    assert not set(base) & set(values), "the format's own settings stay"


def test_loaded_weights_keep_their_network_and_train_the_heads_of_few_images():
    values, choices = preset("coco", images=100)
    assert not {"BACKBONE", "IMAGE_MAX_DIM", "RPN_ANCHOR_SCALES", "TRAIN_BN"} & set(values)
    assert (values["OPTIMIZER"], values["LEARNING_RATE"], values["TRAIN_AUGMENT"]) == ("sgd", 0.001, "flip")
    assert values["TRAIN_LAYERS"] == "heads" and preset("coco", images=500)[0]["TRAIN_LAYERS"] == "3+"
    # 50 steps a pass, one pass an epoch, and 12 passes are 600 steps
    assert (values["IMAGES_PER_GPU"], values["PASSES_PER_EPOCH"], values["TRAIN_EPOCHS"]) == (2, 1, 12)


def test_why_a_network_is_that_of_loaded_weights():
    reasons = [preset(weights, **given)[1]["Network"].reason for weights, given in (
        ("coco", {}), ("file", {"base": {"BACKBONE": "resnet50"}}), ("file", {}), ("file", {"BACKBONE": "resnet50"}),
        ("imagenet", {}))]  # fmt: skip
    trained = "what the weights were trained with"
    assert reasons == [trained, trained, "the classic ones, as the file does not say what its network is", "as given",
                       "the backbone of the weights"]


def test_weights_of_another_run_keep_its_network_and_optimizer():
    base = {**Config().to_dict(), "OPTIMIZER": "adam", "LEARNING_RATE": 0.002, "TRAIN_EPOCHS": 3, "IMAGES_PER_GPU": 4}
    values, _ = preset("run", base=base)
    assert not {"OPTIMIZER", "LEARNING_RATE", "IMAGES_PER_GPU", "TRAIN_AUGMENT"} & set(values)
    assert (values["TRAIN_LAYERS"], values["TRAIN_EPOCHS"]) == ("heads", 15)  # 600 steps of 15 epochs of 40


def test_what_the_user_gives_stays_and_the_rest_fits_it():
    values, choices = preset(OPTIMIZER="sgd", IMAGES_PER_GPU=1, IMAGE_MIN_DIM=512, IMAGE_MAX_DIM=512)
    assert not {"OPTIMIZER", "IMAGES_PER_GPU", "IMAGE_MIN_DIM", "IMAGE_MAX_DIM"} & set(values)
    assert values["LEARNING_RATE"] == 0.001 and "sgd, rate 0.001" in choices["Optimizer"].text
    # 100 of 800 pixels are 64 at 512: one of the anchors is near; 15 steps a pass, three passes are 45, 18 epochs 810
    assert min(abs(np.array(values["RPN_ANCHOR_SCALES"]) - 64)) <= 12 and choices["Images"].reason == "as given"
    assert (values["PASSES_PER_EPOCH"], values["TRAIN_EPOCHS"]) == (3, 18)


@pytest.mark.parametrize("given, sides", [
    ({"IMAGE_MAX_DIM": 512}, (512, 512)), ({"IMAGE_MIN_DIM": 500}, (500, 512)), ({"IMAGE_MIN_DIM": 200}, (200, 256)),
    ({"IMAGE_MIN_DIM": None}, (None, 256)),
])  # fmt: skip
def test_the_other_side_follows_the_one_that_is_given(given, sides):
    values, choices = preset(**given)
    assert tuple({**values, **given}[name] for name in ("IMAGE_MIN_DIM", "IMAGE_MAX_DIM")) == sides
    assert choices["Images"].reason == "as given"


def test_without_evaluations_no_best_weights_are_chosen_by_them():
    values, choices = preset(VALIDATION_AP_EVERY=0)
    assert not {"KEEP_BEST", "VALIDATION_AP_PATIENCE", "CHECKPOINTS_KEPT"} & set(values)
    assert choices["Validation"].text == "loss alone, every checkpoint kept"


def test_without_objects_or_validation_the_rest_is_chosen():
    values, choices = preset(objects=MeasuredObjects([], []), validation=0)
    assert values["BACKBONE"] == "compact" and "IMAGE_MAX_DIM" not in values
    assert "VALIDATION_AP_EVERY" not in values and "KEEP_BEST" not in values and "Validation" not in choices


def test_room_for_many_objects():
    values, choices = preset(objects=squares(*[100] * 130))
    assert values["MAX_GT_INSTANCES"] == values["DETECTION_MAX_INSTANCES"] == 200
    assert "one image has 130" in choices["Objects"].reason


@pytest.mark.parametrize("images, batch, expected", [
    (1, 1, (40, 1000, 30)),
    # 125 steps a pass; 12 passes are more than 1200 steps
    (1000, 8, (1, 1000, 12)),
    # 59 144 steps a pass, in six epochs of 9858; 12 passes are 72 of them
    (118_287, 2, (1, 9858, 72)),
    # 2000 steps a pass, beyond the default of STEPS_PER_EPOCH
    (4000, 2, (1, 2000, 12)),
])  # fmt: skip
def test_the_run_length_follows_the_number_of_images(images, batch, expected):
    length = run_length(images, batch, 1200)
    assert tuple(length[name] for name in ("PASSES_PER_EPOCH", "STEPS_PER_EPOCH", "TRAIN_EPOCHS")) == expected


def test_given_lengths_of_an_epoch_change_their_number():
    assert run_length(15, 4, 1200, passes=1)["TRAIN_EPOCHS"] == 300
    assert run_length(15, 4, 1200, limit=10)["TRAIN_EPOCHS"] == 120


@pytest.mark.parametrize("given, text", [
    ({}, "20, each of 10 passes over the images"),
    ({"PASSES_PER_EPOCH": 1}, "200, each of one pass over the images"),
    ({"STEPS_PER_EPOCH": 8}, "100, each of 8 steps"),  # of 40 in 10 passes
    ({"STEPS_PER_EPOCH": 1, "TRAIN_EPOCHS": 3}, "3, each of one step"),
])  # fmt: skip
def test_the_length_of_an_epoch_in_words(given, text):
    assert preset(**given)[1]["Epochs"].text == text  # 15 images in batches of 4, for 800 steps


def test_imagenet_weights_set_the_normalisation_of_images_even_of_a_recipe():
    base = {"CHANNEL_ORDER": "bgr", "MEAN_PIXEL": np.array([1.0, 2.0, 3.0])}
    values, choices = preset("imagenet", base=base, BACKBONE="efficientnet_lite0")
    assert values["MEAN_PIXEL"].tolist() == [127] * 3 and values["STD_PIXEL"].tolist() == [128] * 3
    assert values["CHANNEL_ORDER"] == "rgb" and choices["Pixels"].text == "minus [127. 127. 127.], divided by [128. 128. 128.]"
    values, choices = preset("imagenet", BACKBONE="efficientnet_lite0", MEAN_PIXEL=100.0)
    assert "MEAN_PIXEL" not in values and choices["Pixels"].reason == "as given"
    assert "Pixels" not in preset("imagenet", BACKBONE="compact")[1] and "Pixels" not in preset("coco")[1]


# Two channels with a mean of 100 and 7, and a deviation of 57.630 and 1.
MOMENTS = PixelMoments(12, np.array([100.0, 7.0]), np.array([57.63, 1.0]))


def test_images_that_are_not_rgb_are_normalised_by_their_own_pixels():
    values, choices = preset("none", pixels=MOMENTS, IMAGE_CHANNEL_COUNT=2)
    assert values["MEAN_PIXEL"].tolist() == [100, 7] and values["STD_PIXEL"].tolist() == [57.63, 1]
    assert choices["Pixels"].text == "minus [100.   7.], divided by [57.63  1.  ]"
    assert choices["Pixels"].reason == "measured on 12 images"
    # a recipe's values are those of red, green and blue
    base = {"BACKBONE": "resnet50", "MEAN_PIXEL": np.array([1.0, 2.0, 3.0]), "STD_PIXEL": 1.0}
    assert preset("none", pixels=MOMENTS, base=base, IMAGE_CHANNEL_COUNT=2)[0]["STD_PIXEL"].tolist() == [57.63, 1]
    one = PixelMoments(1, np.array([12.345678]), np.array([0.0012345678]))
    values, choices = preset("none", pixels=one, IMAGE_CHANNEL_COUNT=1)
    assert (*values["MEAN_PIXEL"], *values["STD_PIXEL"]) == (12.35, 0.001235), "four digits"
    assert choices["Pixels"].reason == "measured on one image"


@pytest.mark.parametrize("weights, given, expected", [
    # photographs have a deviation of 255 * (0.229 + 0.224 + 0.225) / 3 = 57.63; divided by 128, 0.4502 is left
    (SMALL_BACKBONE, {}, [128, 2.221]),
    ("imagenet", {"BACKBONE": "efficientnet_lite0"}, [128, 2.221]),
    # divided by 1 they keep it, and those of torchvision's normalisation have 1
    ("imagenet", {"BACKBONE": "resnet50"}, [1, 0.01735]),
    ("imagenet", {"BACKBONE": "resnet18"}, [57.63, 1]),
    ("coco", {}, [1, 0.01735]),
])  # fmt: skip
def test_other_channels_vary_as_much_as_the_photographs_of_loaded_weights(weights, given, expected):
    values, choices = preset(weights, pixels=MOMENTS, IMAGE_CHANNEL_COUNT=2, **given)
    assert values["MEAN_PIXEL"].tolist() == [100, 7]
    np.testing.assert_allclose(values["STD_PIXEL"], expected, rtol=1e-3)
    assert choices["Pixels"].reason == "measured on 12 images"
