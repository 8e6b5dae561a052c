import io
import json
import sys
import urllib.request
import zipfile

import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats import coco
from mrcnn.io.download import download_coco, fetch_zip, shown_reading


def zipped(path, **files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path.as_uri()


def serve(root):
    """A folder that looks like cocodataset.org."""
    content = json.dumps({"images": [], "annotations": [], "categories": []})
    zipped(root / "zips" / "val2017.zip", **{"val2017__1.jpg": "x"})
    zipped(root / "annotations" / "annotations_trainval2017.zip", **{"annotations__instances_val2017.json": content})
    return root.as_uri()


def test_files_go_where_they_belong(tmp_path):
    download_coco(tmp_path / "coco", "val", "2017", serve(tmp_path / "server"))
    found = sorted(str(p.relative_to(tmp_path / "coco")) for p in (tmp_path / "coco").rglob("*") if p.is_file())
    assert found == ["annotations/instances_val2017.json", "val2017/1.jpg"]


def test_what_is_there_is_not_fetched_again(tmp_path):
    download_coco(tmp_path / "coco", "val", "2017", serve(tmp_path / "server"))
    image = tmp_path / "coco" / "val2017" / "1.jpg"
    image.write_bytes(b"mine")
    download_coco(tmp_path / "coco", "val", "2017", "file:///nowhere")
    assert image.read_bytes() == b"mine"


def test_without_a_network_nothing_is_left_behind(tmp_path):
    with pytest.raises(DataError, match="cannot be downloaded: .* Without a network, put the files into"):
        fetch_zip((tmp_path / "none.zip").as_uri(), tmp_path / "coco")
    assert list((tmp_path / "coco").iterdir()) == []


def test_what_is_no_zip_file_is_an_error(tmp_path):
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="page.zip cannot be downloaded: File is not a zip file"):
        fetch_zip((tmp_path / "page.zip").as_uri(), tmp_path / "coco")


def test_loading_downloads_only_when_asked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(coco, "download_coco", lambda *arguments: asked.append(arguments))
    for auto_download in (False, True):
        with pytest.raises(DataError, match="does not exist"):
            coco.CocoDataset().load_coco(tmp_path, "val", 2017, auto_download=auto_download)
    assert asked == [(tmp_path, "val", "2017")]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_how_much_has_come_and_a_file_does_not(tmp_path, monkeypatch, terminal):
    shown = io.StringIO()
    shown.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    source = zipped(tmp_path / "set.zip", **{"a.txt": "x" * 3000})
    with urllib.request.urlopen(source) as answer, shown_reading(answer, "set.zip") as reader:
        content = reader.read()
    assert content == (tmp_path / "set.zip").read_bytes()
    assert ("set.zip" in shown.getvalue() and "kB" in shown.getvalue()) if terminal else shown.getvalue() == ""
