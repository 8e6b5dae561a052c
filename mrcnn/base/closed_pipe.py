"""Work that continues after the reader of its output has ended, as in `mrcnn train ... | head`."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import Any


class _Output:
    """A text stream whose output is discarded, from the first write on that fails because its pipe is closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, and return its length."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        """Redirect the descriptor to the null device, which also receives what is still buffered when the stream is flushed."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def closed_pipe_ignored() -> Iterator[None]:
    """Discard standard output and standard error if they are pipes whose reader has ended, instead of raising an error.

    For work of hours, whose results are files. Use it as the outermost block, or as a decorator.
    """
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Output(stream) if _is_pipe(stream) else stream for stream in kept)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, _Output):
                stream.flush()
        sys.stdout, sys.stderr = kept


def _is_pipe(stream: Any) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # there is no stream, as under pythonw; or it has no descriptor
        return False
