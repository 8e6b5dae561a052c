"""Settings for the whole suite, made before anything imports keras or matplotlib."""
import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["COLUMNS"] = "120"  # tables wrap their lines the same way on every machine

if os.environ.get("PYTEST_XDIST_WORKER"):
    # The workers already use all cores; more threads would only compete.
    for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_name, "1")

# JAX compiles a program for each shape of each initialiser, and every test file builds the same few networks, so compiled
# programs are cached. This shortens the start of a training run on a CPU from 80 s to 16 s.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

if os.environ["KERAS_BACKEND"] == "jax":
    # Most of the time is spent compiling programs that run once on a few numbers. This saves a fifth of the total time.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same examples on every run, and no time limit that a slow machine would exceed.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=30)
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Seed every test and its fixtures in the same way, so that layers have the same initial weights on every run."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


def pytest_collection_modifyitems(items):
    """On other backends, skip end-to-end tests that are not marked for them, and tests marked `tensorflow_only`."""
    backend = os.environ["KERAS_BACKEND"]
    if backend == "tensorflow":
        return
    for item in items:
        if item.get_closest_marker("tensorflow_only"):
            item.add_marker(pytest.mark.skip(reason=f"runs on TensorFlow only; this run uses {backend}"))
        elif "e2e" in item.path.parts and not item.get_closest_marker("all_backends"):
            item.add_marker(pytest.mark.skip(reason=f"runs once, on TensorFlow; this run uses {backend}"))
