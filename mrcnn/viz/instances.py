"""Figures of images with their instances.

Shape letters: H W image, C channels, N instances, G ground-truth objects.
"""

from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsInt

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, Num, Shaped
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from mrcnn.evaluation.per_image import NO_MATCH, compute_matches
from mrcnn.viz.colors import GREY, GROUND_TRUTH, PREDICTION, instance_colors
from mrcnn.viz.draw import Masks, apply_mask, cut_mask, list_masks, to_rgb
from mrcnn.viz.figure import Inches, add_box, add_mask_outline, frame_image, get_axis, show
from mrcnn.viz.fonts import figure_text
from mrcnn.viz.labels import Label, add_captions, instance_text


def display_images(
    images: Sequence[npt.ArrayLike] | Shaped[np.ndarray, "n H W *C"],
    titles: Sequence[str] | None = None,
    cols: int = 4,
    cmap: Any = None,
    norm: Any = None,
    interpolation: str | None = None,
) -> tuple[Figure, np.ndarray]:
    """Show images in rows.

    Args:
        images: any that `draw.to_rgb` accepts. Single-channel images keep their values, for the colour map.
        cols: images per row.
        cmap, norm: matplotlib colour map and Normalize for single-channel images.
        interpolation: see `Axes.imshow`.

    Returns:
        The figure, and an array with the axes of each image.
    """
    images = list(images)
    titles = [""] * len(images) if titles is None else titles
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
        # without limits, a mask that is True everywhere would get the colour of 0
        limits: dict[str, Any] = {"vmin": 0, "vmax": 1} if image.dtype == bool and norm is None else {}
        image = to_rgb(image) if image.ndim == 3 else image.astype(np.uint8) if image.dtype == bool else image
        ax.imshow(image, cmap=cmap, norm=norm, interpolation=interpolation, **limits)
    show()
    return figure, np.array(axes, dtype=object)


def display_instances(
    image: npt.ArrayLike,
    boxes: npt.ArrayLike,
    masks: Masks | None,
    class_ids: npt.ArrayLike,
    class_names: Sequence[str] | None,
    scores: Sequence[SupportsFloat] | Num[np.ndarray, " N"] | None = None,
    title: str = "",
    figsize: Inches = (16, 16),
    ax: Axes | None = None,
    show_mask: bool = True,
    show_bbox: bool = True,
    colors: Sequence[Sequence[SupportsFloat]] | Num[np.ndarray, "N 3"] | None = None,
    captions: Sequence[str] | None = None,
) -> tuple[Figure | SubFigure, Axes]:
    """Show an image with its instances: boxes, masks, names and scores.

    Args:
        image: any that `draw.to_rgb` accepts.
        boxes: [N, 4] (y1, x1, y2, x2) in pixels. An instance with an all-zero box is skipped: it was cropped away.
        masks: [H, W, N] or N COCO RLE; None draws no masks.
        class_ids: [N].
        class_names: by class id.
        figsize: of a new figure.
        ax: axes to draw on; None makes a new figure and shows it.
        colors: (red, green, blue) in 0..1 of each instance; None chooses them.
        captions: N texts; None writes names and scores.

    Raises:
        ValueError: the numbers of boxes, masks and class ids differ.

    Differs: captions are moved so that they do not cover one another.
    """
    boxes, class_ids = np.asarray(boxes).reshape(-1, 4), np.asarray(class_ids).reshape(-1)
    single_masks, count = list_masks(masks), len(boxes)
    if len(class_ids) != count or (single_masks and len(single_masks) != count):
        raise ValueError(f"{count} boxes, {len(class_ids)} class ids, {len(single_masks)} masks: expected equal numbers")
    if not count:
        print("\n*** No instances to display *** \n")
    ax, is_new = get_axis(ax, figsize)
    shades = instance_colors(count) if colors is None else [tuple(color) for color in colors]
    canvas, labels = to_rgb(image), []
    frame_image(ax, canvas.shape, title)
    for ix in range(count):
        if not np.any(boxes[ix]):
            continue
        if show_bbox:
            add_box(ax, boxes[ix], shades[ix])
        if single_masks:
            if show_mask:
                apply_mask(canvas, single_masks[ix], shades[ix])
            add_mask_outline(ax, single_masks[ix], shades[ix])
        if captions is None:
            text = instance_text(class_ids[ix], class_names, None if scores is None else scores[ix])
        else:
            text = captions[ix]
        labels.append(Label(text, tuple(boxes[ix]), shades[ix]))
    ax.imshow(canvas)
    add_captions(ax, labels, canvas.shape)
    if is_new:
        show()
    return ax.figure, ax


