"""What the benchmarks share: data, models, timing, and the rows that they print and keep."""
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def photographs(images=32, size=640):
    """Return a prepared Dataset: the small COCO set of photographs where it lies beside the repository, else shapes.

    Args:
        images: int. How many shapes images to make in place of the photographs.
        size: int. Their side in pixels.
    """
    root = Path(os.environ.get("MRCNN_SHARED_DATA", REPOSITORY.parent / "shared")) / "data" / "tiny_coco"
    if root.is_dir():
        from mrcnn.datasets.formats.coco import CocoDataset

        dataset = CocoDataset()
        dataset.load_coco(str(root), "train", year="2017")
    else:
        from mrcnn.datasets.formats.shapes import ShapesDataset

        print(f"{root} is absent: made images of {size} x {size} take the place of photographs")
        dataset = ShapesDataset()
        dataset.load_shapes(images, size, size)
    dataset.prepare()
    return dataset


def config(**overrides):
    """Return a Config of ResNet-50 with 81 classes, one image a batch, and the given attributes."""
    from mrcnn.config import Config

    settings = {"NAME": "benchmark", "BACKBONE": "resnet50", "NUM_CLASSES": 81, "IMAGES_PER_GPU": 1, "GPU_COUNT": 1}
    return type("BenchmarkConfig", (Config,), {**settings, **overrides})()


def race(works, repeat=5, warmup=1):
    """Time several pieces of work in turns, so that a busy moment of the machine hits all of them.

    Args:
        works: dict name -> callable without arguments; None for one that cannot run here. One that returns a float tells
            the seconds of the part of it that counts.
        repeat: int. Rounds that count.
        warmup: int. Rounds before, which compile and fill caches.

    Returns:
        dict name -> median seconds, None for what cannot run here.
    """
    times = {name: [] for name, work in works.items() if work is not None}
    for turn in range(warmup + repeat):
        for name in times:
            start = time.perf_counter()
            told = works[name]()
            if turn >= warmup:
                times[name].append(told if isinstance(told, float) else time.perf_counter() - start)
    return {name: statistics.median(times[name]) if name in times else None for name in works}


def seconds(work, repeat=5, warmup=1):
    """Return the median time of `work()` in seconds, after `warmup` calls that compile and fill caches."""
    return race({"": work}, repeat, warmup)[""]


def elsewhere(*arguments):
    """Start this script once more, in a process of its own, for a side of a race: two frameworks in one process share threads
    and memory, and are in each other's way.

    Args:
        *arguments: str. Of its command line, with which it is to call `serve`.

    Returns:
        (work, told): a function that lets the process do its work once, and what the process says of it; (None, None) where
        it has no work.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer():
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with status {process.wait()}; what it said is above")
        return line

    def work():
        print(file=process.stdin, flush=True)
        return json.loads(answer())

    told = json.loads(answer())
    return (None, None) if told is None else (work, told)


def serve(work, told):
    """Say what there is to know of a piece of work, and do it each time the process that started this one asks.

    Args:
        work: callable without arguments; None where it cannot run here.
        told: what JSON can hold.
    """
    print(json.dumps(None if work is None else told), flush=True)
    for _ in sys.stdin if work is not None else ():
        answer = work()
        print(json.dumps(answer if isinstance(answer, float) else None), flush=True)


def torchvision_model(size, train, device="cpu"):
    """Return torchvision's maskrcnn_resnet50_fpn with 81 classes for square images, or None where it is not installed.

    Its random weights find 100 instances an image, as ours do here: see `sure_of_one_class`.
    """
    try:
        import torch
        from torchvision.models.detection import maskrcnn_resnet50_fpn
    except (ImportError, RuntimeError, OSError) as error:
        print(f"torchvision does not import, its side is left out ({str(error).splitlines()[0]})", file=sys.stderr)
        return None
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81, min_size=size, max_size=size,
                                  box_detections_per_img=100)  # fmt: skip
    if not train:
        with torch.no_grad():
            model.roi_heads.box_predictor.cls_score.bias.copy_(torch.from_numpy(sure_of_one_class(81)))
    return model.train(train).to(device)


def sure_of_one_class(num_classes):
    """Return the bias of class scores, float32 [num_classes], with which every region is an instance of class 1.

    A network of random weights is sure of nothing. With no least score at all, each of torchvision's 1000 regions would be
    a candidate for each of 80 classes, which no trained network asks its suppression to sort out.
    """
    import numpy as np

    return np.where(np.arange(num_classes) == 1, 10.0, 0.0).astype(np.float32)


def torchvision_targets(size, instances=8, device="cpu"):
    """Return the targets of one image of torchvision's: boxes, labels and masks of rectangles."""
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


