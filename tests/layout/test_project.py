"""Files around the package: dependencies are bounded, and CI cannot pass without running tests."""
import ast
import os
import re
import stat
import subprocess

import pytest

from tests.shared_data import REPOSITORY


def _requirements():
    """Return every requirement string of setup.py."""
    tree = ast.parse((REPOSITORY / "setup.py").read_text(encoding="utf-8"))
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    return [item.value for node in lists for item in node.elts if isinstance(item, ast.Constant)]


def test_every_dependency_has_a_lower_and_an_upper_bound():
    requirements = _requirements()
    assert {"tensorflow", "keras", "numpy", "jax", "torch", "pytest"} <= {re.split("[<>=]", r)[0] for r in requirements}
    loose = [r for r in requirements if not re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", r)]
    assert not loose


@pytest.mark.parametrize(
    "last_line, status, passes",
    [
        ("812 passed, 3 skipped in 300.00s (0:05:00)", 0, True),
        ("1 failed, 811 passed in 300.00s (0:05:00)", 2, False),
        ("no tests ran in 0.02s", 5, False),
        ("no tests ran in 0.02s", 0, False),
        ("40 skipped in 0.10s", 0, False),
        ("== Keras backend: tensorflow", 0, False),
    ],
)
def test_ci_passes_only_when_tests_ran_and_passed(tmp_path, last_line, status, passes):
    """`make` is replaced by a script whose `make test` prints a summary and exits with a status."""
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\n[ $1 = lint ] && exit 0\necho first\necho '{last_line}'\nexit {status}\n")
    make.chmod(make.stat().st_mode | stat.S_IXUSR)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([REPOSITORY / ".ci" / "run"], env=env, capture_output=True, text=True)
    assert (done.returncode == 0) == passes
    assert last_line in done.stdout


def test_ci_fails_when_a_linter_fails(tmp_path):
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\n[ $1 = lint ] && exit 2\necho '5 passed'\n")
    make.chmod(make.stat().st_mode | stat.S_IXUSR)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([REPOSITORY / ".ci" / "run"], env=env, capture_output=True, text=True)
    assert done.returncode != 0 and "5 passed" not in done.stdout


def test_make_test_runs_the_other_backends_first_and_the_whole_suite_last():
    done = subprocess.run(["make", "--dry-run", "--always-make", "test", "VENV=/nonexistent"], cwd=REPOSITORY,
                          capture_output=True, text=True, check=True)  # fmt: skip
    runs = re.findall(r"KERAS_BACKEND=(\w+) \S+ -m pytest (.*)", done.stdout)
    assert [backend for backend, _ in runs] == ["jax", "torch", "tensorflow"]
    assert runs[-1][1].endswith(" tests")
    folders = set(re.findall(r"tests/(\w+)", runs[0][1]))
    assert {"network", "weights", "training", "inference"} <= folders and not {"geometry", "datasets", "cli"} & folders
