"""Results are written to files even if the terminal cannot show them or the pipe is closed; invalid outputs are rejected."""
import io
import json
import os
import subprocess
import sys

import pytest

from mrcnn.cli.main import main
from tests.cli import test_commands
from tests.cli.test_commands import fake_model  # noqa: F401
from tests.shared_data import REPOSITORY
from tests.tools.doctor.damaged import healthy

NAMES = ["葡萄", "अंगूर", "Žluť \ud800"]  # the last one has a lone surrogate, which JSON allows


@pytest.fixture
def folder(tmp_path):
    """A COCO folder with class names that no Western encoding has, and with a finding in each subset."""
    for part in healthy(tmp_path / "set", 3, 2):
        for category, name in zip(part.content["categories"], NAMES, strict=True):
            category["name"] = name
        part.images[0]["file_name"], old = "图.jpg", part.images[0]["file_name"]
        os.rename(part.folder / part.name / old, part.folder / part.name / "图.jpg")
        part.annotations[0]["area"] = 1
        part.save()
    return str(tmp_path / "set")


def _mrcnn(*arguments, stdout=subprocess.PIPE, **environment):
    return subprocess.run([sys.executable, "-m", "mrcnn", *arguments], stdout=stdout, stderr=subprocess.PIPE, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment})  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_check_with_characters_that_the_terminal_lacks(folder, tmp_path, encoding):
    done = _mrcnn("check", folder, "--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html"), "--fix",
                  str(tmp_path / "fixed"), PYTHONIOENCODING=encoding)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert {row["name"] for row in json.loads((tmp_path / "a.json").read_text())["statistics"]["classes"]} == {
        *NAMES[:2], "Žluť \\ud800"}  # fmt: skip
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert NAMES[0] in page and "图.jpg" in page
    assert (tmp_path / "fixed" / "changes.json").exists()
    text = done.stdout.decode(encoding)
    assert (NAMES[0] in text) == (encoding == "gbk") and "5 images" in text
    assert any(set(line.strip()) == {"-" if encoding == "ascii" else "─"} for line in text.splitlines())


def test_view_with_characters_that_the_terminal_lacks(folder, tmp_path):
    for output in (tmp_path / "out", tmp_path / "page.html"):
        done = _mrcnn("view", folder, "--output", str(output), PYTHONIOENCODING="cp1252")
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "train").iterdir())) == 6
    assert NAMES[1] in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"{NAMES[0]} instances" in (tmp_path / "page.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("unbuffered", ["", "1"])  # either the write fails, or the flush at the end
def test_files_are_written_although_the_pipe_is_closed(folder, tmp_path, unbuffered):
    read, write = os.pipe()
    os.close(read)
    checked = _mrcnn("check", folder, "--json", str(tmp_path / "a.json"), "--fix", str(tmp_path / "fixed"), stdout=write,
                     PYTHONUNBUFFERED=unbuffered)  # fmt: skip
    viewed = _mrcnn("view", folder, "--subset", "val", "--output", str(tmp_path / "out"), stdout=write,
                    PYTHONUNBUFFERED=unbuffered)  # fmt: skip
    os.close(write)
    assert checked.returncode == viewed.returncode == 141
    assert (tmp_path / "a.json").exists() and (tmp_path / "fixed" / "changes.json").exists()
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_evaluation_is_saved_before_it_is_printed(fake_model, monkeypatch):  # noqa: F811
    test_commands._run("shapes")
    with open("logs/shapes20260101T1200/classes.json", "w") as file:
        json.dump(["BG", "square", "circle", "triangle"], file)

    def table(self):
        assert os.path.exists("e.json"), "the file is written first"
        return "葡萄 0.5"

    monkeypatch.setattr(test_commands.FakeResult, "table", table)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    assert main(["evaluate", "shapes", "--weights", "last", "--limit", "2", "--output", "e.json"]) == 0
    assert b"?? 0.5" in written.getvalue()


@pytest.mark.parametrize("arguments", [
    ["predict", "a.png", "--weights", "last", "--output"], ["view", "shapes", "--output"],
    ["inspect", "weights", "--weights", "last", "--output"], ["convert", "coco+lvis", "--coco", "a", "--lvis", "b", "--images",
                                                              "c", "--output"],
])  # fmt: skip
@pytest.mark.parametrize("output, expected", [("file", "is a file: give the name of a folder"),
                                              ("file/in", "file is not a folder that can be written to")])  # fmt: skip
def test_invalid_output_folder_is_rejected_immediately(arguments, output, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        main([*arguments, output])
    assert end.value.code == 2 and expected in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_read_only_output_folder_is_rejected_immediately(tmp_path, capsys):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(SystemExit):
        main(["view", "shapes", "--output", str(tmp_path / "out")])
    assert "out is not a folder that can be written to" in capsys.readouterr().err
