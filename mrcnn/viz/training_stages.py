"""Figures of the stages of a training sample: anchors, sampled regions, and their targets.

They show `data.inspection.TrainingStages`, and return (figure, axes); nothing is shown on the screen by them.
"""

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.geometry.masks import paste_mask
from mrcnn.loading.inspection import training_stages
from mrcnn.viz.colors import GREY, GROUND_TRUTH, PALETTE, PREDICTION, class_color, instance_colors
from mrcnn.viz.draw import apply_mask, draw_detections, to_rgb
from mrcnn.viz.figure import add_box, add_boxes, frame_image, get_axis, picture_grid, show, show_around, spread
from mrcnn.viz.labels import Label, add_captions, instance_text

# pixels: small images are enlarged to this, so that names on them are readable and cover little
_NAMES_SIDE = 640
# how much of the image is shown around anchors, in sides of the square one
_SHOWN_SIDES = 4


def anchor_levels_figure(image, settings):
    """Draw the anchors of the cell in the middle of the image, a picture a pyramid level, each at a scale of its own.

    Args:
        image: [H, W, C], the network's input.
        settings: InspectionSettings.

    Returns:
        (figure, axes): a picture a level; its title says how many anchors the level has.
    """
    middle, start, found, titles, sides = np.array(image.shape[:2]) / 2, 0, [], [], []
    levels = zip(settings.level_counts, settings.level_shapes, settings.scales, strict=True)
    for level, (count, (height, width), scale) in enumerate(levels):
        own = settings.targets.anchors[start : start + count]
        distance = np.abs((own[:, :2] + own[:, 2:]) / 2 - middle).sum(axis=1)
        found.append(own[np.isclose(distance, distance.min())])
        sides.append(min(_SHOWN_SIDES * scale, max(image.shape[:2])))
        titles.append(f"level {level}: {count} anchors of {scale} pixels\n"
                      f"map {height} x {width}; shown: {sides[-1]} pixels a side")  # fmt: skip
        start += count
    figure, axes = picture_grid([image] * len(found), titles, columns=len(found), width=3)
    for ax, boxes, side in zip(axes, found, sides, strict=True):
        add_boxes(ax, boxes, instance_colors(len(boxes)), linewidth=1.8)
        show_around(ax, middle, max(side, np.ptp(boxes) * 1.1) if len(boxes) else side)
    return figure, axes


def anchor_targets_figure(stages, limit=50):
    """Draw the anchors that are objects, those that are background, and those that are neither.

    Args:
        stages: TrainingStages.
        limit: int. Most anchors of each kind.

    Returns:
        (figure, axes): three pictures.
    """
    kinds = {"positive": (stages.positive_anchors, PALETTE[0]), "negative": (stages.negative_anchors, PALETTE[5]),
             "neutral": (stages.neutral_anchors, PALETTE[2])}  # fmt: skip
    titles = [f"{len(boxes)} {kind} anchors" + (f", {limit} of them shown" if len(boxes) > limit else "")
              for kind, (boxes, _) in kinds.items()]  # fmt: skip
    figure, axes = picture_grid([stages.image] * 3, titles)
    for ax, (boxes, color) in zip(axes, kinds.values(), strict=True):
        add_boxes(ax, boxes[spread(len(boxes), limit)], color)
    return figure, axes


def refined_anchors_figure(stages, limit=50):
    """Draw positive anchors and where the RPN is to put them, which is on the objects.

    Args:
        stages: TrainingStages.
        limit: int. Most anchors.

    Returns:
        (figure, axes): two pictures, before and after.
    """
    chosen = spread(len(stages.positive_anchors), limit)
    titles = [f"{len(chosen)} of {len(stages.positive_anchors)} positive anchors", "moved by their targets"]
    figure, axes = picture_grid([stages.image] * 2, titles, width=5.5)
    colors = instance_colors(len(chosen))
    for ax, boxes in zip(axes, (stages.positive_anchors, stages.refined_anchors), strict=True):
        add_boxes(ax, boxes[chosen], colors, linewidth=1.8)
    return figure, axes