def detector(size, batch_size=1, num_classes=81, instances=100):
    """Return a MaskRCNN for detection at `size` whose random weights find `instances` in any image."""
    import tempfile

    from mrcnn.cli.backend import build_model

    # A least score and a threshold of suppression as torchvision's.
    settings = config(IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size, IMAGES_PER_GPU=batch_size, NUM_CLASSES=num_classes,
                      DETECTION_MIN_CONFIDENCE=0.05, DETECTION_NMS_THRESHOLD=0.5,
                      DETECTION_MAX_INSTANCES=instances)  # fmt: skip
    model = build_model("inference", settings, tempfile.gettempdir())  # the allocator set as by the command line
    bias = model.keras_model.get_layer("mrcnn_class_logits").weights[1]
    bias.assign(sure_of_one_class(num_classes))
    return model


def training_model(**overrides):
    """Return a MaskRCNN that trains all layers of `config(**overrides)`, on the objects themselves too, as torchvision does.

    Random weights would else propose more or fewer positives by luck, and with them the mask head has more or less to do.
    """
    import tempfile

    from mrcnn.cli.backend import build_model

    settings = config(**{"GT_BOXES_AS_ROIS": True, **overrides})
    model = build_model("training", settings, tempfile.gettempdir())  # the allocator set as by the command line
    model.set_trainable(".*", verbose=0)
    model.compile(0.001, settings.LEARNING_MOMENTUM)
    return model


def fit_step(network, *batch, steps=2):
    """Return a function that trains by `fit`, as runs do, and returns the seconds of its last step.

    What `fit` does before the first step and after the last comes once a run: on TensorFlow the end of the iterator alone
    sleeps for up to a second.

    Args:
        network: keras.Model, compiled.
        *batch: what Keras takes: inputs, and targets if the model has any.
        steps: int.
    """
    import itertools

    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])  # waits for it
            self.seconds = time.perf_counter() - self.start

    def step():
        clock = Clock()
        batches = (batch for _ in itertools.count())
        network.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
        return clock.seconds

    return step


def trainer(dataset, **overrides):
    """Return a MaskRCNN that trains all layers of `config(**overrides)` on a data set, and its loader."""
    from mrcnn.training.settings import make_loader

    model = training_model(**{"NUM_CLASSES": dataset.num_classes, **overrides})
    return model, make_loader(dataset, model.config)


def machine():
    """Return one line on where this ran: cores, Python, Keras and its backend."""
    import keras

    return (f"{os.cpu_count()} cores, Python {platform.python_version()}, Keras {keras.__version__} on "
            f"{keras.backend.backend()}")  # fmt: skip


def report(what, ours, peer=None, *, unit="s", peer_name="torchvision", target=None):
    """Print a figure, the peer's beside it with the ratio, and keep the row where MRCNN_BENCH_ROWS names a file.

    Args:
        what: str. What was measured.
        ours, peer: float. The figures; peer None where it could not be had.
        unit: str.
        peer_name: str.
        target: str, optional. What is aimed at, in words.
    """
    row = {"what": what, "ours": ours, "peer": peer, "unit": unit, "peer_name": peer_name, "target": target}
    print(line(row), flush=True)
    if os.environ.get("MRCNN_BENCH_ROWS"):
        with open(os.environ["MRCNN_BENCH_ROWS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def line(row):
    """Return the row of a figure as text."""
    text = f"{row['what']:58} mrcnn {row['ours']:9.3f} {row['unit']:8}"
    if row["peer"] is not None:
        text += f" {row['peer_name']} {row['peer']:9.3f}" + (f"  ratio {row['ours'] / row['peer']:5.2f}" if row["peer"] else "")
    return text + (f"  (aim: {row['target']})" if row["target"] else "")
