"""Loader processes return the batches of the loader, and leave nothing behind, regardless of how they end."""
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

import mrcnn.datasets
from mrcnn.datasets.splits import subset_of
from mrcnn.loading.augment import RandomFlip
from mrcnn.loading.loader_pool import AHEAD, ProcessDied, WarningMessage, WorkerProcesses, _BatchWriter
from tests.datasets.formats.test_mask_folder import A, write_nested
from tests.loading.scenes import scenes
from tests.loading.test_loader import SAMPLE, TARGET, loader_of, same
from tests.loading.worker_scenes import (
    RECTANGLES,
    CannotUnpickle,
    Failing,
    FailingMerge,
    KillingItsProcess,
    ReaderWarning,
    Slow,
    WarningAndLogging,
    Wrong,
    troubled_loader,
)
from tests.shared_data import REPOSITORY

SHARED = Path("/dev/shm")


@pytest.fixture(autouse=True)
def nothing_left():
    """Check that no test leaves a process or shared memory behind."""
    before = set(os.listdir(SHARED)) if SHARED.is_dir() else set()
    yield
    assert not multiprocessing.active_children()
    if SHARED.is_dir():
        assert {name for name in set(os.listdir(SHARED)) - before if name.startswith("psm_")} == set()


@pytest.mark.parametrize(("workers", "augmentation"), [(1, RandomFlip(0.5, 0.5)), (3, None)])
def test_batches_equal_those_of_the_loader_in_any_order(workers, augmentation, caplog):
    settings = dict(augmentation=augmentation)
    plain, loader = troubled_loader(**settings), troubled_loader(**settings)
    expected = [plain[step] for step in range(9)]
    processes = WorkerProcesses(loader, loader.__getitem__, workers)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for step in (5, 6, 7, 8, 0, 1, 2, 3, 4):  # a resumed run, then one from the start
            assert same(processes(step), expected[step])
    processes.close()
    # every process encountered the broken image, but it is reported once
    assert [record.message.count("the disc is gone") for record in caplog.records] == [1]
    assert list(loader.broken) == list(plain.broken) == [2]
    assert loader.empty == plain.empty == (set() if augmentation else {4})


def test_step_0_is_expected_after_num_steps():
    loader = loader_of(scenes(*RECTANGLES), batch_size=2)
    processes = WorkerProcesses(loader, loader.__getitem__, 2, num_steps=3)
    for step in (0, 1, 2, 0, 1, 2, 0):
        assert same(processes(step), loader[step])
        expected = [waiting for waiting, *_ in processes._expected]
        assert expected == [(step + 1 + i) % 3 for i in range(4)]  # no batch made in advance is lost
    processes.close()


@pytest.mark.parametrize(("error", "raised", "text"), [
    (KeyError, KeyError, "step 3 is at fault"), (Wrong, RuntimeError, "Wrong: step is wrong here")])  # fmt: skip
def test_error_in_a_step_is_raised_and_other_steps_still_work(error, raised, text):
    make = Failing(error)
    processes = WorkerProcesses(make, make, 2)
    for step in (0, 1, 2):
        assert same(processes(step), make(step))
    with pytest.raises(raised, match=text) as caught:
        processes(3)
    assert "worker_scenes.py" in "".join(caught.value.__notes__)
    for step in (4, 5, 2):
        assert same(processes(step), make(step))
    processes.close()
    with pytest.raises(RuntimeError, match="closed"):
        processes(6)


def test_error_while_merging_an_answer_loses_no_slot():
    make = FailingMerge()
    processes = WorkerProcesses(make, make, 2)
    with pytest.raises(OSError, match="skipped annotations"):
        processes(0)
    assert not multiprocessing.active_children()
    for step in (0, 1, 2):
        assert same(processes(step), make(step))
        assert len(processes._expected) == 2 * AHEAD, "every slot of every worker is in use"
    processes.close()


def test_a_repeated_error_has_one_traceback():
    processes = WorkerProcesses(CannotUnpickle(), Failing(), 1)
    notes = []
    for step in (0, 1, 2):
        with pytest.raises(ValueError, match="nothing to open") as caught:
            processes(step)
        notes.append(caught.value.__notes__)
    processes.close()
    assert len(notes[0]) == 1 and notes == [notes[0]] * 3


def test_warnings_and_log_records_are_repeated_once_in_the_parent(caplog):
    loader = loader_of(scenes(*RECTANGLES, cls=WarningAndLogging), batch_size=1)
    processes = WorkerProcesses(loader, loader.__getitem__, 2)
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        for step in range(28):  # four passes, in which each process loads most of the images
            processes(step)
    processes.close()
    repeated = sorted((str(warning.message), warning.category) for warning in caught)
    images = [image_id for image_id in range(7) if image_id != 3]
    assert repeated == [*((f"image {image_id} is odd", ReaderWarning) for image_id in images),
                        ("what a script defines", RuntimeWarning)]  # fmt: skip
    assert {Path(warning.filename).name for warning in caught} == {"worker_scenes.py"}
    records = sorted(record.getMessage() for record in caplog.records if record.name == "reader")
    assert records == ["a note before the failure", *(f"image {image_id} has a note" for image_id in images)]
    assert {record.levelname for record in caplog.records} == {"WARNING", "ERROR"}


