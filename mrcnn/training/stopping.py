"""Training that is stopped from outside, by Ctrl-C or SIGTERM, says what is saved."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn


@contextlib.contextmanager
def stop_reported(saved: Callable[[], str]) -> Iterator[None]:
    """Print what is saved if the block is stopped by Ctrl-C or by SIGTERM, which schedulers send before they kill a process.

    SIGTERM then ends the process like an exit with code 143, so that files and loader processes are closed. A handler of the
    user's for SIGTERM stays, and so does the default in any thread but the main one, where Python allows no handler.

    Args:
        saved: returns a sentence about what is saved.
    """
    try:
        with _exit_on_sigterm():
            yield
    except (KeyboardInterrupt, SystemExit):
        print(f"\nTraining was stopped. {saved()}", flush=True)
        raise


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
