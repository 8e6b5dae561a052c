"""Downloaded weights of whole networks."""
import hashlib
import io
import sys

import pytest

from mrcnn.io.download import DownloadError
from mrcnn.weights import catalogue


def test_downloads_are_verified_and_announced(tmp_path, monkeypatch, capsys):
    content = b"weights" * 1000
    (tmp_path / "source").write_bytes(content)
    url, path = (tmp_path / "source").as_uri(), tmp_path / "cache" / "w.h5"
    monkeypatch.setattr(catalogue, "COCO_MODEL_URL", url)
    with pytest.raises(DownloadError, match="the content has the md5"):
        catalogue.coco_weights(path, verbose=0)
    assert capsys.readouterr().out == "" and not path.exists()
    monkeypatch.setattr(catalogue, "COCO_MODEL_MD5", hashlib.md5(content).hexdigest())
    assert catalogue.coco_weights(str(path)) == path and path.read_bytes() == content
    assert f"Downloading {url} to {path}" in capsys.readouterr().out
    assert catalogue.coco_weights(path) == path
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verbose", [0, 1])
def test_terminal_shows_a_bar_only_if_verbose(tmp_path, monkeypatch, capsys, verbose):
    (tmp_path / "source").write_bytes(b"weights" * 1000)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(catalogue, "COCO_MODEL_URL", (tmp_path / "source").as_uri())
    monkeypatch.setattr(catalogue, "COCO_MODEL_MD5", hashlib.md5(b"weights" * 1000).hexdigest())
    catalogue.coco_weights(tmp_path / "w.h5", verbose=verbose)
    assert bool(capsys.readouterr().out) == ("downloading source" in terminal.getvalue()) == bool(verbose)
    assert verbose or terminal.getvalue() == ""


def test_error_without_a_network_says_where_to_put_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "COCO_MODEL_URL", "http://127.0.0.1:9/mask_rcnn_coco.h5")
    with pytest.raises(DownloadError) as caught:
        catalogue.coco_weights(tmp_path / "mask_rcnn_coco.h5", verbose=0)
    assert f"put it at {tmp_path / 'mask_rcnn_coco.h5'}" in str(caught.value)


def test_cache_folder_is_set_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("MRCNN_CACHE", raising=False)
    assert catalogue.cache_dir() == tmp_path / "xdg" / "mrcnn"
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "mine"))
    assert catalogue.cache_dir() == tmp_path / "mine" and (tmp_path / "mine").is_dir()
