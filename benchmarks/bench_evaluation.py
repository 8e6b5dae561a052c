"""Seconds of COCO evaluation, compared with pycocotools on the same rows, and the largest difference between their metrics.

The generated set has the size of COCO 2017 val: 5000 images with 36 000 objects in 80 classes, and 100 detections per image, a
third of them near an object.
"""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Sequence
from typing import Any

import common
import numpy as np

from mrcnn.evaluation.results import Row
from mrcnn.evaluation.scoring import MAX_DETECTIONS, score_rows
from mrcnn.geometry.rle import encode_mask

HEIGHT, WIDTH, CLASSES = 480, 640, 80


def make_rows(images: int, objects: int, detections: int, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Return COCO annotations and COCO results, each row with a mask as RLE and a box.

    Args:
        images: number of images.
        objects: number of objects in all images together.
        detections: number of detections per image.
    """
    rng = np.random.default_rng(seed)
    shapes = _Shapes(rng)
    truth, rows = [], []
    image_of_object = np.sort(rng.integers(0, images, objects))
    for image_id in range(images):
        in_image = []
        for _ in range(np.count_nonzero(image_of_object == image_id)):
            shape, class_id = shapes.draw(), int(rng.integers(1, CLASSES + 1))
            in_image.append((shape, class_id))
            truth.append({"image_id": image_id, "category_id": class_id, **shape, "iscrowd": int(rng.random() < 0.01)})
        for _ in range(detections):
            if in_image and rng.random() < 1 / 3:
                shape, class_id = in_image[rng.integers(len(in_image))]
                shape = shapes.near(shape)
            else:
                shape, class_id = shapes.draw(), int(rng.integers(1, CLASSES + 1))
            rows.append({"image_id": image_id, "category_id": class_id, "score": float(rng.random()),
                         "segmentation": shape["segmentation"], "bbox": shape["bbox"]})
    return truth, rows


class _Shapes:
    """Ellipses with a ragged edge, drawn once and reused many times, because drawing is not what is measured."""

    def __init__(self, rng: np.random.Generator, places: int = 400, variants: int = 6) -> None:
        self.rng = rng
        self.families = []
        for _ in range(places):
            cy, cx = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
            ry, rx = np.exp(rng.uniform(np.log(4), np.log(150), 2))
            moves = rng.normal(0, 0.12, (variants, 2)) * (ry, rx)
            self.families.append([self._ellipse(cy + dy, cx + dx, ry, rx) for dy, dx in moves])
        self.family_of = {id(shape): family for family in self.families for shape in family}

    def _ellipse(self, cy: float, cx: float, ry: float, rx: float) -> dict[str, Any]:
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        angle = np.arctan2(y - cy, x - cx)
        mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1 + 0.2 * np.sin(9 * angle)
        mask[int(np.clip(cy, 0, HEIGHT - 1)), int(np.clip(cx, 0, WIDTH - 1))] = True
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [float(xs[0]), float(ys[0]), float(xs[-1] + 1 - xs[0]), float(ys[-1] + 1 - ys[0])]
        return {"segmentation": encode_mask(mask), "bbox": box, "area": float(mask.sum())}

    def draw(self) -> dict[str, Any]:
        """Return a random shape."""
        family = self.families[self.rng.integers(len(self.families))]
        return family[self.rng.integers(len(family))]

    def near(self, shape: dict[str, Any]) -> dict[str, Any]:
        """Return a shape of the same size close to a given one."""
        family = self.family_of[id(shape)]
        return family[self.rng.integers(len(family))]


def pycocotools_metrics(truth: Sequence[Row], rows: Sequence[Row], image_ids: Sequence[int], kind: str) -> np.ndarray:
    """Return pycocotools' twelve metrics: float [12]."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in image_ids],
                        "categories": [{"id": i} for i in range(1, CLASSES + 1)],
                        "annotations": [{**row, "id": ix} for ix, row in enumerate(truth, start=1)]}
        coco.createIndex()
        iou_type, unused_key = {"mask": ("segm", "bbox"), "box": ("bbox", "segmentation")}[kind]
        results = coco.loadRes([{key: value for key, value in row.items() if key != unused_key} for row in rows])
        evaluator = COCOeval(coco, results, iou_type)
        evaluator.params.maxDets = list(MAX_DETECTIONS)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


def main() -> None:
    """Print the seconds and the largest difference, for masks and for boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="images to generate")
    parser.add_argument("--objects", type=int, default=36000, help="objects to generate, in all images together")
    parser.add_argument("--detections", type=int, default=100, help="detections per image")
    parser.add_argument("--repeat", type=int, default=3, help="runs of ours; pycocotools runs once")
    args = parser.parse_args()
    print(common.machine())
    truth, rows = make_rows(args.images, args.objects, args.detections)
    image_ids = list(range(args.images))
    print(f"{args.images} images, {len(truth)} objects, {len(rows)} detections")
    for kind in ("mask", "box"):
        start = time.perf_counter()
        expected = pycocotools_metrics(truth, rows, image_ids, kind)
        peer_seconds = time.perf_counter() - start
        seconds = []
        for _ in range(args.repeat):
            start = time.perf_counter()
            metrics, _ = score_rows(truth, rows, image_ids, list(range(1, CLASSES + 1)), kind)
            seconds.append(time.perf_counter() - start)
        names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
        difference = max(abs(metrics[name] - value) for name, value in zip(names, expected, strict=True))
        print(f"{kind}: AP {metrics['AP']:.4f}, largest difference between the twelve metrics {difference:.1e}")
        common.report(f"COCO evaluation, {kind}, {args.images} images", statistics.median(seconds), peer_seconds,
                      peer_name="pycocotools", target="0.20")  # fmt: skip


if __name__ == "__main__":
    main()
