"""Backbones by name."""
import pytest

from mrcnn.config import BACKBONE_NAMES
from mrcnn.network.backbones import BACKBONES, get_backbone
from mrcnn.network.backbones.compact import compact_graph


def test_names_and_callables():
    assert get_backbone("compact") is compact_graph
    assert get_backbone("resnet101").keywords == {"architecture": "resnet101"}
    assert get_backbone(test_names_and_callables) is test_names_and_callables
    assert set(BACKBONES) == set(BACKBONE_NAMES), "Config.validate knows the names without loading Keras"


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="BACKBONE is 'vgg16': choose one of compact, resnet101, resnet50"):
        get_backbone("vgg16")
