"""The stages of a training sample: anchors, ROIs and their targets.

Most functions draw a `loading.inspection.TrainingStages`; they return a figure with its axes, without showing it. `draw_rois`,
of the classic API, takes plain arrays and shows its figure.

Shape letters: H W C image, R ROIs, M side of the mask targets.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Integer, Num, Shaped, UInt8
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from mrcnn.datasets.dataset import Dataset
from mrcnn.geometry.masks import expand_mask, paste_mask
from mrcnn.geometry.meta import parse_image_meta
from mrcnn.loading.inspection import InspectionSettings, PositiveFractions, TrainingStages, training_stages
from mrcnn.loading.loader import Loader
from mrcnn.viz.colors import GREY, GROUND_TRUTH, PALETTE, PREDICTION, class_color, instance_colors
from mrcnn.viz.draw import apply_mask, draw_detections, to_rgb
from mrcnn.viz.figure import add_box, add_boxes, frame_image, get_axis, picture_grid, show, show_around, spread
from mrcnn.viz.fonts import figure_text
from mrcnn.viz.labels import Label, add_captions, instance_text

# in pixels: smaller images are enlarged to this, so that names are legible and cover little of the image
_MIN_SIDE = 640
# side of the window around anchors, as a multiple of the side of the square anchor
_WINDOW = 4


def anchor_levels_figure(
    image: Shaped[np.ndarray, "H W *C"], settings: InspectionSettings
) -> tuple[Figure, np.ndarray]:
    """Draw the anchors of the cell in the middle of the image, in one picture per pyramid level.

    The pictures differ in scale. Their titles give the number of anchors of the level.

    Args:
        image: input of the network.
    """
    middle, start, centred, titles, sides = np.array(image.shape[:2]) / 2, 0, [], [], []
    levels = zip(settings.level_counts, settings.level_shapes, settings.scales, strict=True)
    for level, (count, (height, width), scale) in enumerate(levels):
        anchors = settings.targets.anchors[start : start + count]
        distance = np.abs((anchors[:, :2] + anchors[:, 2:]) / 2 - middle).sum(axis=1)
        boxes = anchors[np.isclose(distance, distance.min())]
        side = round(max(min(_WINDOW * scale, max(image.shape[:2])), np.ptp(boxes) * 1.1))
        centred.append(boxes)
        sides.append(side)
        titles.append(f"level {level}: {count} anchors of {scale} pixels\n"
                      f"map {height} x {width}; window {side} x {side}")  # fmt: skip
        start += count
    figure, axes = picture_grid([image] * len(centred), titles, columns=len(centred), width=3.0)
    for ax, boxes, side in zip(axes, centred, sides, strict=True):
        add_boxes(ax, boxes, instance_colors(len(boxes)), linewidth=1.8)
        show_around(ax, middle, side)
    return figure, axes


def anchor_targets_figure(stages: TrainingStages, limit: int = 50) -> tuple[Figure, np.ndarray]:
    """Draw the positive, negative and neutral anchors in three pictures, up to `limit` in each."""
    kinds = {"positive": (stages.positive_anchors, PALETTE[0]), "negative": (stages.negative_anchors, PALETTE[5]),
             "neutral": (stages.neutral_anchors, PALETTE[2])}  # fmt: skip
    titles = [f"{len(boxes)} {kind} anchors" + (f", {limit} of them shown" if len(boxes) > limit else "")
              for kind, (boxes, _) in kinds.items()]  # fmt: skip
    figure, axes = picture_grid([stages.image] * 3, titles)
    for ax, (boxes, color) in zip(axes, kinds.values(), strict=True):
        add_boxes(ax, boxes[spread(len(boxes), limit)], color)
    return figure, axes


def refined_anchors_figure(stages: TrainingStages, limit: int = 50) -> tuple[Figure, np.ndarray]:
    """Draw up to `limit` positive anchors, before and after refinement by their targets, which moves them onto the objects."""
    chosen = spread(len(stages.positive_anchors), limit)
    titles = [f"{len(chosen)} of {len(stages.positive_anchors)} positive anchors", "refined by their targets"]
    figure, axes = picture_grid([stages.image] * 2, titles, width=5.5)
    colors = instance_colors(len(chosen))
    for ax, boxes in zip(axes, (stages.positive_anchors, stages.refined_anchors), strict=True):
        add_boxes(ax, boxes[chosen], colors, linewidth=1.8)
    return figure, axes


def roi_targets_figure(
    stages: TrainingStages, class_names: Sequence[str] | None, limit: int = 20
) -> tuple[Figure, np.ndarray]:
    """Draw the ROIs that the heads train on: positive ROIs before and after refinement by their targets, and negative ROIs.

    Args:
        class_names: by class id.
        limit: maximum number of ROIs per picture.
    """
    positive, negative = (np.flatnonzero(kind) for kind in (stages.roi_class_ids > 0, stages.roi_class_ids == 0))
    count = len(stages.rois)
    titles = [f"{len(positive)} of {count} ROIs positive", "refined by their targets",
              f"{len(negative)} negative ({stages.unique_fraction:.0%} of all ROIs unique)"]  # fmt: skip
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


def mask_targets_figure(
    stages: TrainingStages, class_names: Sequence[str] | None, limit: int = 8
) -> tuple[Figure, np.ndarray]:
    """Draw each positive ROI in a column: its image crop, and its mask target.

    Args:
        class_names: by class id.
        limit: maximum number of ROIs.

    Returns:
        The figure, and an array of axes [2, n]; [2, 1] if no ROI is positive.
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
        axes[0, column].imshow(crop)
        name = figure_text(instance_text(stages.roi_class_ids[ix], class_names))
        axes[0, column].set_title(f"{name}\n{y2 - y1} x {x2 - x1}", fontsize=8)
        # stretched to the proportions of the ROI, to match the picture above
        axes[1, column].imshow(stages.roi_masks[ix], cmap="Blues_r", vmin=0, vmax=1, interpolation="nearest",
                               extent=(0, crop.shape[1], crop.shape[0], 0))  # fmt: skip
    if not len(chosen):
        axes[0, 0].set_title("no positive ROI", fontsize=8)
    return figure, axes


