"""Paths in a data file must not leave its folder."""
import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.paths import OutsideError, inside, refuse_link


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "a/..", "..\\a.jpg", "C:\\a.jpg", "C:a.jpg",
                                  "\\\\host\\a.jpg"])
def test_paths_out_of_the_folder_are_rejected(tmp_path, name):
    with pytest.raises(OutsideError, match=r"images\[3\]: file_name"):
        inside(tmp_path, name, "images[3]: file_name")


@pytest.mark.parametrize("name", ["", "a\0b", ".", "a\ud800"])
def test_text_that_cannot_be_a_file_name_is_rejected(tmp_path, name):
    with pytest.raises(DataError, match=r"images\[3\]: file_name is .*expected the name of a file") as caught:
        inside(tmp_path, name, "images[3]: file_name")
    assert not isinstance(caught.value, OutsideError)


def test_paths_inside_the_folder_are_joined(tmp_path):
    assert inside(tmp_path, "a/b..c.jpg", "f") == tmp_path / "a" / "b..c.jpg"
    assert inside(tmp_path, "a\\b.jpg", "f") == tmp_path / "a" / "b.jpg"


def test_paths_outside_can_be_allowed(tmp_path):
    assert str(inside(tmp_path, "/etc/hosts", "f", allow_outside=True)) == "/etc/hosts"
    assert inside(tmp_path, "../b.jpg", "f", allow_outside=True) == tmp_path / ".." / "b.jpg"


def test_links_inside_the_folder_are_allowed_and_links_out_of_it_rejected(tmp_path):
    root, other = tmp_path / "root", tmp_path / "rooted"
    root.mkdir()
    other.mkdir()
    for folder in (root, other):
        (folder / "a.jpg").write_bytes(b"")
    (root / "in.jpg").symlink_to(root / "a.jpg")
    (root / "out.jpg").symlink_to(other / "a.jpg")
    (root / "folder").symlink_to(other)
    (tmp_path / "link").symlink_to(root)
    refuse_link(root / "in.jpg", root, "image 1")
    refuse_link(tmp_path / "link" / "a.jpg", tmp_path / "link", "image 1")  # the folder itself may be a link
    for name in ("out.jpg", "folder/a.jpg"):
        with pytest.raises(OutsideError, match="image 1: .* is a link to .*rooted/a.jpg, outside"):
            refuse_link(root / name, root, "image 1")
