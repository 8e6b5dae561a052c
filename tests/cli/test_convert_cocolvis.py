"""`mrcnn convert coco+lvis`: its arguments, its output and its exit code."""
import pytest

import mrcnn.datasets
from mrcnn.cli import main as cli
from mrcnn.cli.options import fraction_above_0
from tests.datasets.cocolvis_pairs import TREE, write_pair
from tests.io.harmful_pickles import harmful


def arguments(pair, out, *more):
    names = ("--coco", "--lvis", "--images")
    return ["convert", "coco+lvis", *(str(v) for pair in zip(names, pair, strict=True) for v in pair), "--output", str(out),
            "--workers", "1", *more]  # fmt: skip


def test_converted_data_set_can_be_opened(tmp_path, capsys):
    pair = write_pair(tmp_path)
    assert cli.main(arguments(pair, tmp_path / "set" / "train")) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "images 2 objects 12 instances of LVIS 6" in text and f"Written: {tmp_path}/set/train" in text
    dataset = mrcnn.datasets.open(tmp_path / "set", "cocolvis", "train", levels="parts")
    assert dataset.image_info[0]["hierarchy"] == TREE and dataset.num_instances(0) == 2


def test_skipped_image_gives_exit_code_1(tmp_path, capsys):
    pair = write_pair(tmp_path, missing=[4])
    assert cli.main(arguments(pair, tmp_path / "train", "--part-share", "0.75", "--overlap", "0.95", "--link")) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "objects 7" in text and "objects that are part of another 4" in text
    assert "its file does not exist image 000000000004" in text


def test_error_is_one_line(tmp_path, capsys):
    pair = write_pair(tmp_path)
    (tmp_path / "train" / "masks").mkdir(parents=True)
    assert cli.main(arguments(pair, tmp_path / "train")) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"mrcnn convert: error: {tmp_path}/train contains masks, but no ") and message.count("\n") == 1


@pytest.mark.parametrize("option", ["--overlap", "--part-share"])
@pytest.mark.parametrize("value", ["0", "-0.5", "1.1", "nan", "half"])
def test_fractions_must_be_above_0_and_at_most_1(tmp_path, capsys, option, value):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments(["a", "b", "c"], tmp_path / "train", option, value))
    assert end.value.code == 2 and f"argument {option}: '{value}' is " in capsys.readouterr().err
    assert fraction_above_0("1") == 1 and fraction_above_0("0.01") == 0.01


@pytest.mark.parametrize("name", ["hannotation.pickle", "masks/000000000001.pickle"])
def test_harmful_pickle_is_not_executed_by_any_command(tmp_path, capsys, name):
    trap, out = tmp_path / "trap", tmp_path / "set" / "train"
    cli.main(arguments(write_pair(tmp_path), out))
    (out / name).write_bytes(harmful(trap)[0][0])
    capsys.readouterr()
    coco = ["convert", "cocolvis", str(out), "--output", str(tmp_path / "coco.json"), "--workers", "1"]
    codes = [cli.main(command) for command in (coco, ["check", str(out), "--workers", "1"])]
    output = " ".join("".join(capsys.readouterr()).split())
    # the whole data set, or one of its two images, cannot be read
    assert codes == ([2, 2] if name == "hannotation.pickle" else [1, 1]) and not trap.exists()
    assert output.count("posix.system") >= 2
    if name == "hannotation.pickle":
        assert cli.main(["train", "cocolvis", "--dataset", str(out)]) == 2
        assert "posix.system" in capsys.readouterr().err and not trap.exists()
