"""Our speed and memory on a GPU compared with torchvision's, in a few minutes: `python benchmarks/gpu.py`.

ResNet-50-FPN at 1024 x 1024 in bfloat16 with 100 ground-truth slots, ours on JAX (TensorFlow is not needed): images per second
in training and in detection, memory, compilations, and images per second of the loader with threads and with processes. Each
side runs in its own process, because both need the whole GPU. For a quick try on a CPU: `--size 64 --batches 1 --repeat 1`.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import common
import numpy as np

SLOTS, INSTANCES = 100, 30


def timed(work: Callable[[], Any], wait: Callable[[Any], object], repeat: int) -> float:
    """Return the median seconds of `wait(work())`; `wait` returns when the device has computed the result."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        wait(work())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Compilations:
    """Counts XLA's compilations from now on."""

    def __init__(self) -> None:
        import jax

        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, seconds: float, **kwargs: Any) -> None:
        self.count += event.endswith("backend_compile_duration")


def ours_training(size: int, batch: int, repeat: int) -> dict[str, float]:
    """Measure our training steps."""
    import keras
    from bench_growth import made_batch

    keras.config.set_dtype_policy("mixed_bfloat16")
    model, _ = common.trainer(common.photographs(), NUM_CLASSES=81, IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size,
                              IMAGES_PER_GPU=batch, MAX_GT_INSTANCES=SLOTS)  # fmt: skip
    data = made_batch(model, min(INSTANCES, SLOTS))
    compilations = Compilations()

    def epoch(steps):
        # nothing returns to the host between the steps
        return model.keras_model.fit(((data,) for _ in range(steps)), steps_per_epoch=steps, shuffle=False, verbose=0)

    start = time.perf_counter()
    epoch(1)
    first, first_compilations = time.perf_counter() - start, compilations.count
    steps = 20
    seconds = timed(lambda: epoch(steps), lambda history: history, repeat) / steps
    return {"images/s": batch / seconds, "first step s": first, "compilations of it": first_compilations,
            "compilations after it": compilations.count - first_compilations, **jax_memory()}


def ours_detection(size: int, batch: int, repeat: int) -> dict[str, float]:
    """Measure our detection: the network alone, and with pasting."""
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    model = common.detector(size, batch_size=batch, instances=SLOTS)
    images = list(np.random.default_rng(0).integers(0, 255, (batch, size, size, 3)).astype(np.uint8))
    _, metas, _ = model.mold_inputs(images)
    instances = sum(len(result["class_ids"]) for result in model.detect(images)) / batch
    network = timed(lambda: model.predictor.run(np.stack(images), metas), lambda outputs: outputs, 10 * repeat)
    whole = timed(lambda: model.detect(images), lambda results: results, 5 * repeat)
    return {"images/s": batch / whole, "network images/s": batch / network, "instances": instances, **jax_memory()}


def ours_loader(size: int, batch: int, repeat: int) -> dict[str, float]:
    """Measure the loader with one thread per core, and with one process per core."""
    from bench_loader import loader_speed

    from mrcnn.training.settings import make_loader

    photographs, cores = common.photographs(), os.cpu_count() or 1
    settings = common.config(NUM_CLASSES=photographs.num_classes, IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size,
                             IMAGES_PER_GPU=batch)  # fmt: skip
    return {f"{kind} images/s": loader_speed(make_loader(photographs, settings), images=256 * repeat, **{kind: cores})
            for kind in ("threads", "processes")}


def theirs_training(size: int, batch: int, repeat: int) -> dict[str, float]:
    """Measure torchvision's training steps with autocast; {} if it is not installed."""
    device = torch_device()
    model = common.torchvision_model(size, train=True, device=device) if device else None
    if model is None:
        return {}
    import torch

    images = [torch.rand(3, size, size, device=device) for _ in range(batch)]
    targets = [common.torchvision_targets(size, INSTANCES, device) for _ in images]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            loss = sum(model(images, targets).values())
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    return {"images/s": batch / timed(step, synchronize, 10 * repeat), **torch_memory()}


def theirs_detection(size: int, batch: int, repeat: int) -> dict[str, float]:
    """Measure torchvision's detection with autocast; {} if it is not installed."""
    device = torch_device()
    model = common.torchvision_model(size, train=False, device=device) if device else None
    if model is None:
        return {}
    import torch

    images = [torch.rand(3, size, size, device=device) for _ in range(batch)]

    def detect():
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
            results = model(images)
            # binary masks, as they are used, have a quarter of the bytes to copy
            return [{name: (value > 0.5 if name == "masks" else value).cpu() for name, value in result.items()}
                    for result in results]

    instances = sum(len(result["labels"]) for result in detect()) / batch
    return {"images/s": batch / timed(detect, synchronize, 5 * repeat), "instances": instances, **torch_memory()}


def torch_device() -> str | None:
    """Return "cuda", "cpu" without a GPU, or None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronize(_: object) -> None:
    """Wait for the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def torch_memory() -> dict[str, float]:
    """Return PyTorch's peak GPU memory as {"GiB": float}; {} without a GPU."""
    import torch

    return {"GiB": torch.cuda.max_memory_allocated() / 2**30} if torch.cuda.is_available() else {}


def jax_memory() -> dict[str, float]:
    """Return JAX's peak GPU memory as {"GiB": float}; {} if it is not reported."""
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return {"GiB": stats["peak_bytes_in_use"] / 2**30} if "peak_bytes_in_use" in stats else {}


SIDES = {work.__name__: work for work in (ours_training, theirs_training, ours_detection, theirs_detection, ours_loader)}


def side(name: str, *arguments: int) -> dict[str, float]:
    """Run one side in its own process, and return its measurements; if it failed, say so and return {}."""
    done = subprocess.run([sys.executable, __file__, "--side", name, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                          env={"KERAS_BACKEND": "jax", **os.environ})  # fmt: skip
    if done.returncode:
        print(f"{name} {arguments} exited with status {done.returncode}; see its output above", flush=True)
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="side of the square images in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 8], help="batch sizes")
    parser.add_argument("--repeat", type=int, default=3, help="more repetitions give steadier results")
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side[0]](*map(int, args.side[1:]))))
        return
    for batch in args.batches:
        for kind, target in (("training", "1.5"), ("detection", "2")):
            ours, theirs = (side(f"{who}_{kind}", args.size, batch, args.repeat) for who in ("ours", "theirs"))
            for who, figures in (("ours", ours), ("torchvision", theirs)):
                print(f"  {who}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
            if ours:
                common.report(f"{kind} at {args.size}, batch {batch}, bfloat16", ours["images/s"], theirs.get("images/s"),
                              unit="images/s", target=f"{target} times")  # fmt: skip
    for kind, speed in side("ours_loader", args.size, args.batches[-1], args.repeat).items():
        common.report(f"loader at {args.size}, {os.cpu_count()} {kind.split()[0]}", speed, unit="images/s",
                      target="above training")  # fmt: skip


if __name__ == "__main__":
    main()
