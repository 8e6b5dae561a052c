"""What the benchmarks share: data, timing, and the lines they print."""
import os
import platform
import statistics
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
        from mrcnn.data.formats.coco import CocoDataset

        dataset = CocoDataset()
        dataset.load_coco(str(root), "train", year="2017")
    else:
        from mrcnn.data.formats.shapes import ShapesDataset

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


def seconds(work, repeat=5, warmup=1):
    """Return the median time of `work()` in seconds, after `warmup` calls that compile and fill caches."""
    for _ in range(warmup):
        work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def torchvision_model(size, train):
    """Return torchvision's maskrcnn_resnet50_fpn with 81 classes for square images, or None where it is not installed.

    Its random weights find 100 instances an image, as ours do here.
    """
    try:
        import torch
        from torchvision.models.detection import maskrcnn_resnet50_fpn
    except (ImportError, RuntimeError, OSError) as error:
        print(f"torchvision does not import, its side is left out ({str(error).splitlines()[0]})")
        return None
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81, min_size=size, max_size=size,
                                  box_score_thresh=0.0, box_detections_per_img=100)  # fmt: skip
    return model.train(train)


def machine():
    """Return one line on where this ran: cores, Python, Keras and its backend."""
    import keras

    return (f"{os.cpu_count()} cores, Python {platform.python_version()}, Keras {keras.__version__} on "
            f"{keras.backend.backend()}")  # fmt: skip


def report(what, ours, peer=None):
    """Print a figure in seconds, and the peer's with the ratio (above 1: ours takes longer)."""
    print(f"{what}: mrcnn {ours:.3f} s")
    if peer is not None:
        print(f"{what}: torchvision {peer:.3f} s")
        print(f"{what}: ratio mrcnn / torchvision {ours / peer:.2f}", flush=True)
