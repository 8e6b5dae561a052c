"""Files are found by name, but only in the folder of the data set."""
import os
import unicodedata

import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.file_finder import FileFinder
from mrcnn.io.paths import OutsideError


@pytest.fixture
def folder(tmp_path):
    """The folder of a data set, next to a folder that does not belong to it."""
    for name in ("set/images/a.jpg", "set/images/my photo (1).jpg", "set/images/train/c.jpg", "set/images/val/c.jpg",
                 "set/images/val/d.jpg", "set/images/Upper.JPG", "set/.hidden/h.jpg", "set/__MACOSX/m.jpg", "set/b.jpg",
                 "set/twice/x/e.jpg", "set/twice/y/e.jpg", "outside/o.jpg", "set/images/50%25.jpg",
                 "set/images/" + unicodedata.normalize("NFD", "café.jpg")):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "set"


def find(folder, name, **options):
    found = FileFinder([folder], folder, **options).find(name)
    return os.path.relpath(found.path, folder), found.note


def test_file_at_its_path_is_used_without_a_note(folder):
    assert find(folder, "b.jpg") == ("b.jpg", None)
    assert find(folder, "images/a.jpg") == find(folder, "images\\a.jpg") == find(folder, "./images/a.jpg") == (
        "images/a.jpg", None)  # fmt: skip
    assert find(folder, "images/50%25.jpg") == ("images/50%25.jpg", None), "a file name with a percent sign"
    found = FileFinder([folder / "images", folder], folder).find("b.jpg")
    assert found == (folder / "b.jpg", folder, None), "in the second of the folders"


IN_IMAGES = "its file is not where its file_name says, but was found by its name in images/"
SPELLING = "the name of its file differs from its file_name (capital letters, Unicode form or percent-encoding)"


@pytest.mark.parametrize(("name", "path", "note"), [
    ("a.jpg", "images/a.jpg", IN_IMAGES),
    ("..\\..\\label-studio\\media\\upload\\4\\a.jpg", "images/a.jpg", IN_IMAGES),
    ("images\\1/a.jpg", "images/a.jpg", IN_IMAGES),
    ("/home/me/photographs/a.jpg", "images/a.jpg", IN_IMAGES),
    ("C:\\Users\\me\\a.jpg", "images/a.jpg", IN_IMAGES),
    ("file:///C:/Users/me/a.jpg", "images/a.jpg", IN_IMAGES),
    ("https://host.example/x/a.jpg?token=1/2", "images/a.jpg", IN_IMAGES),
    ("s3://bucket/key/a.jpg", "images/a.jpg", IN_IMAGES),
    ("http://localhost:8080/data/upload/1/my%20photo%20(1).jpg", "images/my photo (1).jpg", IN_IMAGES),
    ("/data/local-files/?d=images/my photo (1).jpg", "images/my photo (1).jpg", IN_IMAGES),
    ("/data/local-files/?d=images%5Cmy%20photo%20(1).jpg", "images/my photo (1).jpg", IN_IMAGES),
    ("images/my%20photo%20%281%29.jpg", "images/my photo (1).jpg", SPELLING),
    ("images/upper.jpg", "images/Upper.JPG", SPELLING),
    ("images/" + unicodedata.normalize("NFC", "café.jpg"), "images/" + unicodedata.normalize("NFD", "café.jpg"), SPELLING),
    ("/content/set/images/train/c.jpg", "images/train/c.jpg", IN_IMAGES.replace("images/", "images/train/")),
    ("elsewhere/b.jpg", "b.jpg", IN_IMAGES.replace("images/", "the folder")),
])  # fmt: skip
def test_file_in_another_folder_is_found_by_name(folder, name, path, note):
    assert find(folder, name) == (path, note)


def test_ambiguous_name_is_an_error(folder):
    with pytest.raises(DataError, match="several files in .*set have the name in its file_name: correct it"):
        find(folder, "e.jpg")
    assert find(folder, "from/y/e.jpg")[0] == "twice/y/e.jpg", "the end of the path decides"


def test_files_of_other_subsets_are_not_used(folder):
    assert find(folder, "c.jpg", elsewhere=["val"])[0] == "images/train/c.jpg"
    assert find(folder, "d.jpg", elsewhere=["val"]) == ("d.jpg", None), "which does not exist"
    (folder / "images" / "val").rename(folder / "images" / "Val2017")
    assert find(folder, "d.jpg", elsewhere=["val"]) == ("d.jpg", None)


def test_missing_file_is_reported_with_a_reason(folder):
    assert find(folder, "none/x.jpg") == ("none/x.jpg", None), "the path of the missing file"
    for name in ("h.jpg", "m.jpg"):
        assert find(folder, name) == (name, None), "hidden files are not found"
    with pytest.raises(DataError, match=r"its imagePath is a URL, and no file in .*set has its name: download") as url:
        FileFinder([folder], folder).find("https://host.example/x.jpg", field="imagePath")
    assert not isinstance(url.value, OutsideError)
    for name in ("https://[", "data:image/png;base64,AAAA", "://"):
        with pytest.raises(DataError, match="is a URL"):
            find(folder, name)
    for name in ("/x.jpg", "../x.jpg", "C:x.jpg", "\\\\host\\share\\x.jpg"):
        with pytest.raises(OutsideError, match="its file_name leads out of the data set's folder, and no file in .*: copy"):
            find(folder, name)
    for name in ("", ".", "a\0b", "\ud800.jpg"):
        with pytest.raises(DataError, match="expected the name of a file"):
            find(folder, name)


def test_name_outside_the_folder_is_rejected(folder):
    for name in ("../outside/o.jpg", str(folder.parent / "outside" / "o.jpg"), "images/../../outside/o.jpg"):
        with pytest.raises(OutsideError, match="allow_outside=True, --allow-outside"):
            find(folder, name)
        assert find(folder, name, allow_outside=True)[0] == "../outside/o.jpg"
    (folder / "link").symlink_to(folder.parent / "outside")
    assert find(folder, "o.jpg") == ("o.jpg", None), "links to folders are not followed in the search"


def test_folder_is_listed_once_and_searched_only_for_missing_files(folder, monkeypatch):
    listed = []
    monkeypatch.setattr(os, "listdir", lambda path, real=os.listdir: listed.append("list") or real(path))
    monkeypatch.setattr(os, "walk", lambda path, real=os.walk: listed.append("walk") or real(path))
    finder = FileFinder([folder / "images"], folder)
    for _ in range(3):
        finder.find("a.jpg"), finder.find("my photo (1).jpg")
    assert listed == ["list"]
    for _ in range(3):
        finder.find("b.jpg"), finder.find("x.jpg")
    assert listed == ["list", "walk"]
    monkeypatch.setattr("mrcnn.io.file_finder._MAX_FILES", 3)
    assert FileFinder([folder / "images"], folder).find("b.jpg").path == folder / "images" / "b.jpg", "too many to search"
