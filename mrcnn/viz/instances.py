"""Figures of images with their instances.

Legend: H W image, C channels, N instances.
"""

import numpy as np
from matplotlib import pyplot as plt

from mrcnn.evaluation.per_image import NO_MATCH, compute_matches
from mrcnn.viz.colors import GREY, GROUND_TRUTH, PREDICTION, instance_colors
from mrcnn.viz.draw import apply_mask, cut_mask, list_masks, to_rgb
from mrcnn.viz.figure import add_box, add_mask_outline, frame_image, get_axis, show
from mrcnn.viz.labels import Label, add_captions, instance_text


def display_images(images, titles=None, cols=4, cmap=None, norm=None, interpolation=None):
    """Show images side by side, in rows.

    Args:
        images: list of images as `draw.to_rgb` takes them. Those of one channel keep their values, for the colour map.
        titles: list of str, or None.
        cols: int. Images in a row.
        cmap: matplotlib colour map for images of one channel.
        norm: matplotlib Normalize for images of one channel.
        interpolation: as of `Axes.imshow`.

    Returns:
        (figure, axes): matplotlib Figure; array of Axes, one an image.
    """
    images = list(images)
    titles = list(titles) if titles is not None else [""] * len(images)
    cols = max(1, cols)
    rows = max(1, -(-len(images) // cols))
    figure = plt.figure(figsize=(14, 14 * rows / cols))
    axes = []
    for position, (image, title) in enumerate(zip(images, titles), start=1):
        ax = figure.add_subplot(rows, cols, position)
        axes.append(ax)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
        image = np.asarray(image)
        image = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
        # a mask that is true throughout would take the colour of 0
        limits = {"vmin": 0, "vmax": 1} if image.dtype == bool and norm is None else {}
        image = to_rgb(image) if image.ndim == 3 else image.astype(np.uint8) if image.dtype == bool else image
        ax.imshow(image, cmap=cmap, norm=norm, interpolation=interpolation, **limits)
    show()
    return figure, np.array(axes, dtype=object)


def display_instances(
    image,
    boxes,
    masks,
    class_ids,
    class_names,
    scores=None,
    title="",
    figsize=(16, 16),
    ax=None,
    show_mask=True,
    show_bbox=True,
    colors=None,
    captions=None,
):
    """Show an image with its instances: boxes, masks, names and scores.

    Args:
        image: [H, W] or [H, W, C], as `draw.to_rgb` takes it.
        boxes: [N, 4] (y1, x1, y2, x2) pixels. An instance whose box is all zero is left out: it was lost in cropping.
        masks: bool [H, W, N], a list of N COCO RLE dicts, or None.
        class_ids: int [N].
        class_names: sequence of names by class id.
        scores: float [N], or None.
        title: str.
        figsize: (width, height) in inches, of a new figure.
        ax: matplotlib Axes to draw on; without one, a new figure is made and shown.
        show_mask, show_bbox: bools.
        colors: list of N (red, green, blue) in 0..1, or None.
        captions: list of N texts in place of name and score, or None.

    Returns:
        (figure, ax): matplotlib Figure and Axes.

    Raises:
        ValueError: boxes, masks and class ids differ in number.

    Differs: captions are moved where they would cover one another.
    """
    boxes, class_ids = np.asarray(boxes).reshape(-1, 4), np.asarray(class_ids).reshape(-1)
    masks, count = list_masks(masks), len(boxes)
    if len(class_ids) != count or (masks and len(masks) != count):
        raise ValueError(f"{count} boxes, {len(class_ids)} class ids, {len(masks)} masks: expected equal numbers")
    if not count:
        print("\n*** No instances to display *** \n")
    ax, is_new = get_axis(ax, figsize)
    colors = instance_colors(count) if colors is None else [tuple(color) for color in colors]
    canvas, labels = to_rgb(image), []
    frame_image(ax, canvas.shape, title)
    for ix in range(count):
        if not np.any(boxes[ix]):
            continue
        if show_bbox:
            add_box(ax, boxes[ix], colors[ix])
        if masks and show_mask:
            apply_mask(canvas, masks[ix], colors[ix])
            add_mask_outline(ax, masks[ix], colors[ix])
        if captions is None:
            text = instance_text(class_ids[ix], class_names, None if scores is None else scores[ix])
        else:
            text = captions[ix]
        labels.append(Label(text, tuple(boxes[ix]), colors[ix]))
    ax.imshow(canvas)
    add_captions(ax, labels, canvas.shape)
    if is_new:
        show()
    return ax.figure, ax


def display_differences(
    image,
    gt_box,
    gt_class_id,
    gt_mask,
    pred_box,
    pred_class_id,
    pred_score,
    pred_mask,
    class_names,
    title="",
    ax=None,
    show_mask=True,
    show_box=True,
    iou_threshold=0.5,
    score_threshold=0.5,
):
    """Show ground truth and predictions of an image together: ground truth blue, predictions orange.

    The caption of a prediction is its score / its IoU with the object that it matches, or else with the nearest one.

    Args:
        image: [H, W, C].
        gt_box, gt_class_id, gt_mask: int [G, 4], int [G], bool [H, W, G].
        pred_box, pred_class_id, pred_score, pred_mask: int [N, 4], int [N], float [N] or None, bool [H, W, N].
        class_names: sequence of names by class id.
        title: str; default says what the colours mean.
        ax: matplotlib Axes, or None for a new figure.
        show_mask, show_box: bools.
        iou_threshold, score_threshold: floats, as in `evaluation.per_image.compute_matches`.

    Returns:
        (figure, ax): matplotlib Figure and Axes.

    Differs: the classic code drew green and red, which many people cannot tell apart.
    """
    gt_box, pred_box = np.asarray(gt_box).reshape(-1, 4), np.asarray(pred_box).reshape(-1, 4)
    gt_class_id, pred_class_id = np.asarray(gt_class_id), np.asarray(pred_class_id)
    scores = np.ones(len(pred_box)) if pred_score is None else np.asarray(pred_score)
    _, pred_match, overlaps = compute_matches(
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, scores, pred_mask, iou_threshold, score_threshold
    )
    captions = [""] * (len(gt_box) + len(pred_box))
    best_first = np.argsort(scores[: len(pred_match)])[::-1]  # the order of the matches
    for row, (ix, match) in enumerate(zip(best_first, pred_match, strict=True)):
        iou = overlaps[row, match] if match != NO_MATCH else overlaps[row].max(initial=0.0)
        captions[len(gt_box) + ix] = f"{iou:.2f}" if pred_score is None else f"{scores[ix]:.2f} / {iou:.2f}"
    return display_instances(
        image,
        np.concatenate([gt_box, pred_box]),
        list_masks(np.asarray(gt_mask)) + list_masks(np.asarray(pred_mask)),
        np.concatenate([gt_class_id, pred_class_id]),
        class_names,
        ax=ax,
        title=title or "Ground truth and detections\n blue: ground truth, orange: detection, caption: score / IoU",
        show_mask=show_mask,
        show_bbox=show_box,
        colors=[GROUND_TRUTH] * len(gt_box) + [PREDICTION] * len(pred_box),
        captions=captions,
    )


# How a box is drawn by its visibility: 0 hardly, 1 dotted, 2 in full; None without visibilities.
_BOX_STYLES = {
    None: {"linestyle": "dashed", "alpha": 1.0},
    0: {"linestyle": "dotted", "alpha": 0.5},
    1: {"linestyle": "dotted", "alpha": 1.0},
    2: {"linestyle": "solid", "alpha": 1.0},
}


def draw_boxes(
    image, boxes=None, refined_boxes=None, masks=None, captions=None, visibilities=None, title="", ax=None
):
    """Show boxes and how they were refined, with masks and captions as far as given.

    Args:
        image: [H, W, C].
        boxes: [N, 4] (y1, x1, y2, x2) pixels, or None. Boxes that are all zero are left out.
        refined_boxes: [N, 4] or None. Drawn in full lines, a line joins each to its box.
        masks: bool [H, W, N], a list of N RLE dicts, or None.
        captions: list of N texts, or None.
        visibilities: list of N of 0 (grey, dotted), 1 (dotted) and 2 (in full), or None.
        title: str.
        ax: matplotlib Axes; without one, a new figure is made and shown.

    Returns:
        (figure, ax): matplotlib Figure and Axes.

    Raises:
        ValueError: neither boxes nor refined boxes.
    """
    if boxes is None and refined_boxes is None:
        raise ValueError("draw_boxes needs boxes, refined_boxes or both")
    count = len(boxes) if boxes is not None else len(refined_boxes)
    ax, is_new = get_axis(ax, (12, 12))
    canvas, masks, labels = to_rgb(image), list_masks(masks), []
    frame_image(ax, canvas.shape, title)
    for ix, color in enumerate(instance_colors(count)):
        visibility = None if visibilities is None else int(visibilities[ix])
        color = GREY if visibility == 0 else color
        box = None
        if boxes is not None:
            if not np.any(boxes[ix]):
                continue
            box = boxes[ix]
            add_box(ax, box, color, **_BOX_STYLES[visibility])
        if refined_boxes is not None:
            refined = np.asarray(refined_boxes[ix]).astype(np.int32)
            add_box(ax, refined, color, linestyle="solid", alpha=1.0)
            if box is not None:
                ax.plot([box[1], refined[1]], [box[0], refined[0]], color=color)
            box = refined
        if captions is not None:
            labels.append(Label(str(captions[ix]), tuple(box), color))
        if masks:
            apply_mask(canvas, masks[ix], color)
            add_mask_outline(ax, masks[ix], color)
    ax.imshow(canvas)
    add_captions(ax, labels, canvas.shape)
    if is_new:
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
