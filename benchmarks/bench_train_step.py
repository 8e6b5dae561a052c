"""Seconds of a training step with ResNet-50: forward, losses, backward and update, all layers trained."""
import argparse
import tempfile

import common


def ours(size, batch_size, repeat):
    """Return the median seconds of a step of ours on one batch of photographs."""
    from mrcnn.engine.mask_rcnn import MaskRCNN
    from mrcnn.engine.settings import make_loader

    dataset = common.photographs()
    settings = common.config(NUM_CLASSES=dataset.num_classes, IMAGE_MIN_DIM=size, IMAGE_MAX_DIM=size,
                             IMAGES_PER_GPU=batch_size)  # fmt: skip
    model = MaskRCNN("training", settings, tempfile.gettempdir())
    model.set_trainable(".*", verbose=0)
    model.compile(0.001, settings.LEARNING_MOMENTUM)
    batch = make_loader(dataset, settings)[0]
    return common.seconds(lambda: model.keras_model.train_on_batch(batch), repeat, warmup=2)


def theirs(size, batch_size, repeat):
    """Return the median seconds of torchvision's step on made images of eight instances, or None."""
    model = common.torchvision_model(size, train=True)
    if model is None:
        return None
    import torch

    images = [torch.rand(3, size, size) for _ in range(batch_size)]
    corner = torch.rand(8, 2) * size * 0.6
    boxes = torch.cat([corner, corner + 16 + torch.rand(8, 2) * size * 0.3], 1)
    masks = torch.zeros(8, size, size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    targets = [{"boxes": boxes, "labels": torch.arange(1, 9), "masks": masks} for _ in images]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()

    return common.seconds(step, repeat)


def main():
    """Print the time of a training step, and torchvision's beside it where it is installed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--size", type=int, default=512, help="side of the square images, in pixels")
    parser.add_argument("--batch-size", type=int, default=1, help="images in a step")
    parser.add_argument("--repeat", type=int, default=5, help="steps to time; the median is printed")
    args = parser.parse_args()
    print(common.machine())
    work = (args.size, args.batch_size, args.repeat)
    common.report(f"training step at {args.size}, batch {args.batch_size}", ours(*work), theirs(*work))


if __name__ == "__main__":
    main()
