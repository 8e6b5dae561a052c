"""What the benchmarks share: data, models, timing, and the rows of the table."""
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

    from mrcnn.config import Config
    from mrcnn.datasets.dataset import Dataset
    from mrcnn.loading.loader import Loader
    from mrcnn.training.mask_rcnn import MaskRCNN

# A call to time. If it returns a float, that is the time in seconds of the part that counts.
Work = Callable[[], Any]

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def photographs(images: int = 32, size: int = 640) -> "Dataset":
    """Return the small COCO set of photographs next to the repository if it exists, or synthetic shapes; prepared.

    Args:
        images: number of synthetic images.
        size: their side in pixels.
    """
    root = Path(os.environ.get("MRCNN_SHARED_DATA", REPOSITORY.parent / "shared")) / "data" / "tiny_coco"
    if root.is_dir():
        from mrcnn.datasets.formats.coco import CocoDataset

        photos = CocoDataset()
        photos.load_coco(str(root), "train", year="2017")
        photos.prepare()
        return photos
    from mrcnn.datasets.formats.shapes import ShapesDataset

    print(f"{root} does not exist: using synthetic images of {size} x {size} instead of photographs")
    shapes = ShapesDataset()
    shapes.load_shapes(images, size, size)
    shapes.prepare()
    return shapes


def config(**overrides: Any) -> "Config":
    """Return a Config with ResNet-50, 81 classes and one image per batch, updated with the given attributes."""
    from mrcnn.config import Config

    settings = {"NAME": "benchmark", "BACKBONE": "resnet50", "NUM_CLASSES": 81, "IMAGES_PER_GPU": 1, "GPU_COUNT": 1}
    return type("BenchmarkConfig", (Config,), {**settings, **overrides})()


def race(works: Mapping[str, Work | None], repeat: int = 5, warmup: int = 1) -> dict[str, Any]:
    """Time several functions in turns, so that other load on the machine affects all of them.

    Args:
        works: the functions by name; None for one that cannot run here.
        repeat: number of rounds that are timed.
        warmup: number of rounds before them, for compilation and caches.

    Returns:
        The median seconds by name; None for what cannot run here.
    """
    runnable = {name: work for name, work in works.items() if work is not None}
    times: dict[str, list[float]] = {name: [] for name in runnable}
    for turn in range(warmup + repeat):
        for name, work in runnable.items():
            start = time.perf_counter()
            result = work()
            if turn >= warmup:
                times[name].append(result if isinstance(result, float) else time.perf_counter() - start)
    return {name: statistics.median(times[name]) if name in times else None for name in works}


def seconds(work: Work, repeat: int = 5, warmup: int = 1) -> float:
    """Return the median time of `work()` in seconds, after `warmup` calls for compilation and caches."""
    return race({"": work}, repeat, warmup)[""]


