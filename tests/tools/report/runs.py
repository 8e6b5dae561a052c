"""A run folder created without training, and a fake model that detects some of the objects."""
import types

from mrcnn.base.atomic_write import save_json
from mrcnn.config import Config
from mrcnn.datasets.catalog import open_dataset
from mrcnn.evaluation import coco
from mrcnn.geometry.rle import decode_rle, encode_mask
from mrcnn.training.runs import write_history

NAMES = ["BG", "square", "circle", "triangle"]
ENTRY = {"began": "2026-01-01T12:00:00+00:00", "first_epoch": 1, "last_epoch": 3, "layers": "heads", "learning_rate": "0.001",
         "images": 40, "validation_images": 4, "command": ["mrcnn", "train", "<shapes>"], "python": "3.11.9",
         "system": "Linux", "processor": "a processor", "cores": 2, "memory_mb": 4096, "backend": "jax",
         "devices": ["cpu"], "versions": {"keras": "3.12.0"}}  # fmt: skip


def epochs(count, **columns):
    """Return rows of a history with falling losses; `columns` are lists of values that replace or add a column."""
    rows = []
    for ix in range(count):
        row = {"epoch": ix + 1, "loss": 3.0 / (ix + 1), "val_loss": 4.0 - ix, "mrcnn_mask_loss": 0.5, "seconds": 10.0,
               "seconds_per_step": 0.5, "images_per_second": 4.0, "peak_memory_mb": 900.0}  # fmt: skip
        rows.append({**row, **{name: values[ix] for name, values in columns.items()}})
    return rows


def make_run(folder, history=None, **config):
    """Write a run folder, and return it."""
    run = folder / "shapes20260101T1200"
    run.mkdir(parents=True)
    Config.from_dict({"NAME": "shapes", "NUM_CLASSES": 4, "IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, **config}).save(
        run / "config.json")
    save_json(run / "classes.json", NAMES)
    write_history(run / "history.csv", epochs(3) if history is None else history)
    save_json(run / "environment.json", [ENTRY])
    for epoch in (1, 2, 3):
        (run / f"mask_rcnn_shapes_{epoch:04d}.h5").touch()
    return run


def shapes(count=4, size=64):
    """Return a prepared data set of shapes."""
    return open_dataset(format="shapes", subset="val", count=count, image_size=size)


def correct(dataset, image_id):
    """Return the detections of a perfect detector: a list of (class id, score, bool [H, W])."""
    return [(row["class_id"], 0.9, decode_rle(row["segmentation"])) for row in dataset.ground_truth(image_id)]


class FakeModel:
    """Replaces MaskRCNN; `answers` is a function like `correct`, called once per image."""

    def __init__(self, answers, dataset):
        self.config = types.SimpleNamespace(DETECTION_MIN_CONFIDENCE=0.0)
        self.answers, self.dataset, self.detected = answers, dataset, 0

    def detect(self, images):
        results = []
        for _ in images:
            rows = self.answers(self.dataset, self.detected)
            self.detected += 1
            masks = [mask for _, _, mask in rows]
            boxes = [_box(mask) for mask in masks]
            results.append({"rois": boxes, "class_ids": [c for c, _, _ in rows], "scores": [s for _, s, _ in rows],
                          "masks": [encode_mask(mask) for mask in masks]})  # fmt: skip
        return results

    def evaluate(self, dataset, image_ids=None, limit=None, progress=None, min_confidence=0.0):
        ids = list(dataset.image_ids)[:limit]
        return coco.evaluate(self.detect, dataset, ids, batch_size=2, progress=progress)


def _box(mask):
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if len(rows) else (0, 0, 0, 0)
