"""Figures of what goes on inside the training pipeline: a sample from image to prediction, proposals with their targets,
masks by class.

Legend: H W image, C channels, R rois, N instances, M side of the mask targets.
"""

import numpy as np

from mrcnn.geometry.masks import paste_mask
from mrcnn.loading.inspection import training_stages
from mrcnn.viz.colors import GREY, PALETTE, class_color, instance_colors
from mrcnn.viz.draw import apply_mask, cut_mask, draw_detections, list_masks, to_rgb
from mrcnn.viz.figure import add_boxes, frame_image, get_axis, picture_grid, show, spread
from mrcnn.viz.instances import add_box, display_images
from mrcnn.viz.labels import Label, add_captions, instance_text
from mrcnn.viz.training_stages import draw_mask_targets

# pixels: small images are enlarged to this, so that names on them are readable and cover little
_NAMES_SIDE = 640


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


def display_top_masks(image, mask, class_ids, class_names, limit=4):
    """Show an image, and beside it the masks of the classes that cover most of it.

    Args:
        image: [H, W, C].
        mask: [H, W, N].
        class_ids: int [N].
        class_names: sequence of names by class id.
        limit: int. How many classes; where there are fewer, empty pictures fill the row.

    Returns:
        (figure, axes): matplotlib Figure; array of Axes, one a picture.
    """
    masks, class_ids = list_masks(np.asarray(mask)), np.asarray(class_ids)
    # each instance by itself: of many on a large image, a copy of those of a class takes seconds
    sizes = np.array([np.count_nonzero(one) for one in masks], np.int64)
    canvas = to_rgb(image)
    pictures, titles = [canvas], [f"H x W={canvas.shape[0]}x{canvas.shape[1]}"]
    areas = {c: int(sizes[class_ids == c].sum()) for c in np.unique(class_ids)}
    top = [c for c in sorted(areas, key=areas.get, reverse=True) if areas[c]][:limit]
    for class_id in top:
        of_class = np.flatnonzero(class_ids == class_id)
        # each instance in a shade of its own, the later one on top
        shades = np.zeros(canvas.shape[:2], np.uint8)
        for rank, ix in enumerate(of_class, start=1):
            part, y1, x1 = cut_mask(masks[ix])
            shades[y1 : y1 + part.shape[0], x1 : x1 + part.shape[1]][part] = 55 + 200 * rank // len(of_class)
        pictures.append(shades)
        titles.append(instance_text(class_id, class_names))
    for _ in range(limit - len(top)):
        pictures.append(np.zeros(canvas.shape[:2], np.uint8))
        titles.append("-")
    return display_images(pictures, titles=titles, cols=limit + 1, cmap="Blues_r")
