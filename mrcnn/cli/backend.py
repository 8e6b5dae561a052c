"""Loading the Keras backend for a command: a clear word where it is missing, and none of its notices."""

import contextlib
import importlib.util
import os
import re
import sys
import tempfile

from mrcnn.cli.progress import working

BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
# Notices about the machine that TensorFlow writes whatever TF_CPP_MIN_LOG_LEVEL says, and that nobody can act on.
NOTICES = re.compile(rb"absl::InitializeLog|oneDNN custom operations|cudart_stub|failed call to cuInit|cpu_feature_guard|"
                     rb"To enable the following instructions|computation placer already registered|"
                     rb"Attempting to register factory for plugin")


def load_backend():
    """Import Keras with its backend.

    Raises:
        ImportError: KERAS_BACKEND names no backend, or one that is not installed; with what to do.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise ImportError(f"KERAS_BACKEND is {name!r}: choose {', '.join(BACKENDS)}.")
    if importlib.util.find_spec(BACKENDS[name]) is None:
        extra = "" if name == "tensorflow" else f"[{name}]"
        raise ImportError(f"the Keras backend {name} is not installed: pip install '.{extra}', or choose another one by "
                          "KERAS_BACKEND.")
    with _without_notices() as terminal, working(f"loading {name}", terminal):
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")  # looks for cards, and tells when there is none


@contextlib.contextmanager
def _without_notices():
    """Hold back what is written to standard error, from compiled code too; then write it without the notices.

    Yields:
        text file: what standard error was.
    """
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        own = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with open(own, "w", closefd=False) as terminal:
                yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            held.seek(0)
            for line in held:
                if not NOTICES.search(line):
                    os.write(2, line)
