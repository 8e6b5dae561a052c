"""Completion in real shells."""
import shutil
import subprocess

import pytest

from mrcnn.cli.completion import SHELLS
from mrcnn.cli.main import COMMANDS, main

# prints what bash would suggest when TAB is pressed after the words
COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
_shtab_mrcnn
echo "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """{shell: path of its script}."""
    folder, found = tmp_path_factory.mktemp("scripts"), {}
    for shell in SHELLS:
        found[shell] = folder / shell
        with pytest.MonkeyPatch.context() as patch, open(found[shell], "w") as file:
            patch.setattr("sys.stdout", file)
            assert main(["completion", shell]) == 0
    return found


@pytest.mark.parametrize("words, expected", [
    (["tr"], {"train"}),
    ([""], set(COMMANDS)),
    (["train", "la"], {"labelme"}),
    (["train", "coco", "--learn"], {"--learning-rate"}),
    (["convert", "labelme", "x", "--to", ""], {"coco", "yolo", "labelme"}),
    (["completion", ""], set(SHELLS)),
    (["train", "coco", "--dataset", "mine"], {"mine", "mine.json"}),
    (["view", "--output", "mi"], {"mine", "mine.json"}),
    (["train", "coco", "--model-dir", "mi"], {"mine"}),
])  # fmt: skip
def test_bash_completes_commands_options_formats_and_files(scripts, tmp_path, words, expected):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.json").touch()
    done = subprocess.run(["bash", "-c", COMPLETE, "complete", str(scripts["bash"]), "mrcnn", *words], cwd=tmp_path,
                          capture_output=True, text=True, timeout=30)  # fmt: skip
    assert done.stderr == "" and set(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_valid_in_its_shell(scripts, shell):
    assert "mrcnn" in scripts[shell].read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(scripts[shell])], check=True, timeout=30)
