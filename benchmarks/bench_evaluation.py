"""Seconds to score detections as COCO does, ours beside pycocotools on the same rows, and the largest difference.

The made set is of the size of COCO 2017 val: 5000 images with 36 000 objects in 80 classes, and 100 detections an image, a
third of them near an object.
"""

import argparse
import contextlib
import io
import statistics
import time

import common
import numpy as np

from mrcnn.evaluation.scoring import MAX_DETECTIONS, score_rows
from mrcnn.geometry.rle import encode_mask

HEIGHT, WIDTH, CLASSES = 480, 640, 80


def make_rows(images, objects, detections, seed=0):
    """Return (truth, rows): COCO annotations and COCO results, each with a mask as RLE and a box."""
    rng = np.random.default_rng(seed)
    shapes = _Shapes(rng)
    truth, rows = [], []
    owners = np.sort(rng.integers(0, images, objects))
    for image_id in range(images):
        own = []
        for _ in range(np.count_nonzero(owners == image_id)):
            shape, class_id = shapes.draw(), int(rng.integers(1, CLASSES + 1))
            own.append((shape, class_id))
            truth.append({"image_id": image_id, "category_id": class_id, **shape, "iscrowd": int(rng.random() < 0.01)})
        for _ in range(detections):
            if own and rng.random() < 1 / 3:
                shape, class_id = own[rng.integers(len(own))]
                shape = shapes.near(shape)
            else:
                shape, class_id = shapes.draw(), int(rng.integers(1, CLASSES + 1))
            rows.append({"image_id": image_id, "category_id": class_id, "score": float(rng.random()),
                         "segmentation": shape["segmentation"], "bbox": shape["bbox"]})
    return truth, rows


class _Shapes:
    """Ellipses with a ragged edge, drawn once and handed out many times: drawing is not what is measured."""

    def __init__(self, rng, places=400, variants=6):
        self.rng = rng
        self.families = []
        for _ in range(places):
            cy, cx = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
            ry, rx = np.exp(rng.uniform(np.log(4), np.log(150), 2))
            moves = rng.normal(0, 0.12, (variants, 2)) * (ry, rx)
            self.families.append([self._ellipse(cy + dy, cx + dx, ry, rx) for dy, dx in moves])
        self.family_of = {id(shape): family for family in self.families for shape in family}

    def _ellipse(self, cy, cx, ry, rx):
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        angle = np.arctan2(y - cy, x - cx)
        mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1 + 0.2 * np.sin(9 * angle)
        mask[int(np.clip(cy, 0, HEIGHT - 1)), int(np.clip(cx, 0, WIDTH - 1))] = True
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [float(xs[0]), float(ys[0]), float(xs[-1] + 1 - xs[0]), float(ys[-1] + 1 - ys[0])]
        return {"segmentation": encode_mask(mask), "bbox": box, "area": float(mask.sum())}

    def draw(self):
        family = self.families[self.rng.integers(len(self.families))]
        return family[self.rng.integers(len(family))]

    def near(self, shape):
        family = self.family_of[id(shape)]
        return family[self.rng.integers(len(family))]


def by_pycocotools(truth, rows, image_ids, kind):
    """The twelve figures as pycocotools computes them from files: float [12]."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in image_ids],
                        "categories": [{"id": i} for i in range(1, CLASSES + 1)],
                        "annotations": [{**row, "id": ix} for ix, row in enumerate(truth, start=1)]}
        coco.createIndex()
        word, other = {"mask": ("segm", "bbox"), "box": ("bbox", "segmentation")}[kind]
        found = coco.loadRes([{key: value for key, value in row.items() if key != other} for row in rows])
        evaluator = COCOeval(coco, found, word)
        evaluator.params.maxDets = list(MAX_DETECTIONS)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=36000)
    parser.add_argument("--detections", type=int, default=100, help="an image")
    parser.add_argument("--repeat", type=int, default=3, help="runs of ours; pycocotools runs once")
    args = parser.parse_args()
    print(common.machine())
    truth, rows = make_rows(args.images, args.objects, args.detections)
    image_ids = list(range(args.images))
    print(f"{args.images} images, {len(truth)} objects, {len(rows)} detections")
    for kind in ("mask", "box"):
        began = time.perf_counter()
        theirs = by_pycocotools(truth, rows, image_ids, kind)
        slow = time.perf_counter() - began
        seconds = []
        for _ in range(args.repeat):
            began = time.perf_counter()
            figures, _ = score_rows(truth, rows, image_ids, list(range(1, CLASSES + 1)), kind)
            seconds.append(time.perf_counter() - began)
        names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
        apart = max(abs(figures[name] - value) for name, value in zip(names, theirs, strict=True))
        print(f"{kind}: AP {figures['AP']:.4f}, largest difference of the twelve figures {apart:.1e}")
        common.report(f"COCO evaluation, {kind}, {args.images} images", statistics.median(seconds), slow,
                      peer_name="pycocotools", target="0.20")  # fmt: skip


if __name__ == "__main__":
    main()
