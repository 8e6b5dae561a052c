"""Ctrl-C and SIGTERM end training cleanly, and the saved checkpoint is reported."""
import signal
import subprocess
import sys
import threading

import pytest

from mrcnn.training.stopping import stop_reported

WAIT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background of a shell inherit that it is ignored
from mrcnn.base.atomic_write import atomic_open
from mrcnn.training.stopping import stop_reported
with stop_reported(lambda: "The checkpoint of epoch 7 is intact: a.h5."), atomic_open(sys.argv[1]) as file:
    print("waiting", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number, code", [
    (signal.SIGTERM, 143), pytest.param(signal.SIGINT, -signal.SIGINT, marks=pytest.mark.tensorflow_only)])
def test_signal_ends_training_cleanly_and_reports_the_saved_checkpoint(tmp_path, number, code):
    process = subprocess.Popen([sys.executable, "-c", WAIT, str(tmp_path / "a")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n" and len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert out == "\nTraining was stopped. The checkpoint of epoch 7 is intact: a.h5.\n"
    assert process.returncode == code and list(tmp_path.iterdir()) == []


def test_signal_handler_of_the_user_is_kept():
    received = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with stop_reported(lambda: ""):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert received == [signal.SIGTERM]


def test_no_handler_is_installed_in_a_thread():
    done = []

    def train():
        with stop_reported(lambda: ""):
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [signal.SIG_DFL] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_error_is_not_reported_as_stopped(capsys):
    with pytest.raises(ValueError), stop_reported(lambda: "Saved."):
        raise ValueError
    assert capsys.readouterr().out == "" and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