def roi_targets_figure(stages, class_names, limit=20):
    """Draw regions that the heads train on: positive ones with their box and class, negative ones.

    Args:
        stages: TrainingStages.
        class_names: sequence of names by class id.
        limit: int. Most regions of each kind.

    Returns:
        (figure, axes): three pictures: positive regions, where their targets move them, negative regions.
    """
    positive, negative = (np.flatnonzero(kind) for kind in (stages.roi_class_ids > 0, stages.roi_class_ids == 0))
    count = len(stages.rois)
    titles = [f"{len(positive)} of {count} ROIs positive", "where their targets move them",
              f"{len(negative)} negative ({stages.unique_share:.0%} of all ROIs unique)"]  # fmt: skip
    figure, axes = picture_grid([stages.image] * 3, titles)
    positive, negative = positive[spread(len(positive), limit)], negative[spread(len(negative), limit)]
    colors = [class_color(class_id) for class_id in stages.roi_class_ids[positive]]
    add_boxes(axes[0], stages.rois[positive], colors)
    add_boxes(axes[1], stages.refined_rois[positive], colors, linewidth=1.8)
    texts = dict.fromkeys(zip(map(tuple, stages.refined_rois[positive].round()), stages.roi_class_ids[positive], strict=True))
    labels = [Label(instance_text(class_id, class_names), box, class_color(class_id)) for box, class_id in texts]
    add_captions(axes[1], labels, stages.image.shape, size=7.0)
    add_boxes(axes[2], stages.rois[negative], PALETTE[5])
    return figure, axes


