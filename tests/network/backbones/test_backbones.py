"""Backbones by name."""
import pytest

from mrcnn.config import BACKBONE_NAMES
from mrcnn.network.backbones import BACKBONES, get_backbone
from mrcnn.network.backbones.compact import compact_graph


def test_backbone_by_name_or_callable():
    assert get_backbone("compact") is compact_graph
    assert get_backbone("resnet101").keywords == {"architecture": "resnet101"}
    assert get_backbone(test_backbone_by_name_or_callable) is test_backbone_by_name_or_callable
    assert set(BACKBONES) == set(BACKBONE_NAMES), "Config.validate must know all names without loading Keras"


def test_error_about_an_unknown_name_lists_the_known_names():
    with pytest.raises(ValueError, match="BACKBONE is 'vgg16': choose one of compact, resnet101, resnet50"):
        get_backbone("vgg16")
