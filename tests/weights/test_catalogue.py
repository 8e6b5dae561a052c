"""The catalogue of published weights: its entries, and their download from a server."""
import dataclasses
import functools
import hashlib
import http.server
import re
import threading

import pytest

from mrcnn.cli.main import main
from mrcnn.io.download import DownloadError
from mrcnn.weights.catalogue import CATALOGUE, PublishedWeights, find

CONTENT = b"weights" * 1000


@pytest.fixture()
def server(tmp_path, monkeypatch):
    """Serve files of a folder on this machine; yield (the folder, its address, the paths that were requested)."""
    folder, requested = tmp_path / "served", []
    folder.mkdir()
    monkeypatch.setenv("MRCNN_CACHE", str(tmp_path / "cache"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requested.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{serving.server_port}", requested
        serving.shutdown()
        thread.join()


def _entry(url, digest):
    return PublishedWeights("mine", "classic", "resnet50", url, digest)


def test_entries_are_complete_and_consistent():
    assert list(CATALOGUE) == [entry.name for entry in CATALOGUE.values()]
    assert len({entry.url.rpartition("/")[2] for entry in CATALOGUE.values()}) == len(CATALOGUE)  # one file each in the cache
    for entry in CATALOGUE.values():
        algorithm, _, digits = entry.digest.partition(":")
        assert entry.url.startswith("https://") and algorithm in ("md5", "sha256") and re.fullmatch("[0-9a-f]{6,64}", digits)
        # the names of these publishers' files carry the first digits
        if "coco" != entry.name:
            assert re.search(r"[-_]([0-9a-f]{6,8})\.(pth|pkl)$", entry.url)[1] in digits[:8]
        assert entry.backbone == ("resnet101" if "101" in entry.name or entry.name == "coco" else "resnet50")


def test_figures_of_the_publishers():
    """torchvision's meta "box_map" and "mask_map"; detectron2's MODEL_ZOO.md."""
    assert (find("torchvision").box_ap, find("torchvision").mask_ap) == (37.9, 34.6)
    assert (find("torchvision_v2").box_ap, find("torchvision_v2").mask_ap) == (47.4, 41.8)
    assert (find("detectron2_r50_3x").box_ap, find("detectron2_r50_3x").mask_ap) == (41.0, 37.2)
    assert find("detectron2_lsj_r50_400").mask_ap == 42.5
    assert find("detectron2_r101_3x").url == ("https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation/"
                                              "mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl")  # fmt: skip
    assert find("detectron2_lsj_r50_400").url == (
        "https://dl.fbaipublicfiles.com/detectron2/new_baselines/mask_rcnn_R_50_FPN_400ep_LSJ/42019571/model_final_14d201.pkl")
    assert find("torchvision").overrides == {"NORM_EPSILON": 0.0} and not find("torchvision_v2").overrides


@pytest.mark.parametrize("digits", [64, 8])
def test_a_file_is_downloaded_once_and_verified(server, digits, capsys):
    folder, address, requested = server
    (folder / "w.pth").write_bytes(CONTENT)
    entry = _entry(f"{address}/w.pth", f"sha256:{hashlib.sha256(CONTENT).hexdigest()[:digits]}")
    path = entry.fetch()
    assert path == entry.path and path.read_bytes() == CONTENT and path.name == "w.pth"
    assert f"Downloading {address}/w.pth to {path}" in capsys.readouterr().out
    assert entry.fetch() == path and requested == ["/w.pth"] and capsys.readouterr().out == ""


def test_other_content_is_not_kept(server):
    folder, address, _ = server
    (folder / "w.pth").write_bytes(b"other")
    entry = _entry(f"{address}/w.pth", f"sha256:{hashlib.sha256(CONTENT).hexdigest()[:8]}")
    with pytest.raises(DownloadError, match="the content has the sha256 "):
        entry.fetch(verbose=0)
    assert not entry.path.exists()


def test_without_a_connection_the_message_says_where_to_put_the_file(server, capsys):
    _, address, _ = server
    entry = dataclasses.replace(find("torchvision_v2"), url=f"{address}/missing.pth")
    with pytest.raises(DownloadError) as caught:
        entry.fetch()
    assert str(caught.value) == (f"{address}/missing.pth cannot be downloaded: File not found. Without a connection, download "
                                 f"it elsewhere and put it at {entry.path}")  # fmt: skip
    capsys.readouterr()
    entry.path.write_bytes(b"put there")
    assert entry.fetch() == entry.path and capsys.readouterr().out == ""


def test_command_lists_the_weights(capsys):
    assert main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["torchvision_v2"] == ["torchvision_v2", "torchvision_v2", "resnet50", "47.4", "41.8", "186", "-"]
    assert rows["detectron2_r50_1x"][3:] == ["38.6", "35.2", "-", "CC", "BY-SA", "3.0"]
    assert set(CATALOGUE) <= set(rows)


def test_command_shows_an_entry(capsys, server):
    assert main(["weights", "torchvision"]) == 0
    output = capsys.readouterr().out
    for text in (find("torchvision").url, "sha256:bf2d0c1e", "NORM_EPSILON=0.0", "licence:  not stated",
                 str(find("torchvision").path), "without a connection, put it there"):  # fmt: skip
        assert text in output
    assert main(["weights", "torchvison"]) == 2
    assert "no published weights 'torchvison': did you mean torchvision?" in capsys.readouterr().err
