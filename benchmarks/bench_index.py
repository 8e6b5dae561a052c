"""Seconds and memory to open COCO annotations of the size of COCO 2017 train, compared with `json.load` alone."""
import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common

# Of COCO 2017 train: number of images, and mean number of instances per image.
IMAGES = 118_287
INSTANCES = 7.27
CROWD_FRACTION = 0.01
HEIGHT, WIDTH = 480, 640
# Number of different outlines. Each is used many times, but a parser creates new numbers for each use.
OUTLINES = 4000


def main() -> None:
    """Print seconds, peak memory and their ratios; each side runs in its own process."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="images in the generated file (default: %(default)s)")
    parser.add_argument("--folder", help="where the temporary file is written (default: the system's temporary folder)")
    parser.add_argument("--side", choices=("json", "mrcnn"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, Path(args.folder))))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = annotation_file(Path(folder))
        instances = write_annotations(path, args.images)
        size = path.stat().st_size / 1e6
        print(f"{common.os.cpu_count()} cores; {args.images} images, {instances} instances, {size:.0f} MB of JSON", flush=True)
        plain, ours = (run_side(side, folder) for side in ("json", "mrcnn"))
    for name, side in (("json.load", plain), ("mrcnn.datasets.open", ours)):
        print(f"{name}: {side['seconds']:.1f} s ({side['cpu']:.1f} s of CPU), peak {side['peak_gb']:.2f} GB", flush=True)
    print(f"ratio {ours['seconds'] / plain['seconds']:.2f}, {ours['cpu'] / plain['cpu']:.2f} of CPU; "
          f"{ours['instances']} instances in {ours['images']} images, "
          f"{ours['skipped']} skipped")
    common.report(f"opening COCO annotations of {args.images} images", ours["seconds"], plain["seconds"],
                  peer_name="json.load", target=f"below {plain['seconds'] / 2:.1f} s, half")
    common.report("  its memory", ours["peak_gb"], plain["peak_gb"], unit="GB", peer_name="json.load",
                  target=f"below {plain['peak_gb']:.1f}")


def annotation_file(folder: Path) -> Path:
    """Return the path of the instances file in a folder with COCO's layout."""
    return folder / "annotations" / "instances_train2017.json"


def run_side(side: str, folder: str) -> dict[str, Any]:
    """Run `measure` for one side in a new process."""
    done = subprocess.run([sys.executable, __file__, "--side", side, "--folder", folder], stdout=subprocess.PIPE, text=True,
                          check=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Read the file with json.load, or open it as a data set, and return seconds, CPU seconds, peak memory and counts."""
    figures = {}
    if side == "mrcnn":
        import mrcnn.datasets.formats.coco  # noqa: F401  imports are not timed
        from mrcnn.datasets.catalog import open_dataset
    start, cpu = time.perf_counter(), time.process_time()
    if side == "json":
        with annotation_file(folder).open(encoding="utf-8") as file:
            content = json.load(file)
    else:
        dataset = open_dataset(folder)
    figures["seconds"], figures["cpu"] = time.perf_counter() - start, time.process_time() - cpu
    # Linux reports KiB, macOS bytes
    unit = 1 if sys.platform == "darwin" else 1024
    figures["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    if side == "json":
        figures["images"] = len(content["images"])
    else:
        counts = [len(dataset.annotations_of(i)) for i in dataset.image_ids]
        figures |= {"images": len(counts), "instances": sum(counts), "skipped": len(dataset.skipped)}
    return figures


def write_annotations(path: Path, images: int, seed: int = 0) -> int:
    """Write a COCO annotation file piece by piece, and return the number of its instances."""
    rng = random.Random(seed)
    outlines = [outline(rng) for _ in range(OUTLINES)]
    crowds = [crowd(rng) for _ in range(50)]
    path.parent.mkdir(parents=True)
    total = round(images * INSTANCES)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        for i in range(images):
            file.write(
                f'{", " if i else ""}{{"license": 1, "file_name": "{i + 1:012}.jpg", "coco_url": '
                f'"http://images.cocodataset.org/train2017/{i + 1:012}.jpg", "height": {HEIGHT}, "width": {WIDTH}, '
                f'"date_captured": "2013-11-14 11:18:45", "id": {i + 1}}}'
            )
        file.write('], "annotations": [')
        for i in range(total):
            is_crowd = rng.random() < CROWD_FRACTION
            segmentation = rng.choice(crowds if is_crowd else outlines)
            x, y, area = rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(100, 40000)
            file.write(
                f'{", " if i else ""}{{"segmentation": {segmentation}, "area": {area:.4f}, "iscrowd": {int(is_crowd)}, '
                f'"image_id": {rng.randrange(images) + 1}, "bbox": [{x:.2f}, {y:.2f}, 120.5, 70.25], "category_id": '
                f'{rng.randint(1, 80)}, "id": {i + 1}}}'
            )
        names = ({"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, 81))
        file.write(f'], "categories": {json.dumps(list(names))}}}')
    return total


def outline(rng: random.Random) -> str:
    """Return a random segmentation as JSON: one polygon, rarely two, of 20 to 60 points."""
    polygons = []
    for _ in range(2 if rng.random() < 0.1 else 1):
        x, y = rng.uniform(50, WIDTH - 50), rng.uniform(50, HEIGHT - 50)
        points = rng.randint(20, 60)
        polygons.append([round(v + rng.uniform(-50, 50), 2) for _ in range(points) for v in (x, y)])
    return json.dumps(polygons)


def crowd(rng: random.Random) -> str:
    """Return a random crowd as JSON: an RLE of a few hundred runs that cover the image."""
    ends = sorted(rng.sample(range(1, HEIGHT * WIDTH), rng.randint(100, 600)))
    runs = [b - a for a, b in zip([0, *ends], [*ends, HEIGHT * WIDTH], strict=True)]
    return json.dumps({"counts": runs, "size": [HEIGHT, WIDTH]})


if __name__ == "__main__":
    main()
