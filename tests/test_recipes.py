"""Recipes by name, what they set, and that each one builds on the classic configuration."""
import math
import re

import numpy as np
import pytest

from mrcnn import recipes
from mrcnn.cli.main import main
from mrcnn.config import Config, ConfigError


def test_every_recipe_is_a_valid_configuration():
    assert recipes.names()[:5] == ["classic", "torchvision", "torchvision_v2", "detectron2", "detectron2_lsj"]
    for name in recipes.names():
        config = type("Toys", (recipes.get(name),), {"NAME": "toys", "NUM_CLASSES": 4})()
        config.validate()
        assert isinstance(config, Config)


def test_classic_sets_nothing():
    assert recipes.values("classic") == {}


def test_values_are_those_of_the_recipe_and_of_what_it_builds_on():
    values = recipes.values("torchvision_v2")
    assert values["BOX_HEAD_CONVOLUTIONS"] == 4 and values["HEAD_NORM"] == "batch"
    assert values["RPN_ANCHOR_ROUNDED"] is True, "of torchvision"
    assert values["BBOX_MAX_LOG_SCALE"] == math.log(62.5), "of both frameworks"
    np.testing.assert_allclose(values["MEAN_PIXEL"], [123.675, 116.28, 103.53])
    assert recipes.values("torchvision")["HEAD_NORM"] is None


@pytest.mark.parametrize("name", [name for name in recipes.names() if name != "classic"])
def test_docstring_lists_every_value_and_the_command(name):
    recipe, texts = recipes.get(name), []
    for cls in recipe.__mro__:
        if cls is not Config and issubclass(cls, Config):
            texts.append(cls.__doc__)
    for attribute in recipes.values(name):
        if attribute != "BACKBONE":
            assert any(attribute in text for text in texts), attribute
    assert re.search(rf"mrcnn train (coco|labelme) --dataset DIR --recipe {name}\n", recipe.__doc__)


def test_unknown_recipe_is_refused_with_the_names():
    with pytest.raises(ConfigError, match="there is no recipe 'yolo': choose one of classic, torchvision"):
        recipes.get("yolo")


def test_command_lists_recipes_and_values(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert "torchvision_v2: torchvision's maskrcnn_resnet50_fpn_v2" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["recipes", "detectron2"]) == 0
    assert "CHANNEL_ORDER = 'bgr'" in capsys.readouterr().out
    assert main(["recipes", "nothing"]) == 2