def start_worker(*arguments: str) -> tuple[Work | None, Any]:
    """Start this script in a second process that runs one side of a race.

    Two frameworks in one process would compete for threads and memory.

    Args:
        *arguments: command-line arguments with which the script calls `serve`.

    Returns:
        (work, info): a function that makes the process run its work once, and what the process passed to `serve`;
        (None, None) if its work cannot run here.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read_answer() -> Any:
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(command)} exited with status {process.wait()}; see its output above")
        return json.loads(answer)

    def work() -> Any:
        print(file=process.stdin, flush=True)
        return read_answer()

    info = read_answer()
    return (None, None) if info is None else (work, info)


def serve(work: Work | None, info: Any) -> None:
    """Send `info` to the process that called `start_worker`, then run `work` each time it asks.

    Args:
        work: None if it cannot run here.
        info: a value that JSON can represent.
    """
    print(json.dumps(None if work is None else info), flush=True)
    if work is None:
        return
    for _ in sys.stdin:
        result = work()
        print(json.dumps(result if isinstance(result, float) else None), flush=True)


def torchvision_model(size: int, train: bool, device: str = "cpu") -> Any:
    """Return torchvision's maskrcnn_resnet50_fpn with 81 classes for square images, or None if it is not installed.

    With its random weights it detects 100 instances per image, as ours do here: see `one_class_bias`.
    """
    try:
        import torch
        from torchvision.models.detection import maskrcnn_resnet50_fpn
    except (ImportError, RuntimeError, OSError) as error:
        print(f"torchvision cannot be imported and is left out ({str(error).splitlines()[0]})", file=sys.stderr)
        return None
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81, min_size=size, max_size=size,
                                  box_detections_per_img=100)  # fmt: skip
    if not train:
        with torch.no_grad():
            model.roi_heads.box_predictor.cls_score.bias.copy_(torch.from_numpy(one_class_bias(81)))
    return model.train(train).to(device)


def one_class_bias(num_classes: int) -> "np.ndarray":
    """Return a bias of the class logits, float32 [num_classes], that classifies every region as class 1.

    A network with random weights is confident of nothing. Without a minimum score, each of torchvision's 1000 regions would
    be a candidate for each of 80 classes: far more work for NMS than a trained network gives it.
    """
    import numpy as np

    return np.where(np.arange(num_classes) == 1, 10.0, 0.0).astype(np.float32)


def torchvision_targets(size: int, instances: int = 8, device: str = "cpu") -> dict[str, Any]:
    """Return torchvision's targets for one image: boxes, labels and masks of rectangles."""
    import torch

    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(instances, 2, generator=generator) * size * 0.6
    sides = 16 + torch.rand(instances, 2, generator=generator) * size * 0.3
    boxes = torch.cat([corner, corner + sides], 1)
    masks = torch.zeros(instances, size, size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    labels = torch.arange(instances) % 80 + 1
    return {"boxes": boxes.to(device), "labels": labels.to(device), "masks": masks.to(device)}


def detector(size: int, batch_size: int = 1, num_classes: int = 81, instances: int = 100) -> "MaskRCNN":
    """Return a MaskRCNN for detection at `size` whose random weights detect `instances` objects in any image."""
    import tempfile

    from mrcnn.cli.backend import build_model

    # the same minimum score and NMS threshold as torchvision
    settings = config(IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, IMAGES_PER_GPU=batch_size, NUM_CLASSES=num_classes,
                      DETECTION_MIN_CONFIDENCE=0.05, DETECTION_NMS_THRESHOLD=0.5,
                      DETECTION_MAX_INSTANCES=instances)  # fmt: skip
    model = build_model("inference", settings, tempfile.gettempdir())  # sets up the memory allocator like the command line
    bias = model.keras_model.get_layer("mrcnn_class_logits").weights[1]
    bias.assign(one_class_bias(num_classes))
    return model


def training_model(**overrides: Any) -> "MaskRCNN":
    """Return a MaskRCNN that trains all layers of `config(**overrides)`, with ground-truth boxes as ROIs, like torchvision.

    Without them the number of positive ROIs, and with it the work of the mask head, would depend on the random weights.
    """
    import tempfile

    from mrcnn.cli.backend import build_model

    settings = config(**{"GT_BOXES_AS_ROIS": True, **overrides})
    model = build_model("training", settings, tempfile.gettempdir())  # sets up the memory allocator like the command line
    model.set_trainable(".*", verbose=0)
    model.compile(0.001, settings.LEARNING_MOMENTUM)
    return model


def fit_step(network: "keras.Model", *batch: Any, steps: int = 2) -> Callable[[], float]:
    """Return a function that trains with `fit`, as runs do, and returns the seconds of its last step.

    What `fit` does before its first step and after its last happens once per run: on TensorFlow, ending the iterator alone
    sleeps for up to a second.

    Args:
        network: compiled.
        *batch: what Keras takes: inputs, and targets if the model has any.
        steps: steps of each call.
    """
    import itertools

    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])  # waits until the step is done
            self.seconds = time.perf_counter() - self.start

    def step() -> float:
        clock = Clock()
        batches = (batch for _ in itertools.count())
        network.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
        return clock.seconds

    return step


