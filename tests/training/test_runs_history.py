"""Writing and reading of history.csv."""
import math

import pytest

from mrcnn.training.runs import read_history, write_history


def test_written_history_is_read_back(tmp_path):
    path = tmp_path / "history.csv"
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": float("nan"), "val_loss": 1.25}]
    write_history(path, rows)
    assert path.read_text() == "epoch,loss,val_loss\n1,2.5,\n2,nan,1.25\n"
    first, second = read_history(path)
    assert first == {"epoch": 1, "loss": 2.5}
    assert math.isnan(second["loss"]) and second["val_loss"] == 1.25
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


def test_last_row_of_an_epoch_is_used(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\r\n1,3\r\n2,2\r\n3,9\r\n2,1.5,7,8\r\nnan,1\r\ninf,1\r\n,\r\n5e15,1\r\n0,1\r\n-1,1\r\n2.5,1\r\n")
    assert read_history(path) == [{"epoch": 1, "loss": 3}, {"epoch": 2, "loss": 1.5}, {"epoch": 3, "loss": 9}]


@pytest.mark.parametrize("content", [b"loss,val_loss\n1,2\n", b"\xff\xfe\x00", b'epoch,loss\n1,"' + b"x" * 200_000])
def test_file_that_is_not_a_history_is_reported_by_name(tmp_path, content):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="history.csv: not the history of a run"):
        read_history(path)


def test_history_without_epochs_has_no_rows(tmp_path):
    for text in ("", "epoch,loss\n"):
        (tmp_path / "history.csv").write_text(text)
        assert read_history(tmp_path / "history.csv") == []
