"""Images a second at 1024 pixels: the training loader alone and with threads, augmented, and the classic generator.

A batch holds images, meta, RPN targets, class ids, boxes and mini-masks. What decoding, resizing and padding alone take is
printed beside it, and the largest memory of the process.
"""
import argparse
import resource
import time

import common


def images_a_second(loader, workers, images):
    """Return images a second of a loader, after a few batches to warm up."""
    from mrcnn.engine.feed import stream

    feed = stream(loader.__getitem__, workers=workers)
    for _ in range(max(workers, 1) * 3):
        next(feed)
    done, start = 0, time.perf_counter()
    while done < images:
        (batch,) = next(feed)
        done += len(batch[0])
    elapsed = time.perf_counter() - start
    feed.close()
    return done / elapsed


def pixels_a_second(dataset, settings, images):
    """Return images a second of decoding, resizing and padding alone."""
    from mrcnn.geometry.resize import apply_plan, plan_resize

    start = time.perf_counter()
    for i in range(images):
        image = dataset.load_image(dataset.image_ids[i % dataset.num_images])
        plan = plan_resize(image.shape[:2], settings.IMAGE_MIN_DIM, settings.IMAGE_MAX_DIM, 0, "square", None)
        apply_plan(image, plan, quickly=True)
    return images / (time.perf_counter() - start)


def classic_a_second(dataset, settings, images):
    """Return images a second of `data_generator` with its classic outputs."""
    import mrcnn.model as modellib

    batches = modellib.data_generator(dataset, settings, batch_size=settings.BATCH_SIZE)
    next(batches)
    done, start = 0, time.perf_counter()
    while done < images:
        done += len(next(batches)[0][0])
    return done / (time.perf_counter() - start)


def main():
    """Print images a second of each way to load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="side of the square images, in pixels")
    parser.add_argument("--images", type=int, default=128, help="images to time, after a few batches to warm up")
    parser.add_argument("--workers", type=int, default=2, help="loader threads beside the run without any")
    parser.add_argument("--batch-size", type=int, default=2, help="images in a batch")
    args = parser.parse_args()

    import imgaug.augmenters as iaa

    from mrcnn.engine.settings import make_loader

    dataset = common.photographs()
    settings = common.config(NUM_CLASSES=dataset.num_classes, IMAGE_MIN_DIM=args.size, IMAGE_MAX_DIM=args.size,
                             IMAGES_PER_GPU=args.batch_size)  # fmt: skip
    print(common.machine())
    unit = {"unit": "images/s"}
    pixels = pixels_a_second(dataset, settings, args.images)
    plain = images_a_second(make_loader(dataset, settings), 0, args.images)
    common.report(f"loader at {args.size}, one thread", plain, pixels, peer_name="pixels alone", target="100", **unit)
    threads = images_a_second(make_loader(dataset, settings), args.workers, args.images)
    common.report(f"loader at {args.size}, {args.workers} threads", threads, plain, peer_name="one", target="1.7 times",
                  **unit)  # fmt: skip
    rotations = iaa.Sequential([iaa.Fliplr(0.5), iaa.Affine(rotate=(-20, 20))])
    for name, augmentation, aim in (("flips", iaa.Fliplr(0.5), "0.80"), ("flips and rotations by imgaug", rotations, "0.50")):
        speed = images_a_second(make_loader(dataset, settings, augmentation=augmentation), 0, args.images)
        common.report(f"  with {name}", speed, plain, peer_name="plain", target=aim, **unit)
    common.report("classic data_generator", classic_a_second(dataset, settings, args.images // 2), target="20", **unit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    common.report("memory of this process, TensorFlow in it", peak, unit="MiB", target="600")


if __name__ == "__main__":
    main()