def short_run(train_set: "Dataset", steps: int, start: str = "none", **settings: Any) -> tuple["MaskRCNN", dict[str, float]]:
    """Train a network in one epoch of some steps, with all layers, as `MaskRCNN.train` does.

    The rate rises over the first tenth of the steps and falls along a cosine, unless `settings` say otherwise.

    Args:
        train_set: prepared.
        start: the initial weights: "none", "imagenet", or a file.
        settings: attributes of the Config besides those of the run's length.

    Returns:
        The trained model, and "loss" (the mean of the run) and "images/s" of the second half of the run; or, if training
        diverged, a loss of NaN.
    """
    import tempfile

    from mrcnn.cli.backend import build_model
    from mrcnn.training.run_start import load_start_weights
    from mrcnn.training.stopping import TrainingDiverged

    length = {"STEPS_PER_EPOCH": steps, "PASSES_PER_EPOCH": -(-steps * settings["IMAGES_PER_GPU"] // train_set.num_images),
              "LEARNING_RATE_SCHEDULE": "cosine", "LEARNING_RATE_WARMUP": steps // 10, "CHECKPOINTS_KEPT": 1}
    with tempfile.TemporaryDirectory() as folder:
        chosen = config(**{"NAME": "short", "NUM_CLASSES": train_set.num_classes, **length, **settings})
        model = build_model("training", chosen, folder)
        load_start_weights(model, start)
        clock = _second_half_clock(steps)
        try:
            history = model.train(train_set, None, chosen.LEARNING_RATE, 1, "all", custom_callbacks=[clock])
        except TrainingDiverged as error:
            print(error)
            return model, {"loss": math.nan, "images/s": math.nan}
    return model, {"loss": history.history["loss"][-1], "images/s": chosen.BATCH_SIZE * clock.steps / clock.seconds}


def _second_half_clock(steps: int) -> Any:
    """Return a callback whose `seconds` are those of the last `steps` of a run: its second half, because the first compiles."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.steps = steps - steps // 2

        def on_train_batch_begin(self, batch, logs=None):
            if batch == steps // 2:
                self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.seconds = time.perf_counter() - getattr(self, "start", math.nan)

    return Clock()


def trainer(dataset: "Dataset", **overrides: Any) -> tuple["MaskRCNN", "Loader"]:
    """Return a `training_model` for the classes of a data set, and the loader of the data set."""
    from mrcnn.training.settings import make_loader

    model = training_model(**{"NUM_CLASSES": dataset.num_classes, **overrides})
    return model, make_loader(dataset, model.config)


def machine() -> str:
    """Return a line that describes the machine: cores, Python, Keras and its backend."""
    import keras

    return (f"{os.cpu_count()} cores, Python {platform.python_version()}, Keras {keras.__version__} on "
            f"{keras.backend.backend()}")  # fmt: skip


def report(what: str, ours: float, peer: float | None = None, *, unit: str = "s", peer_name: str = "torchvision",
           target: str | None = None) -> None:
    """Print a measurement as a row, and append it to the file that MRCNN_BENCH_ROWS names, if it is set.

    Args:
        what: what was measured.
        peer: the peer's result, or None if it is not available; the row shows the ratio.
        target: the target, in words.
    """
    row = {"what": what, "ours": ours, "peer": peer, "unit": unit, "peer_name": peer_name, "target": target}
    print(line(row), flush=True)
    if os.environ.get("MRCNN_BENCH_ROWS"):
        with open(os.environ["MRCNN_BENCH_ROWS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def line(row: Mapping[str, Any]) -> str:
    """Return a row of `report` as text."""
    text = f"{row['what']:58} mrcnn {row['ours']:9.3f} {row['unit']:8}"
    if row["peer"] is not None:
        text += f" {row['peer_name']} {row['peer']:9.3f}" + (f"  ratio {row['ours'] / row['peer']:5.2f}" if row["peer"] else "")
    return text + (f"  (aim: {row['target']})" if row["target"] else "")