def mask_targets_figure(stages, class_names, limit=8):
    """Draw positive regions cut out of the image, each over its mask target.

    Args:
        stages: TrainingStages.
        class_names: sequence of names by class id.
        limit: int. Most regions.

    Returns:
        (figure, axes): array of Axes [2, n]; one of [2, 1] where no region is positive.
    """
    positive = np.flatnonzero(stages.roi_class_ids > 0)
    chosen, image = positive[spread(len(positive), limit)], to_rgb(stages.image)
    columns = max(1, len(chosen))
    figure, axes = plt.subplots(2, columns, figsize=(1.7 * columns, 3.7), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    for column, ix in enumerate(chosen):
        y1, x1, y2, x2 = stages.rois[ix]
        crop = image[y1:y2, x1:x2]
        # both at the proportions of the region, so that one lies over the other
        axes[0, column].imshow(crop)
        axes[0, column].set_title(f"{instance_text(stages.roi_class_ids[ix], class_names)}\n{y2 - y1} x {x2 - x1}", fontsize=8)
        axes[1, column].imshow(stages.roi_masks[ix], cmap="Blues_r", vmin=0, vmax=1, interpolation="nearest",
                               extent=(0, crop.shape[1], crop.shape[0], 0))  # fmt: skip
    if not len(chosen):
        axes[0, 0].set_title("no positive ROI", fontsize=8)
    return figure, axes


def draw_mask_targets(stages, limit=30):
    """Lay mask targets over the image, each pasted into its region.

    Args:
        stages: TrainingStages.
        limit: int. Most regions.

    Returns:
        uint8 [H, W, 3].
    """
    canvas = to_rgb(stages.image)
    positive = np.flatnonzero(stages.roi_class_ids > 0)
    for ix in positive[spread(len(positive), limit)]:
        full = np.zeros(canvas.shape[:2], bool)
        paste_mask(stages.roi_masks[ix], stages.rois[ix], full)
        apply_mask(canvas, full, class_color(stages.roi_class_ids[ix]))
    return canvas


def positive_share_figure(shares):
    """Draw how the share of positive regions varies over images.

    Args:
        shares: PositiveShares.

    Returns:
        (figure, ax): a histogram, the average marked.
    """
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    ax.hist(shares.shares, bins=np.linspace(0, 1, 41), color=GROUND_TRUTH)
    ax.set_xlabel(f"share of positive ROIs among {shares.rois}")
    ax.set_ylabel("images")
    if shares.shares:
        ax.axvline(shares.mean, color=PREDICTION, linewidth=2, label=f"average {shares.mean:.3f}")
        ax.legend()
    return figure, ax


def inspect_sample(dataset, image_id, settings, detect=None, *, random_rois=2000, seed=0, limit=30):
    """Draw one image on its way through training: anchors, sampled regions, mask targets, and what is detected.

    Args:
        dataset: Dataset, prepared.
        image_id: int. Position in it.
        settings: InspectionSettings, such as `engine.settings.inspection_settings(config)`.
        detect: function (list of images) -> list of results, such as `MaskRCNN.detect`; None draws no predictions.
        random_rois: int. Random regions, in the place of the RPN's proposals.
        seed: int. Of every random choice.
        limit: int. Most boxes of a kind in a picture.

    Returns:
        (figure, axes): matplotlib Figure, which nothing shows yet; array of Axes, six with `detect`, else five: ground
        truth, anchors (positive ones orange, negative ones blue), where their targets move them, ROIs (positive ones in
        the colour of their class, negative ones grey), mask targets, predictions. A class has one colour in all of them.

    Raises:
        DataError: the image or its instances are not usable.
    """
    stages = training_stages(dataset, image_id, settings, random_rois=random_rois, seed=seed)
    names, drawing = dataset.class_names, {"color_by": "class", "min_side": _NAMES_SIDE}
    truth = {"rois": stages.boxes, "class_ids": stages.class_ids, "masks": stages.full_masks()}
    positive = stages.roi_class_ids > 0
    pictures = [draw_detections(stages.image, truth, names, **drawing), *[stages.image] * 3, draw_mask_targets(stages, limit)]
    titles = [f"image {image_id}: {len(stages.class_ids)} instances",
              f"{len(stages.positive_anchors)} positive, {len(stages.negative_anchors)} negative anchors",
              "positive anchors, moved by their targets",
              f"{positive.sum()} of {len(positive)} ROIs positive",
              f"mask targets, {stages.roi_masks.shape[1]} pixels a side"]  # fmt: skip
    if detect is not None:
        image = dataset.load_image(image_id)
        found = detect([image])[0]
        pictures.append(draw_detections(image, found, names, **drawing))
        titles.append(f"{len(found['rois'])} predictions")
    figure, axes = picture_grid(pictures, titles)
    for kind, color in ((stages.negative_anchors, PALETTE[5]), (stages.positive_anchors, PALETTE[0])):
        add_boxes(axes[1], kind[spread(len(kind), limit)], color)
    chosen = spread(len(stages.refined_anchors), limit)
    add_boxes(axes[2], stages.refined_anchors[chosen], instance_colors(len(chosen)))
    for kind in (np.flatnonzero(~positive), np.flatnonzero(positive)):
        kind = kind[spread(len(kind), limit)]
        add_boxes(axes[3], stages.rois[kind], [class_color(c) for c in stages.roi_class_ids[kind]] or GREY)
    return figure, axes


def draw_rois(image, rois, refined_rois, mask, class_ids, class_names, limit=10):
    """Show proposals with their targets: dashed the proposal, solid the box it is to become, and its mask.

    Negative proposals are grey. Prints how many are positive and negative.

    Args:
        image: [H, W, C].
        rois: [R, 4] (y1, x1, y2, x2) pixels.
        refined_rois: [R, 4] pixels.
        mask: [R, M, M]. Mask targets over the proposals.
        class_ids: int [R]. 0 is negative.
        class_names: sequence of names by class id.
        limit: int. Of more proposals, so many are drawn, chosen at random.

    Returns:
        (figure, ax): matplotlib Figure and Axes.
    """
    rois, refined_rois, class_ids = np.asarray(rois), np.asarray(refined_rois), np.asarray(class_ids)
    canvas, labels = to_rgb(image), []
    # the classic API draws from NumPy's global generator: np.random.seed makes the choice repeatable
    chosen = np.random.choice(len(rois), limit, replace=False) if len(rois) > limit else np.arange(len(rois))
    ax, _ = get_axis(None, (12, 12))
    title = f"Showing {limit} random ROIs out of {len(rois)}" if len(rois) > limit else f"{len(rois)} ROIs"
    frame_image(ax, canvas.shape, title)
    for ix, color in zip(chosen, instance_colors(len(chosen))):
        if not class_ids[ix]:
            add_box(ax, rois[ix], GREY)
            continue
        add_box(ax, rois[ix], color)
        y1, x1, y2, x2 = rois[ix][:4]
        ry1, rx1 = refined_rois[ix][:2]
        add_box(ax, refined_rois[ix], color, linestyle="solid", alpha=1.0)
        ax.plot([x1, rx1], [y1, ry1], color=color)
        labels.append(Label(instance_text(class_ids[ix], class_names), tuple(refined_rois[ix][:4]), color))
        if int(y2) > int(y1) and int(x2) > int(x1):
            full = np.zeros(canvas.shape[:2], bool)
            paste_mask(mask[ix], rois[ix][:4].astype(np.int32), full)
            apply_mask(canvas, full, color)
    ax.imshow(canvas)
    add_captions(ax, labels, canvas.shape)
    positive = int((class_ids > 0).sum())
    print("Positive ROIs: ", positive)
    print("Negative ROIs: ", int((class_ids == 0).sum()))
    print(f"Positive Ratio: {positive / max(len(class_ids), 1):.2f}")
    show()
    return ax.figure, ax