def display_differences(
    image: npt.ArrayLike,
    gt_box: Num[np.ndarray, "G 4"],
    gt_class_id: Integer[np.ndarray, " _"],
    gt_mask: Shaped[np.ndarray, "_ _ _"],
    pred_box: Num[np.ndarray, "N 4"],
    pred_class_id: Integer[np.ndarray, " _"],
    pred_score: Num[np.ndarray, " _"] | None,
    pred_mask: Shaped[np.ndarray, "_ _ _"],
    class_names: Sequence[str] | None,
    title: str = "",
    ax: Axes | None = None,
    show_mask: bool = True,
    show_box: bool = True,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.5,
) -> tuple[Figure | SubFigure, Axes]:
    """Show the ground truth (blue) and the predictions (orange) of an image together.

    The caption of a prediction gives its score and its IoU with the object it matches, or, without a match, its largest IoU.

    Args:
        gt_box, pred_box: (y1, x1, y2, x2) in pixels. All-zero rows at the end are padding.
        gt_mask, pred_mask: [H, W, number of boxes]; H and W may be 0 without objects.
        pred_score: None treats all predictions as equally confident.
        class_names: by class id.
        title: "" uses a title that explains the colours.
        ax: axes to draw on; None makes a new figure and shows it.
        iou_threshold, score_threshold: see `evaluation.per_image.compute_matches`.

    Differs: the classic code used green and red, which many people cannot distinguish.
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


# style of a box by visibility: 0 faint, 1 dotted, 2 solid; None if no visibilities are given
_BOX_STYLES = {
    None: {"linestyle": "dashed", "alpha": 1.0},
    0: {"linestyle": "dotted", "alpha": 0.5},
    1: {"linestyle": "dotted", "alpha": 1.0},
    2: {"linestyle": "solid", "alpha": 1.0},
}


def draw_boxes(
    image: npt.ArrayLike,
    boxes: npt.ArrayLike | None = None,
    refined_boxes: npt.ArrayLike | None = None,
    masks: Masks | None = None,
    captions: Sequence[object] | None = None,
    visibilities: Sequence[SupportsInt] | Integer[np.ndarray, " N"] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> tuple[Figure | SubFigure, Axes]:
    """Show boxes, and optionally their refined boxes, masks and captions.

    Args:
        boxes: [N, 4] (y1, x1, y2, x2) in pixels. All-zero boxes are skipped.
        refined_boxes: [N, 4], drawn solid, with a line from each box to its refined box.
        masks: [H, W, N] or N COCO RLE.
        captions: N texts.
        visibilities: 0 (grey, dotted), 1 (dotted) or 2 (solid) for each box.
        ax: axes to draw on; None makes a new figure and shows it.

    Raises:
        ValueError: neither boxes nor refined boxes are given.
    """
    starts, refined = (None if rows is None else np.asarray(rows).reshape(-1, 4) for rows in (boxes, refined_boxes))
    given = refined if starts is None else starts
    if given is None:
        raise ValueError("draw_boxes needs boxes, refined_boxes or both")
    ax, is_new = get_axis(ax, (12, 12))
    canvas, single_masks, labels = to_rgb(image), list_masks(masks), []
    frame_image(ax, canvas.shape, title)
    for ix, color in enumerate(instance_colors(len(given))):
        if starts is not None and not starts[ix].any():
            continue
        box = given[ix]
        visibility = None if visibilities is None else int(visibilities[ix])
        color = GREY if visibility == 0 else color
        if starts is not None:
            add_box(ax, box, color, **_BOX_STYLES[visibility])
        if refined is not None:
            start, box = box, refined[ix].astype(np.int32)
            add_box(ax, box, color, linestyle="solid", alpha=1.0)
            if starts is not None:
                ax.plot([start[1], box[1]], [start[0], box[0]], color=color)
        if captions is not None:
            labels.append(Label(str(captions[ix]), tuple(box), color))
        if single_masks:
            apply_mask(canvas, single_masks[ix], color)
            add_mask_outline(ax, single_masks[ix], color)
    ax.imshow(canvas)
    add_captions(ax, labels, canvas.shape)
    if is_new:
        show()
    return ax.figure, ax


def display_top_masks(
    image: npt.ArrayLike,
    mask: Shaped[np.ndarray, "H W N"],
    class_ids: Integer[np.ndarray, " N"],
    class_names: Sequence[str] | None,
    limit: int = 4,
) -> tuple[Figure, np.ndarray]:
    """Show an image next to the masks of the classes that cover most of its pixels.

    Args:
        mask: non-zero inside each instance.
        class_names: by class id.
        limit: number of classes; if there are fewer, empty pictures fill the row.

    Returns:
        The figure, and an array with the axes of each picture.
    """
    masks, class_ids = np.moveaxis(np.asarray(mask), 2, 0), np.asarray(class_ids)
    # one instance at a time, because copying all masks of a class takes seconds for a large image with many instances
    sizes = np.array([np.count_nonzero(one) for one in masks], np.int64)
    canvas = to_rgb(image)
    pictures, titles = [canvas], [f"H x W={canvas.shape[0]}x{canvas.shape[1]}"]
    areas = {c: int(sizes[class_ids == c].sum()) for c in np.unique(class_ids)}
    top = [c for c in sorted(areas, key=lambda c: areas[c], reverse=True) if areas[c]][:limit]
    for class_id in top:
        of_class = np.flatnonzero(class_ids == class_id)
        # a different shade for each instance, later instances on top
        shades = np.zeros(canvas.shape[:2], np.uint8)
        for rank, ix in enumerate(of_class, start=1):
            part, y1, x1 = cut_mask(masks[ix])
            shades[y1 : y1 + part.shape[0], x1 : x1 + part.shape[1]][part] = 55 + 200 * rank // len(of_class)
        pictures.append(shades)
        titles.append(figure_text(instance_text(class_id, class_names)))
    for _ in range(limit - len(top)):
        pictures.append(np.zeros(canvas.shape[:2], np.uint8))
        titles.append("-")
    return display_images(pictures, titles=titles, cols=limit + 1, cmap="Blues_r")
