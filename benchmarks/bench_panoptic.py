"""Images of 640x480 per second that `mrcnn convert panoptic-tfrecord` writes, on generated images of random segments."""
import argparse
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

import common
import numpy as np

TARGET = 20
SIZE = (480, 640)
# as in COCO's panoptic training set: about 11 segments per image; 133 categories, 80 of them things
SEGMENTS = 11
CATEGORIES = [{"id": i, "name": f"category {i}", "isthing": int(i <= 80)} for i in range(1, 134)]


def make_root(folder: Path, count: int) -> None:
    """Write this many images of noise, with panoptic PNGs of random ellipses, in COCO's layout."""
    import cv2
    from PIL import Image

    from mrcnn.datasets.panoptic.annotations import colors_of_ids

    images, annotations = folder / "train2017", folder / "annotations" / "panoptic_train2017"
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": CATEGORIES}
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), np.uint8)
        smooth = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
        pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(images / f"{number:012d}.jpg", quality=92)
        ids = np.zeros(SIZE, np.int32)
        for _ in range(SEGMENTS):
            centre = (int(rng.integers(SIZE[1])), int(rng.integers(SIZE[0])))
            axes = (int(rng.integers(10, SIZE[1] // 2)), int(rng.integers(10, SIZE[0] // 2)))
            cv2.ellipse(ids, centre, axes, float(rng.integers(180)), 0, 360, int(rng.integers(1, 2**24)), -1)
        Image.fromarray(colors_of_ids(ids)).save(annotations / f"{number:012d}.png")
        segments = [{"id": int(i), "category_id": int(rng.integers(1, 134)), "area": int(area), "iscrowd": 0}
                    for i, area in zip(*np.unique(ids[ids > 0], return_counts=True), strict=True)]  # fmt: skip
        content["images"].append({"id": number, "file_name": f"{number:012d}.jpg", "height": SIZE[0], "width": SIZE[1]})
        content["annotations"].append({"image_id": number, "file_name": f"{number:012d}.png", "segments_info": segments})
    (folder / "annotations" / "panoptic_train2017.json").write_text(json.dumps(content))


def main() -> None:
    """Print images per second, including the start of the processes, and the peak memory of a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600, help="images to convert")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--repeat", type=int, default=3, help="conversions to time; the median is printed")
    args = parser.parse_args()

    from mrcnn.tools.convert.panoptic_tfrecord import convert_panoptic

    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "root", Path(folder) / "out"
        make_root(root, args.images)

        def work():
            shutil.rmtree(out, ignore_errors=True)
            convert_panoptic(root, out, shards=20, workers=args.workers)

        before = _cpu_seconds()
        start = time.perf_counter()
        elapsed = common.seconds(work, repeat=args.repeat, warmup=0)
        written = sum(path.stat().st_size for path in out.iterdir())
        cpu = (_cpu_seconds() - before) / args.repeat
        total = time.perf_counter() - start
    print(f"{args.images} images of {SIZE[1]} x {SIZE[0]}, {args.workers} processes, {written / 2**20:.0f} MiB of shards, "
          f"{args.repeat} conversions in {total:.0f} s")  # fmt: skip
    print(f"{1000 * cpu / args.images:.1f} ms of CPU per image, peak memory of a process {_peak_memory():.0f} MiB")
    common.report("convert panoptic-tfrecord, 640 x 480", args.images / elapsed, unit="images/s", target=f"{TARGET}")


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _peak_memory() -> float:
    """Return the peak memory of this process or of one of its finished children, whichever is larger, in MiB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


if __name__ == "__main__":
    main()
