"""The samples report errors in one line."""
import os
import subprocess
import sys

import pytest

from mrcnn.cli.main import run_script
from tests.shared_data import REPOSITORY

SAMPLES = sorted(path for path in (REPOSITORY / "samples").glob("*/*.py") if "__main__" in path.read_text(encoding="utf-8"))


def _fails(argv):
    raise ValueError(f"two things:\n- {argv[0]}\n- {argv[1]}")


def test_error_prints_one_line_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/somewhere/toys.py", "a", "b"])
    assert run_script(_fails) == 2
    assert capsys.readouterr().err == "toys.py: error: two things: a; b\n"


def test_debug_shows_the_traceback_and_is_not_passed_to_the_sample():
    with pytest.raises(ValueError, match="a\n- b"):
        run_script(_fails, ["a", "--debug", "b"])


def test_success_exits_with_0_and_keyboard_interrupt_with_130(capsys):
    calls = []
    assert run_script(calls.append, ["a"]) == 0 and calls == [["a"]]

    def stop(argv):
        raise KeyboardInterrupt

    assert run_script(stop, []) == 130 and "Traceback" not in capsys.readouterr().err


def test_every_sample_uses_run_script():
    assert len(SAMPLES) >= 9
    for path in SAMPLES:
        assert path.read_text(encoding="utf-8").endswith("sys.exit(run_script(main))\n"), path


def test_sample_reports_a_missing_file_in_one_line(tmp_path):
    done = subprocess.run([sys.executable, REPOSITORY / "samples" / "shapes" / "shapes.py", "evaluate", "--model=gone.h5"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})  # fmt: skip
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("shapes.py: error: gone.h5: no such weight file")
    assert "Traceback" not in done.stderr