def draw_mask_targets(stages: TrainingStages, limit: int = 30) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the mask targets of up to `limit` positive ROIs over the image, each pasted into its ROI."""
    canvas = to_rgb(stages.image)
    positive = np.flatnonzero(stages.roi_class_ids > 0)
    chosen = positive[spread(len(positive), limit)]
    # the masks of a class are blended only once, because several ROIs of one object would make it opaque
    for class_id in np.unique(stages.roi_class_ids[chosen]):
        covered = np.zeros(canvas.shape[:2], bool)
        for ix in chosen[stages.roi_class_ids[chosen] == class_id]:
            full = np.zeros_like(covered)
            paste_mask(stages.roi_masks[ix], stages.rois[ix], full)
            covered |= full
        apply_mask(canvas, covered, class_color(class_id))
    return canvas


def positive_fraction_figure(fractions: PositiveFractions) -> tuple[Figure, Axes]:
    """Draw a histogram over images of the fraction of ROIs that are positive, with its mean."""
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    ax.hist(fractions.fractions, bins=40, range=(0, 1), color=GROUND_TRUTH)
    ax.set_xlabel(f"fraction of positive ROIs among {fractions.rois}")
    ax.set_ylabel("images")
    if fractions.fractions:
        ax.axvline(fractions.mean, color=PREDICTION, linewidth=2, label=f"mean {fractions.mean:.3f}")
        ax.legend()
    return figure, ax


def inspect_sample(
    dataset: Dataset,
    image_id: int | np.integer,
    settings: InspectionSettings,
    detect: Callable[[list[np.ndarray]], Sequence[Mapping[str, Any]]] | None = None,
    *,
    random_rois: int = 2000,
    seed: int = 0,
    limit: int = 30,
) -> tuple[Figure, np.ndarray]:
    """Draw one image at each stage of training: ground truth, anchors, ROIs, mask targets, and predictions.

    Args:
        dataset: prepared.
        image_id: index in the data set.
        settings: for example from `training.settings.inspection_settings`.
        detect: for example `MaskRCNN.detect`; None draws no predictions.
        random_rois: number of random ROIs, which replace the RPN's proposals.
        seed: for all random choices.
        limit: maximum number of boxes of each kind per picture.

    Returns:
        The figure, and an array with the axes of each picture: ground truth, anchors (positive orange, negative blue),
        anchors refined by their targets, ROIs (positive in the colour of their class, negative grey), mask targets, and
        with `detect`, predictions. A class has the same colour in all of them.

    Raises:
        DataError: the image or its instances are not usable.
    """
    stages = training_stages(dataset, image_id, settings, random_rois=random_rois, seed=seed)
    names = dataset.class_names
    truth = {"rois": stages.boxes, "class_ids": stages.class_ids, "masks": stages.full_masks()}
    positive = stages.roi_class_ids > 0
    pictures = [draw_detections(stages.image, truth, names, color_by="class", min_side=_MIN_SIDE),
                *[stages.image] * 3, draw_mask_targets(stages, limit)]  # fmt: skip
    titles = [f"image {image_id}: {len(stages.class_ids)} instances",
              f"{len(stages.positive_anchors)} positive, {len(stages.negative_anchors)} negative anchors",
              "positive anchors, refined by their targets",
              f"{positive.sum()} of {len(positive)} ROIs positive",
              f"mask targets of {stages.roi_masks.shape[1]} x {stages.roi_masks.shape[2]} pixels"]  # fmt: skip
    if detect is not None:
        image = dataset.load_image(image_id)
        result = detect([image])[0]
        pictures.append(draw_detections(image, result, names, color_by="class", min_side=_MIN_SIDE))
        titles.append(f"{len(result['rois'])} predictions")
    figure, axes = picture_grid(pictures, titles)
    for kind, color in ((stages.negative_anchors, PALETTE[5]), (stages.positive_anchors, PALETTE[0])):
        add_boxes(axes[1], kind[spread(len(kind), limit)], color)
    chosen = spread(len(stages.refined_anchors), limit)
    add_boxes(axes[2], stages.refined_anchors[chosen], instance_colors(len(chosen)))
    for kind in (np.flatnonzero(~positive), np.flatnonzero(positive)):
        kind = kind[spread(len(kind), limit)]
        add_boxes(axes[3], stages.rois[kind], [class_color(c) for c in stages.roi_class_ids[kind]] or GREY)
    return figure, axes


def training_samples_figure(loader: Loader, names: Sequence[str], count: int = 8) -> tuple[Figure, np.ndarray]:
    """Draw the first samples of a training run with their instances: what augmentation, scaling and pasting make of the images.

    Args:
        loader: for example from `training.settings.training_loader`.
        names: class names, background first.
        count: number of samples; fewer are drawn if a pass has fewer.

    Returns:
        The figure, and an array with the axes of each picture.

    Raises:
        DataError: no image of the data set can be used.
    """
    pictures, titles = [], []
    for position in range(min(count, loader.num_samples)):
        sample = loader.sample(0, position)
        masks = np.moveaxis(sample.masks, 0, -1)
        if loader.sample_settings.mini_mask_shape is not None:
            masks = expand_mask(sample.boxes, masks, sample.image.shape)
        instances = {"rois": sample.boxes, "class_ids": sample.class_ids, "masks": masks}
        pictures.append(draw_detections(to_rgb(sample.image), instances, names, color_by="class", min_side=_MIN_SIDE))
        image_id = int(parse_image_meta(sample.image_meta[None])["image_id"][0])
        titles.append(f"image {image_id}: {len(sample.class_ids)} instances")
    return picture_grid(pictures, titles)


def draw_rois(
    image: npt.ArrayLike,
    rois: Num[np.ndarray, "R 4"],
    refined_rois: Num[np.ndarray, "R 4"],
    mask: Shaped[np.ndarray, "R M M"],
    class_ids: Integer[np.ndarray, " R"],
    class_names: Sequence[str] | None,
    limit: int = 10,
) -> tuple[Figure | SubFigure, Axes]:
    """Show ROIs (dashed) with their targets: refined boxes (solid) and masks. Negative ROIs are grey.

    Prints how many ROIs are positive and negative.

    Args:
        rois, refined_rois: (y1, x1, y2, x2) in pixels.
        mask: mask targets, each covering its ROI.
        class_ids: 0 for a negative ROI.
        class_names: by class id.
        limit: maximum number of ROIs; of more, a random sample is drawn.
    """
    rois, refined_rois, class_ids = np.asarray(rois), np.asarray(refined_rois), np.asarray(class_ids)
    canvas, labels = to_rgb(image), []
    # from NumPy's global generator, as in the classic API, so that np.random.seed makes the sample reproducible
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
