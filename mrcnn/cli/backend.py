"""Load the Keras backend for a command, with a clear error if it is missing, and without its notices."""

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from mrcnn.base.progress import Stages, progress_bar, working

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.training.mask_rcnn import MaskRCNN

BACKENDS = ("tensorflow", "jax", "torch")
# Notices about the hardware that TensorFlow writes regardless of TF_CPP_MIN_LOG_LEVEL, and that users cannot act on.
NOTICES = re.compile(rb"absl::InitializeLog|oneDNN custom operations|cudart_stub|failed call to cuInit|cpu_feature_guard|"
                     rb"To enable the following instructions|computation placer already registered|"
                     rb"Attempting to register factory for plugin")


def load_backend() -> None:
    """Import Keras with its backend. On a CPU, TensorFlow then keeps freed memory; see `keep_freed_memory`.

    Raises:
        ImportError: KERAS_BACKEND is unknown, or the backend is not installed; the message says what to do.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise ImportError(f"KERAS_BACKEND is {name!r}: choose {', '.join(BACKENDS)}.")
    if importlib.util.find_spec(name) is None:
        extra = "" if name == "tensorflow" else f"[{name}]"
        raise ImportError(f"the Keras backend {name} is not installed: run pip install '.{extra}', or choose another one with "
                          "KERAS_BACKEND.")
    with _without_notices() as terminal, working(f"loading {name}", terminal):
        import keras

        if keras.backend.backend() == "tensorflow":
            keep_memory_on_cpu()


def keep_memory_on_cpu() -> None:
    """Call `keep_freed_memory` if TensorFlow finds no GPU. TensorFlow must not have run an operation yet."""
    import tensorflow as tf

    from mrcnn.base.memory import keep_freed_memory

    if not tf.config.list_physical_devices("GPU"):  # this call also writes the notices about missing GPUs
        keep_freed_memory()


def build_model(mode: str, config: "Config", model_dir: str) -> "MaskRCNN":
    """Load the backend and build the network, showing the elapsed time; arguments as for `MaskRCNN`."""
    load_backend()
    from mrcnn.training.mask_rcnn import MaskRCNN

    with working("building the network"):
        return MaskRCNN(mode=mode, config=config, model_dir=model_dir)


def load_model(config: "Config", model_dir: str, weights: str) -> "MaskRCNN":
    """Build the network for inference and load its weights: a path, or the name of published ones."""
    model = build_model("inference", config, model_dir)
    from mrcnn.training.run_start import load_trained_weights

    load_trained_weights(model, weights)
    return model


def compiling_first() -> Stages:
    """Return a `progress_bar` whose first stage says that it begins by compiling the network. Loads Keras."""
    from mrcnn.training.progress import first_step

    firsts = iter([first_step()])
    return lambda what: progress_bar(what, next(firsts, None))


@contextlib.contextmanager
def _without_notices() -> Iterator[TextIO]:
    """Capture standard error, including that of compiled code, and write it at the end without the notices.

    Yields:
        The original standard error.
    """
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with open(stderr, "w", closefd=False) as terminal:
                yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not NOTICES.search(line):
                    os.write(2, line)
