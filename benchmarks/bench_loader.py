"""Images a second that the training loader makes: decode, resize, pad, mini-masks, boxes and RPN targets."""
import argparse
import time

import common


def main():
    """Print images a second at the given size, with the workers that training would use."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--size", type=int, default=1024, help="side of the square images, in pixels")
    parser.add_argument("--images", type=int, default=128, help="images to time, after a batch a worker to warm up")
    parser.add_argument("--workers", type=int, default=2, help="loader threads; 0 loads in the main thread")
    parser.add_argument("--batch-size", type=int, default=2, help="images in a batch")
    args = parser.parse_args()

    from mrcnn.engine.feed import stream
    from mrcnn.engine.settings import make_loader

    dataset = common.photographs()
    settings = {"IMAGE_MIN_DIM": args.size, "IMAGE_MAX_DIM": args.size, "IMAGES_PER_GPU": args.batch_size}
    loader = make_loader(dataset, common.config(NUM_CLASSES=dataset.num_classes, **settings))
    feed = stream(loader.__getitem__, workers=args.workers)
    for _ in range(max(args.workers, 1) * 3):
        next(feed)
    done, start = 0, time.perf_counter()
    while done < args.images:
        (batch,) = next(feed)
        done += len(batch[0])
    elapsed = time.perf_counter() - start
    feed.close()
    print(f"{common.machine()}; {args.workers} loader threads")
    print(f"loader at {args.size}: {done / elapsed:.1f} images/s ({1000 * elapsed / done:.1f} ms an image)", flush=True)


if __name__ == "__main__":
    main()
