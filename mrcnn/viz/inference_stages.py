"""The stages of detection on one image, from anchors to masks.

They are the attributes of `training.inspection.InferenceStages`; boxes are (y1, x1, y2, x2) in image pixels. Each function
returns a figure with its axes, without showing it.

Shape letters: H W C image, A anchors, N anchors before non-maximum suppression, P proposals, K classes with background,
D detections, M side of a mask.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Num, Shaped
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mrcnn.viz.colors import GREY, PALETTE, class_color, instance_colors
from mrcnn.viz.draw import apply_mask, list_masks, to_rgb
from mrcnn.viz.figure import add_boxes, picture_grid
from mrcnn.viz.fonts import figure_text
from mrcnn.viz.labels import Label, add_captions, instance_text

_BINS = 50
# maximum number of classes in a bar chart
_MAX_CLASSES = 20


def rpn_scores_figure(scores: Num[np.ndarray, " A"], level_counts: Sequence[int]) -> tuple[Figure, np.ndarray]:
    """Draw a histogram of the RPN's scores for each pyramid level, with counts on a logarithmic scale.

    Args:
        level_counts: number of anchors of each level, in the order of the scores.
    """
    levels = len(level_counts)
    figure, axes = plt.subplots(1, levels, figsize=(2.8 * levels, 2.6), squeeze=False, layout="constrained")
    parts = np.split(np.asarray(scores), np.cumsum(level_counts)[:-1])
    for level, (ax, part) in enumerate(zip(axes.flat, parts, strict=True)):
        ax.hist(part, bins=_BINS, range=(0, 1), log=True, color=PALETTE[5])
        ax.set_title(f"level {level}: {len(part)} anchors\n{np.count_nonzero(part > 0.5)} above 0.5", fontsize=9)
        ax.set_xlabel("score", fontsize=8)
        ax.set_ylim(bottom=0.5)  # so that a single anchor is visible, and all levels start at the same height
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(labelsize=7.0)
    return figure, axes[0]


def top_anchors_figure(
    image: Shaped[np.ndarray, "H W *C"],
    anchors: Num[np.ndarray, "N 4"],
    scores: Num[np.ndarray, " N"] | None = None,
    limit: int = 50,
) -> tuple[Figure, np.ndarray]:
    """Draw the anchors with the highest RPN scores, before refinement. Brighter boxes have higher scores.

    Args:
        anchors: by descending score.
        limit: maximum number of anchors.
    """
    count = min(limit, len(anchors))
    score_range = f", scores {scores[0]:.3f} to {scores[count - 1]:.3f}" if scores is not None and count else ""
    figure, axes = picture_grid([image], [f"the best {count} of {len(anchors)} anchors{score_range}"], width=7.0)
    shades = plt.get_cmap("viridis")(np.linspace(0, 1, count))
    add_boxes(axes[0], np.asarray(anchors)[:count][::-1], shades)  # the best on top
    return figure, axes


def refinement_figure(
    image: Shaped[np.ndarray, "H W *C"],
    anchors: Num[np.ndarray, "N 4"],
    refined: Num[np.ndarray, "N 4"],
    clipped: Num[np.ndarray, "N 4"],
    limit: int = 50,
) -> tuple[Figure, np.ndarray]:
    """Draw the top-scoring anchors as generated, as refined by the RPN, and as clipped to the image, in three pictures.

    Args:
        anchors, refined, clipped: rows correspond, by descending score. An anchor has the same colour in all pictures.
        limit: maximum number of anchors.
    """
    titles = [f"the best {min(limit, len(anchors))} anchors", "refined by the RPN", "clipped"]
    figure, axes = picture_grid([image] * 3, titles)
    for ax, boxes in zip(axes, (anchors, refined, clipped), strict=True):
        add_boxes(ax, boxes[:limit], instance_colors(len(boxes[:limit])))
    return figure, axes


def proposals_figure(
    image: Shaped[np.ndarray, "H W *C"],
    before: Num[np.ndarray, "N 4"],
    proposals: Num[np.ndarray, "P 4"],
    limit: int = 100,
) -> tuple[Figure, np.ndarray]:
    """Draw the boxes before non-maximum suppression and the proposals after it, in two pictures.

    Args:
        before, proposals: by descending score.
        limit: maximum number of boxes per picture.
    """
    sets = {"before suppression": before, "proposals": proposals}
    titles = [f"{name}: the best {min(limit, len(boxes))} of {len(boxes)}" for name, boxes in sets.items()]
    figure, axes = picture_grid([image] * 2, titles, width=5.5)
    for ax, boxes in zip(axes, sets.values(), strict=True):
        add_boxes(ax, boxes[:limit], instance_colors(len(boxes[:limit])))
    return figure, axes


def class_probs_figure(
    class_probs: Float[np.ndarray, "P K"], class_names: Sequence[str] | None
) -> tuple[Figure, np.ndarray]:
    """Draw the number of proposals by most probable class, and a histogram of the highest probabilities.

    Args:
        class_names: by class id.
    """
    best, scores = class_probs.argmax(axis=1), class_probs.max(axis=1, initial=0)
    ids, counts = np.unique(best, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MAX_CLASSES]
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    names = [figure_text(instance_text(c, class_names)) for c in ids[order]]
    axes[0].bar(names, counts[order], color=[class_color(c) for c in ids[order]])
    axes[0].bar_label(axes[0].containers[0], fontsize=8)
    axes[0].margins(y=0.12)
    axes[0].tick_params(axis="x", rotation=60, labelsize=8)
    axes[0].set_ylabel("proposals")
    cut = f", the {_MAX_CLASSES} most frequent of {len(ids)}" if len(ids) > _MAX_CLASSES else ""
    axes[0].set_title(f"most probable class{cut}", fontsize=9)
    axes[1].hist([scores[best == 0], scores[best > 0]], bins=20, range=(0, 1), stacked=True, color=[GREY, PALETTE[0]],
                 label=["background", "objects"])  # fmt: skip
    axes[1].set_xlabel("probability of the most probable class")
    axes[1].legend(fontsize=8)
    return figure, axes


def outcomes_figure(
    image: Shaped[np.ndarray, "H W *C"],
    boxes: Num[np.ndarray, "P 4"],
    class_ids: Integer[np.ndarray, " P"],
    scores: Num[np.ndarray, " P"],
    outcomes: Sequence[str],
    class_names: Sequence[str] | None,
    limit: int = 100,
) -> tuple[Figure, np.ndarray]:
    """Draw the proposals classified as objects, those above the minimum score, and the detections, in three pictures.

    Args:
        boxes: refined by the deltas of their class, and clipped.
        outcomes: what happened to each proposal, see `training.inspection.InferenceStages`.
        class_names: by class id. A class has the same colour in all pictures.
        limit: maximum number of boxes per picture, highest scores first.
    """
    results = np.asarray(outcomes)
    dropped = {word: int(np.count_nonzero(results == word)) for word in np.unique(results)}
    objects, confident, kept = (~np.isin(results, words) for words in
                                (["background"], ["background", "low score"],
                                 ["background", "low score", "suppressed", "beyond the limit", "no area"]))  # fmt: skip
    titles = [f"{objects.sum()} of {len(results)} proposals are not background",
              f"{confident.sum()} left: {dropped.get('low score', 0)} below the minimum score",
              f"{kept.sum()} detections: {dropped.get('suppressed', 0)} suppressed, "
              f"{dropped.get('beyond the limit', 0)} beyond the limit, {dropped.get('no area', 0)} without area"]  # fmt: skip
    figure, axes = picture_grid([image] * 3, titles, width=5.0)
    for ax, chosen in zip(axes, (objects, confident, kept), strict=True):
        best = np.flatnonzero(chosen)[np.argsort(-scores[chosen], kind="stable")][:limit]
        add_boxes(ax, boxes[best], [class_color(class_id) for class_id in class_ids[best]] or GREY, alpha=0.8)
    labels = [Label(instance_text(class_ids[ix], class_names, scores[ix]), tuple(boxes[ix]), class_color(class_ids[ix]))
              for ix in best]  # fmt: skip
    add_captions(axes[2], labels, np.shape(image), size=7.0)
    return figure, axes


def masks_figure(
    image: Shaped[np.ndarray, "H W *C"],
    detections: Mapping[str, Any],
    mask_probs: Float[np.ndarray, "D M M"],
    class_names: Sequence[str] | None,
    limit: int = 8,
) -> tuple[Figure, np.ndarray]:
    """Draw each detection in a column: its image crop, its mask as predicted, and its mask as pasted.

    Args:
        detections: as returned by `MaskRCNN.detect`, best first.
        mask_probs: output of the mask head, 0..1.
        class_names: by class id.
        limit: maximum number of detections.

    Returns:
        The figure, and an array of axes [3, n]; [3, 1] if nothing is detected.
    """
    image, masks = to_rgb(image), list_masks(detections["masks"])
    count = min(limit, len(detections["rois"]))
    figure, axes = plt.subplots(3, max(1, count), figsize=(1.7 * max(1, count), 5.2), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    for column in range(count):
        y1, x1, y2, x2 = detections["rois"][column]
        class_id, pasted = detections["class_ids"][column], image.copy()
        apply_mask(pasted, masks[column], class_color(class_id))
        axes[0, column].imshow(image[y1:y2, x1:x2])
        axes[0, column].set_title(figure_text(instance_text(class_id, class_names, detections["scores"][column])), fontsize=8)
        # stretched to the proportions of the box, to match the picture above
        axes[1, column].imshow(mask_probs[column], cmap="Blues_r", vmin=0, vmax=1, interpolation="nearest",
                               extent=(0, x2 - x1, y2 - y1, 0))  # fmt: skip
        axes[2, column].imshow(pasted[y1:y2, x1:x2])
    if not count:
        axes[0, 0].set_title("nothing detected", fontsize=8)
    return figure, axes


def stage_figures(stages: Any, class_names: Sequence[str] | None) -> dict[str, Figure]:
    """Draw every stage.

    Args:
        stages: a `training.inspection.InferenceStages`.
        class_names: by class id.

    Returns:
        Figures by name, in the order of the stages.
    """
    image = stages.image
    figures = {
        "1_rpn_scores": rpn_scores_figure(stages.rpn_scores, stages.level_counts),
        "2_top_anchors": top_anchors_figure(image, stages.top_anchors, stages.top_scores),
        "3_refined_anchors": refinement_figure(image, stages.top_anchors, stages.refined_anchors, stages.clipped_anchors),
        "4_proposals": proposals_figure(image, stages.clipped_anchors, stages.proposals),
        "5_classes": class_probs_figure(stages.class_probs, class_names),
        "6_detections": outcomes_figure(image, stages.clipped_proposals, stages.class_ids, stages.scores, stages.outcomes,
                                        class_names),
        "7_masks": masks_figure(image, stages.detections, stages.mask_probs, class_names),
    }  # fmt: skip
    return {name: figure for name, (figure, _) in figures.items()}
