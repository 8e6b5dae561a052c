"""Images per second at 1024 pixels: the training loader with one thread, several threads, processes and augmentation, and the
classic generator.

A batch has images, meta, RPN targets, class ids, boxes and mini-masks. The speed of decoding, resizing and padding alone is
printed for comparison, and the peak memory of a loader process. The variants take turns for --repeat rounds; each result is
the median.
"""
import argparse
import resource
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import common

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.datasets.dataset import Dataset
    from mrcnn.loading.loader import Loader


class Feed:
    """A running loader, and its images per second in each round."""

    def __init__(self, loader: "Loader", threads: int = 0, processes: int = 0) -> None:
        from mrcnn.loading.loader_pool import WorkerProcesses
        from mrcnn.training.fitting import stream

        self.workers = max(threads, processes)
        self.processes = WorkerProcesses(loader, loader.__getitem__, processes) if processes else None
        self.batches = stream(self.processes or loader.__getitem__, workers=threads)
        self.speeds = []

    def measure(self, images: int) -> None:
        """Measure one round of this many images, after discarding the batches made in advance while others were measured."""
        for _ in range(max(self.workers, 1) * 3):
            next(self.batches)
        done, start = 0, time.perf_counter()
        while done < images:
            (batch,) = next(self.batches)
            done += len(batch[0])
        self.speeds.append(done / (time.perf_counter() - start))

    def close(self) -> float:
        """Stop the loader, and return the peak memory of its largest process in MiB; 0 without processes."""
        import multiprocessing

        pids = [child.pid for child in multiprocessing.active_children()] if self.processes else []
        peak = max((_peak(pid) for pid in pids), default=0.0)
        self.batches.close()
        if self.processes:
            self.processes.close()
        return peak


def loader_speed(loader: "Loader", images: int, **workers: int) -> float:
    """Return the images per second of a loader in one round; `workers` are threads or processes, as for `Feed`."""
    feed = Feed(loader, **workers)
    feed.measure(images)
    feed.close()
    return feed.speeds[0]


def _peak(pid: int) -> float:
    """Return the peak memory of a process in MiB; 0 if the system does not report it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def pixel_speed(dataset: "Dataset", settings: "Config", images: int) -> float:
    """Return the images per second of decoding, resizing and padding alone."""
    from mrcnn.geometry.resize import apply_plan, plan_resize, resize_pixels_fast

    start = time.perf_counter()
    for i in range(images):
        image = dataset.load_image(dataset.image_ids[i % dataset.num_images])
        plan = plan_resize(image.shape[:2], settings.IMAGE_MIN_DIM, settings.IMAGE_MAX_DIM, 0, "square", None)
        apply_plan(image, plan, resize_pixels_fast)
    return images / (time.perf_counter() - start)


def classic_speed(dataset: "Dataset", settings: "Config", images: int) -> float:
    """Return the images per second of the classic `data_generator`."""
    import mrcnn.model as modellib

    batches = modellib.data_generator(dataset, settings, batch_size=settings.BATCH_SIZE)
    next(batches)
    done, start = 0, time.perf_counter()
    while done < images:
        done += len(next(batches)[0][0])
    return done / (time.perf_counter() - start)


def main() -> None:
    """Print the images per second of each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="side of the square images in pixels")
    parser.add_argument("--images", type=int, default=64, help="images per round, after a few batches of warm-up")
    parser.add_argument("--repeat", type=int, default=9, help="rounds")
    parser.add_argument("--workers", type=int, default=2, help="number of loader threads, and of loader processes")
    parser.add_argument("--batch-size", type=int, default=2, help="images per batch")
    args = parser.parse_args()

    import imgaug.augmenters as iaa

    from mrcnn.training.settings import make_loader

    dataset = common.photographs()
    settings = common.config(NUM_CLASSES=dataset.num_classes, IMAGE_MIN_DIM=args.size, IMAGE_MAX_DIM=args.size,
                             IMAGES_PER_GPU=args.batch_size)  # fmt: skip
    print(common.machine())
    unit = {"unit": "images/s"}
    rotations = iaa.Sequential([iaa.Fliplr(0.5), iaa.Affine(rotate=(-20, 20))])
    plain, flips, rotated = (make_loader(dataset, settings, augmentation=a) for a in (None, iaa.Fliplr(0.5), rotations))
    feeds = {"plain": Feed(plain), "threads": Feed(plain, threads=args.workers),
             "processes": Feed(plain, processes=args.workers), "flips": Feed(flips), "rotated": Feed(rotated)}  # fmt: skip
    pixels, classic = [], []
    for _ in range(args.repeat):
        pixels.append(pixel_speed(dataset, settings, args.images))
        for feed in feeds.values():
            feed.measure(args.images)
        classic.append(classic_speed(dataset, settings, args.images // 2))
    speed = {name: statistics.median(feed.speeds) for name, feed in feeds.items()}
    memory = max([feed.close() for feed in feeds.values()])
    common.report(f"loader at {args.size}, one thread", speed["plain"], statistics.median(pixels), peer_name="pixels alone",
                  target="100", **unit)  # fmt: skip
    for name, target in (("threads", None), ("processes", "1.7 times")):
        common.report(f"loader at {args.size}, {args.workers} {name}", speed[name], speed["plain"], peer_name="one",
                      target=target, **unit)  # fmt: skip
    for key, name, target in (("flips", "flips", "0.80"), ("rotated", "flips and rotations by imgaug", "0.50")):
        common.report(f"  with {name}", speed[key], speed["plain"], peer_name="plain", target=target, **unit)
    common.report("classic data_generator", statistics.median(classic), target="20", **unit)
    common.report("memory of a loader process", memory, unit="MiB", target="600")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    common.report("memory of this process, TensorFlow and imgaug in it", peak, unit="MiB")


if __name__ == "__main__":
    main()