def test_number_of_remembered_messages_is_bounded(monkeypatch):
    """Warnings that always differ, such as those that contain the time, do not fill the memory."""
    monkeypatch.setattr("mrcnn.loading.loader_pool.MAX_REMEMBERED", 3)
    processes = WorkerProcesses(Failing(), Failing(), 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in (0, 1, 2, 2, 0, 3, 4, 5, 5, 0):
            processes._messages.append(WarningMessage(ReaderWarning, "reader.py", 1, str(number)))
            processes._repeat_messages()
            assert len(processes._repeated) <= 3
        repeated = [str(warning.message) for warning in caught]
    assert repeated == ["0", "1", "2", "3", "4", "5", "0"]


def test_warning_filters_of_the_parent_apply():
    loader = loader_of(scenes(*RECTANGLES, cls=WarningAndLogging), batch_size=1, shuffle=False)
    processes = WorkerProcesses(loader, loader.__getitem__, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processes(0)
        warnings.simplefilter("error")
        with pytest.raises(ReaderWarning, match="image 1 is odd"):
            processes(1)
        warnings.simplefilter("ignore")
        assert same(processes(2), loader[2])
    processes.close()


@pytest.mark.parametrize("view", [lambda dataset: dataset, lambda dataset: subset_of(dataset, [1, 0])])
def test_annotations_skipped_while_loading_are_listed_in_the_parent(tmp_path, view):
    write_nested(tmp_path, "a", {"0": A, "empty": A & False})
    write_nested(tmp_path, "b", {"0": A})
    write_nested(tmp_path, "c", None)  # reported when the data set is opened
    dataset = view(mrcnn.datasets.open(tmp_path))
    before = list(dataset.skipped)
    loader = loader_of(dataset, batch_size=1)
    processes = WorkerProcesses(loader, loader.__getitem__, 2)
    for step in range(8):
        processes(step)
    processes.close()
    path = str(tmp_path / "a" / "masks" / "empty.png")
    assert len(before) == 1 and dataset.skipped == [*before, (path, "the mask is empty")]


def test_segment_that_cannot_be_closed_loses_no_batch():
    writer = _BatchWriter(Failing(), Failing())
    first = writer.write(0, 0).segment
    writer.mark_sent(0)
    before = writer.slots[0].segment
    before.unlink()
    held = before.buf[:1]  # so it cannot be closed
    second = writer.write(1, 0).segment
    assert second == writer.slots[0].segment.name != first
    writer.unlink_unsent()
    writer.slots.clear()
    held.release()
    before.close()


def test_unsent_segment_is_sent_with_the_next_answer_of_its_slot(monkeypatch):
    writer = _BatchWriter(Failing(), Failing())
    with monkeypatch.context() as patch:
        patch.setattr("mrcnn.loading.loader_pool._Slot.put", lambda self, array: 1 / 0)
        for step, slot in ((2, 0), (2, 1), (4, 1)):  # the last one needs a larger segment
            with pytest.raises(ZeroDivisionError):
                writer.write(step, slot)
    segments = {slot: state.segment for slot, state in writer.slots.items()}
    for slot in (1, 0):
        assert writer.write(1, slot).segment == segments[slot].name
        assert writer.write(1, slot).segment == segments[slot].name  # that answer was not sent
        writer.mark_sent(slot)
        assert writer.write(1, slot).segment is None
        segments[slot].unlink()
    writer.write(9, 0)
    writer.unlink_unsent()  # no file is left of it
    writer.slots.clear()


def test_interrupt_in_the_middle_of_a_message_stops_the_processes(monkeypatch):
    """The processes exit, and a later call starts new ones."""
    loader = loader_of(scenes(*RECTANGLES), batch_size=2)
    processes = WorkerProcesses(loader, loader.__getitem__, 2)
    for step in range(16):  # until no message names a new segment
        processes(step)

    def interrupt():
        os.read(processes._workers[0].connection.fileno(), 6)
        raise KeyboardInterrupt

    monkeypatch.setattr(processes._workers[0].connection, "recv", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        processes(16)
    assert not multiprocessing.active_children()
    for step in (16, 17):
        assert same(processes(step), loader[step])
    processes.close()


def test_killed_process_is_an_immediate_error():
    loader = loader_of(scenes(*RECTANGLES, cls=KillingItsProcess), batch_size=1, shuffle=False)
    processes = WorkerProcesses(loader, loader.__getitem__, 2)
    with pytest.raises(ProcessDied, match="mrcnn-loader-1 died with exit code -9: it was killed"):
        for step in range(8):
            processes(step)
    assert not multiprocessing.active_children()


def test_unpicklable_loader_is_an_error_before_any_process_starts():
    loader = loader_of(scenes(*RECTANGLES))
    loader.dataset.lock = threading.Lock()
    with pytest.raises(ValueError, match="cannot be sent to loader processes .*lock.*set LOADER_PROCESSES=False"):
        WorkerProcesses(loader, loader.__getitem__, 2)(0)
    with pytest.raises(ValueError, match="workers must be at least 1, but is 0"):
        WorkerProcesses(loader, loader.__getitem__, 0)


def test_too_little_shared_memory_is_an_error(monkeypatch):
    monkeypatch.setattr("mrcnn.loading.loader_pool.shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**20}))
    monkeypatch.setattr("mrcnn.loading.loader_pool._SHARED_FOLDER", str(REPOSITORY))
    writer = _BatchWriter(Failing(), lambda step: (np.zeros(3 * 2**20, np.uint8),))
    with pytest.raises(MemoryError, match="needs 3 MiB of shared memory, but .* has 1 MiB free"):
        writer.write(0, 0)


@pytest.mark.parametrize("count", [4, 5])
def test_batches_are_written_directly_to_shared_memory(count):
    """This applies to all but the first batch; the padded last batch of a pass is copied there."""
    target = replace(TARGET, image_size=(64, 64))
    loader, plain = (loader_of(scenes(*RECTANGLES[:count]), target=target, sample=SAMPLE) for _ in range(2))
    writer = _BatchWriter(loader, loader.__getitem__)
    names = []
    for step in range(8):
        name, slot, layout = writer.write(step, 0)
        segment = writer.slots[0].segment
        names.append(name)
        content = np.frombuffer(segment.buf, np.uint8).copy()
        assert same([np.ndarray(shape, dtype, content, offset) for shape, dtype, offset in layout], plain[step])
        writer.mark_sent(0)
        if name:
            SharedMemory(name).unlink()
        assert layout[0][2] == 0 or count == 5
    assert [name for name in names[3:] if name] == []  # no new segment once the current one is large enough
    writer.slots.clear()


def test_closing_does_not_wait_for_a_slow_image(tmp_path):
    (tmp_path / "wait").touch()
    dataset = scenes(*RECTANGLES, cls=Slow)
    dataset.folder = str(tmp_path)
    loader = loader_of(dataset, batch_size=1, shuffle=False)
    processes = WorkerProcesses(loader, loader.__getitem__, 2)
    processes(0)
    start = time.monotonic()
    processes.close()
    assert time.monotonic() - start < 20


SCRIPT = """
import logging, sys, time
sys.path.insert(0, {repository!r})
import numpy as np
from mrcnn.loading.loader_pool import WorkerProcesses
from tests.loading.scenes import Scenes, scenes
from tests.loading.test_loader import SAMPLE, TARGET, loader_of, same

SHIFT = 7
print("started")

def shifted(image):
    return image + np.uint8(SHIFT)

class Own(Scenes):
    def load_image(self, image_id):
        return shifted(super().load_image(image_id))

loader = loader_of(scenes(*[[(1, 5, i, 25, i + 20)] for i in range(5)], cls=Own))
processes = WorkerProcesses(loader, loader.__getitem__, 2)
print(all(same(processes(step), loader[step]) for step in range(6)))
{end}
"""


@pytest.mark.parametrize("end", ["processes.close()", "raise SystemExit(0)"])
def test_script_with_its_own_classes_and_without_a_main_guard_runs_once(tmp_path, end):
    """It leaves nothing behind and prints no errors, even if it never closes the processes."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(repository=str(REPOSITORY), end=end))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.stdout.split(), done.returncode, done.stderr) == (["started", "True"], 0, "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_when_the_parent_is_killed(tmp_path):
    end = ("print(*(worker.process.pid for worker in processes._workers), "
           "sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)), flush=True); time.sleep(60)")  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(repository=str(REPOSITORY), end=end))
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    lines = [parent.stdout.readline() for _ in range(3)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    *pids, loaded = lines[2].split()
    assert loaded == "[]" and len(pids) == 2
    until = time.monotonic() + 30
    while any(Path("/proc", pid, "stat").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_loader_processes_import_no_framework():
    names = "{'keras', 'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules)"
    modules = "sys, mrcnn.loading.loader_pool, mrcnn.loading.loader, mrcnn.datasets.formats.coco"
    code = f"import {modules}; print({names} or 'none')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert done.stdout.strip() == "none", done.stderr
