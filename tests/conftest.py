"""Settings of the whole suite, made before anything imports keras or matplotlib."""
import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["COLUMNS"] = "120"  # tables break their lines alike wherever the tests run

if os.environ.get("PYTEST_XDIST_WORKER"):
    # Workers already share the cores out between them; threads on top of that only fight.
    for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_name, "1")

# JAX compiles a program for each shape of each initialiser, and every test file builds the same few networks: keep what
# was compiled. That takes the start of a training run on a CPU from 80 s to 16 s.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

if os.environ["KERAS_BACKEND"] == "jax":
    # Compiling is most of what the tests do, and what is compiled runs once on a few numbers: a fifth less time in all.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same examples on every run, and no failure for a slow machine.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Begin every test, its fixtures included, with the same random numbers, so that layers start alike on every run."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


def pytest_collection_modifyitems(items):
    """Leave out, on the other backends, end-to-end tests not marked for them and tests marked `tensorflow_only`."""
    backend = os.environ["KERAS_BACKEND"]
    if backend == "tensorflow":
        return
    for item in items:
        if item.get_closest_marker("tensorflow_only"):
            item.add_marker(pytest.mark.skip(reason=f"runs on TensorFlow alone; this run is on {backend}"))
        elif "e2e" in item.path.parts and not item.get_closest_marker("all_backends"):
            item.add_marker(pytest.mark.skip(reason=f"runs once, on TensorFlow; this run is on {backend}"))
