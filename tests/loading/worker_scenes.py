"""Data sets for tests of loader processes: images that are broken or empty, raise, or kill the process."""
import logging
import os
import time
import warnings
from pathlib import Path

import numpy as np

from mrcnn.loading.loader import Findings
from tests.loading.scenes import Scenes, scenes
from tests.loading.test_loader import loader_of

RECTANGLES = [[(1 + i % 3, 5, i, 25, i + 20)] for i in range(7)]


class WithBrokenImages(Scenes):
    """Image 2 cannot be read."""

    def load_image(self, image_id):
        if image_id == 2:
            raise OSError("the disc is gone")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return (masks[:, :, :0], class_ids[:0]) if image_id == 4 else (masks, class_ids)


class KillingItsProcess(Scenes):
    """Kills its process at image 3, as the system does when memory runs out."""

    def load_image(self, image_id):
        if image_id == 3:
            os.kill(os.getpid(), 9)
        return super().load_image(image_id)


class ReaderWarning(UserWarning):
    """A warning category that the parent can import."""


class WarningAndLogging(Scenes):
    """Warns and logs while loading masks: one message per image, and one that is always the same."""

    def load_mask(self, image_id):
        warnings.warn(f"image {image_id} is odd", ReaderWarning, stacklevel=1)
        warnings.warn("what a script defines", type("InScript", (RuntimeWarning,), {}), stacklevel=1)
        logging.getLogger("reader").warning("image %d has a note", image_id)
        logging.getLogger("reader").info("not of interest")
        return super().load_mask(image_id)

    def load_image(self, image_id):
        if image_id == 3:
            logging.getLogger("reader").error("a note before the failure")
            raise KeyError("image 3")
        return super().load_image(image_id)


class Slow(Scenes):
    """Creates a file for each process, and takes long to load image 1."""

    folder = None

    def load_image(self, image_id):
        Path(self.folder, str(os.getpid())).touch()
        time.sleep(60 if image_id == 1 and Path(self.folder, "wait").exists() else 0)
        return super().load_image(image_id)


class Wrong(ValueError):
    """An exception that cannot be unpickled without its arguments."""

    def __init__(self, what, where):
        super().__init__(f"{what} is wrong {where}")


class Failing:
    """A loader that fails at step 3. The values of a batch are its step, and batches grow with each step."""

    take = np.empty

    def __init__(self, error=KeyError):
        self.error = error

    def __call__(self, step):
        if step == 3:
            raise self.error("step", "here") if self.error is Wrong else self.error("step 3 is at fault")
        return np.full((step + 1, 1000), step), np.zeros((0, 4), np.float32), np.full(3, step % 2 == 0)

    def findings(self):
        return Findings()

    def merge(self, findings):
        assert findings == Findings()


class FailingMerge(Failing):
    """A loader that cannot merge the first findings."""

    objects = True

    def merge(self, findings):
        if self.objects:
            self.objects = False
            raise OSError("the list of skipped annotations cannot be written")


class CannotUnpickle(Failing):
    """A loader that cannot be unpickled."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise ValueError("nothing to open")


def troubled_loader(**kwargs):
    """Return a loader with a broken image and an empty one."""
    return loader_of(scenes(*RECTANGLES, cls=WithBrokenImages), batch_size=2, seed=3, **kwargs)
