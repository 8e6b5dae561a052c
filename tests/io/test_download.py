"""Downloads are complete or absent, from a folder and from a server that drops the connection."""
import contextlib
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile

import pytest

from mrcnn.base.errors import DataError
from mrcnn.datasets.formats import coco
from mrcnn.io.download import DownloadError, download, download_coco, download_zip
from mrcnn.io.paths import OutsideError


def zipped(path, **files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path.as_uri()


def serve(root):
    """Write a folder with the layout of cocodataset.org."""
    content = json.dumps({"images": [], "annotations": [], "categories": []})
    zipped(root / "zips" / "val2017.zip", **{"val2017__1.jpg": "x"})
    zipped(root / "annotations" / "annotations_trainval2017.zip", **{"annotations__instances_val2017.json": content})
    return root.as_uri()


def test_downloaded_files_are_put_in_place(tmp_path):
    download_coco(tmp_path / "coco", "val", "2017", serve(tmp_path / "server"))
    files = sorted(str(p.relative_to(tmp_path / "coco")) for p in (tmp_path / "coco").rglob("*") if p.is_file())
    assert files == ["annotations/instances_val2017.json", "val2017/1.jpg"]


def test_existing_files_are_not_downloaded_again(tmp_path):
    download_coco(tmp_path / "coco", "val", "2017", serve(tmp_path / "server"))
    image = tmp_path / "coco" / "val2017" / "1.jpg"
    image.write_bytes(b"mine")
    download_coco(tmp_path / "coco", "val", "2017", "file:///nowhere")
    assert image.read_bytes() == b"mine"


DIE = """
import os, signal, sys
from mrcnn.io.download import download, download_zip
os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
(download_zip if sys.argv[1].endswith(".zip") else download)(sys.argv[1], sys.argv[2])
"""


def test_what_a_killed_download_left_is_removed_by_the_next_one(tmp_path):
    archive, weights = zipped(tmp_path / "server" / "a.zip", a__1="x"), zipped(tmp_path / "server" / "w.h5", b="y")
    folder = tmp_path / "folder"
    for url, target in ((archive, folder), (weights, folder / "w.h5")):
        assert subprocess.run([sys.executable, "-c", DIE, url, str(target)]).returncode == -signal.SIGKILL
        (left,) = folder.iterdir()
        assert left.suffix == ".part"
        (download_zip if target == folder else download)(url, target)
        assert not left.exists()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("moves", range(4))
def test_an_interrupt_leaves_no_partial_folder(tmp_path, monkeypatch, moves):
    zipped(tmp_path / "server" / "zips" / "val2017.zip", **{f"val2017__{i}.jpg": "x" for i in range(5)})
    url, root, left = (tmp_path / "server").as_uri(), tmp_path / "coco", [moves]

    def replace(source, target, move=os.replace):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("mrcnn.io.download.os.replace", replace)
        with contextlib.suppress(KeyboardInterrupt):
            download_zip(f"{url}/zips/val2017.zip", root)
    assert [path.name for path in root.iterdir()] == (["val2017"] if moves else [])
    serve(tmp_path / "annotated")
    zipped(tmp_path / "annotated" / "zips" / "val2017.zip", **{f"val2017__{i}.jpg": "x" for i in range(5)})
    download_coco(root, "val", "2017", (tmp_path / "annotated").as_uri())
    assert names(root / "val2017") == [f"{i}.jpg" for i in range(5)]


def test_archive_is_merged_into_existing_folders(tmp_path):
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    for name in ("mine.json", "a.json"):
        (tmp_path / "coco" / "annotations" / name).write_text("old")
    download_zip(zipped(tmp_path / "a.zip", annotations__a="new", **{"annotations__a.json": "new"}), tmp_path / "coco")
    files = {path.name: path.read_text() for path in (tmp_path / "coco" / "annotations").iterdir()}
    assert files == {"mine.json": "old", "a.json": "new", "a": "new"}


def test_an_empty_archive_adds_nothing(tmp_path):
    download_zip(zipped(tmp_path / "a.zip"), tmp_path / "coco")
    assert names(tmp_path / "coco") == []


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_checked_and_put_in_place(tmp_path):
    content = b"weights" * 1000
    (tmp_path / "source").write_bytes(content)
    url = (tmp_path / "source").as_uri()
    for algorithm in ("md5", "sha256"):
        path = tmp_path / algorithm / "w.h5"
        assert download(url, path, f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}") == path
        assert path.read_bytes() == content and names(path.parent) == ["w.h5"]


def test_an_existing_file_is_not_downloaded_again(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"mine")
    assert download("http://127.0.0.1:9/w.h5", tmp_path / "w.h5", "md5:" + "0" * 32).read_bytes() == b"mine"


def test_file_with_a_wrong_digest_is_not_kept(tmp_path):
    (tmp_path / "source").write_bytes(b"something else")
    digest, expected = hashlib.sha256(b"something else").hexdigest(), "0" * 64
    with pytest.raises(DownloadError, match=f"the content has the sha256 {digest}, expected {expected}. Nothing was kept"):
        download((tmp_path / "source").as_uri(), tmp_path / "cache" / "w.h5", f"sha256:{expected}")
    assert names(tmp_path / "cache") == []


def test_file_of_a_dropped_connection_is_not_kept(tmp_path):
    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 400)

        def log_message(self, *args):
            """Keep the test's output clean."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(DownloadError, match="400 of 1000 bytes|IncompleteRead"):
            download(f"http://127.0.0.1:{server.server_port}/w.h5", tmp_path / "cache" / "w.h5")
    finally:
        server.shutdown()
        server.server_close()
    assert names(tmp_path / "cache") == []


def test_error_without_a_connection_says_what_to_do(tmp_path):
    with pytest.raises(DownloadError) as caught:
        download("http://127.0.0.1:9/w.h5", tmp_path / "w.h5")
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:9/w.h5 cannot be downloaded: ") and "refused" in message
    assert message.endswith(f"download it elsewhere and put it at {tmp_path / 'w.h5'}")
    assert isinstance(caught.value, OSError) and names(tmp_path) == []
    with pytest.raises(DataError, match="cannot be downloaded: .* elsewhere and unpack it into .*coco$"):
        download_zip((tmp_path / "none.zip").as_uri(), tmp_path / "coco")
    assert names(tmp_path / "coco") == []


def test_content_that_is_not_a_zip_file_is_an_error(tmp_path):
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    with pytest.raises(DownloadError, match="page.zip cannot be unpacked: BadZipFile: File is not a zip file"):
        download_zip((tmp_path / "page.zip").as_uri(), tmp_path / "coco")
    assert names(tmp_path / "coco") == []


def damaged(content, position, value):
    """Replace a byte of an archive."""
    return content[:position] + bytes([value]) + content[position + 1 :]


@pytest.mark.parametrize("damage, reason", [
    # "PK\x01\x02" starts the entry in the directory; the flags follow after 8 bytes (bit 0: encrypted), the method after 10
    (lambda content: damaged(content, content.index(b"PK\x01\x02") + 8, 1), "RuntimeError: .*encrypted"),
    (lambda content: damaged(content, content.index(b"PK\x01\x02") + 10, 99), "NotImplementedError"),
    # the compressed content follows the header of 30 bytes and the name of 5; 0xff is not a kind of block
    (lambda content: damaged(content, 35, 0xFF), "error: Error -3"),
    (lambda content: content[:-30], "BadZipFile"),
], ids=["encrypted", "unknown method", "not deflate", "cut off"])  # fmt: skip
def test_damaged_or_encrypted_archive_is_an_error_and_keeps_nothing(tmp_path, damage, reason):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "x" * 1000)
    (tmp_path / "a.zip").write_bytes(damage((tmp_path / "a.zip").read_bytes()))
    with pytest.raises(DownloadError, match=f"a.zip cannot be unpacked: {reason}.*Nothing was kept"):
        download_zip((tmp_path / "a.zip").as_uri(), tmp_path / "coco")
    assert names(tmp_path / "coco") == []


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt"])
def test_archive_with_a_file_outside_the_folder_is_rejected_entirely(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.txt", "x")
        archive.writestr(name, "x")
    with pytest.raises(OutsideError, match="a.zip: a file is"):
        download_zip((tmp_path / "a.zip").as_uri(), tmp_path / "set" / "coco")
    assert names(tmp_path / "set" / "coco") == [] and names(tmp_path) == ["a.zip", "set"]


def test_progress_is_reported_in_mebibytes(tmp_path):
    (tmp_path / "source").write_bytes(bytes(2**21 + 5))
    stages = []

    @contextlib.contextmanager
    def progress(what):
        stages.append((what, []))
        yield lambda done, total: stages[-1][1].append((done, total))

    download((tmp_path / "source").as_uri(), tmp_path / "w.h5", progress=progress)
    assert stages == [("downloading source, MiB", [(1, 3), (2, 3), (3, 3)])]


def test_loading_downloads_only_with_auto_download(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(coco.dataset, "download_coco", lambda *arguments, **options: calls.append(arguments))
    for auto_download in (False, True):
        with pytest.raises(DataError, match="does not exist"):
            coco.CocoDataset().load_coco(tmp_path, "val", 2017, auto_download=auto_download)
    assert calls == [(tmp_path, "val", "2017")]


@pytest.mark.parametrize("terminal", [True, False])
def test_terminal_shows_a_bar_and_a_file_does_not(tmp_path, monkeypatch, terminal):
    shown = io.StringIO()
    shown.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    source = zipped(tmp_path / "set.zip", **{"a.txt": "x" * 3000})
    download(source, tmp_path / "copy.zip")
    assert (tmp_path / "copy.zip").read_bytes() == (tmp_path / "set.zip").read_bytes()
    if terminal:
        assert "downloading set.zip, MiB" in shown.getvalue() and "1/1" in shown.getvalue()
    else:
        assert shown.getvalue() == ""
