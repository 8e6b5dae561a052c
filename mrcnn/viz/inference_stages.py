"""Figures of the stages of detection, from anchors to masks.

Boxes are (y1, x1, y2, x2) in pixels of the image, as `engine.inspection.InferenceStages` has them. Each function returns
(figure, axes); nothing is shown on the screen by them.

Shape letters: H W image, A anchors, N anchors before suppression, P proposals, K classes with background, D detections,
M side of a mask.
"""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

from mrcnn.viz.colors import GREY, PALETTE, class_color, instance_colors
from mrcnn.viz.draw import apply_mask, list_masks, to_rgb
from mrcnn.viz.figure import add_boxes, picture_grid
from mrcnn.viz.labels import Label, add_captions, instance_text

# bars of a histogram, and of classes
_BINS, _MOST_CLASSES = 50, 20


def rpn_scores_figure(scores, level_counts):
    """Draw how the RPN's scores are distributed, a histogram a pyramid level.

    Args:
        scores: float [A].
        level_counts: list of ints. Anchors of each level, in the order of the scores.

    Returns:
        (figure, axes): a histogram a level, its counts on a logarithmic scale.
    """
    levels = len(level_counts)
    figure, axes = plt.subplots(1, levels, figsize=(2.8 * levels, 2.6), squeeze=False, layout="constrained")
    parts = np.split(np.asarray(scores), np.cumsum(level_counts)[:-1])
    for level, (ax, part) in enumerate(zip(axes.flat, parts, strict=True)):
        ax.hist(part, bins=_BINS, range=(0, 1), log=True, color=PALETTE[5])
        ax.set_title(f"level {level}: {len(part)} anchors\n{np.count_nonzero(part > 0.5)} above 0.5", fontsize=9)
        ax.set_xlabel("score", fontsize=8)
        ax.set_ylim(bottom=0.5)  # one anchor is seen, and all levels begin alike
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(labelsize=7.0)
    return figure, axes[0]


def top_anchors_figure(image, anchors, scores=None, limit=50):
    """Draw the best anchors of the RPN, before they are moved.

    Args:
        image: [H, W, C].
        anchors: [N, 4], by descending score.
        scores: float [N], or None.
        limit: int. How many of the best.

    Returns:
        (figure, axes): one picture. The brighter a box, the better.
    """
    count = min(limit, len(anchors))
    told = f", scores {scores[0]:.3f} to {scores[count - 1]:.3f}" if scores is not None and count else ""
    figure, axes = picture_grid([image], [f"the best {count} of {len(anchors)} anchors{told}"], width=7)
    shades = plt.get_cmap("viridis")(np.linspace(0, 1, count))
    add_boxes(axes[0], np.asarray(anchors)[:count][::-1], shades)  # the best ones on top
    return figure, axes


def refinement_figure(image, anchors, refined, clipped, limit=50):
    """Draw the best anchors, where the RPN moves them, and what lies inside the image.

    Args:
        image: [H, W, C].
        anchors, refined, clipped: [N, 4], row by row the same anchor, by descending score.
        limit: int. How many of the best.

    Returns:
        (figure, axes): three pictures; an anchor has one colour in all of them.
    """
    titles = [f"the best {min(limit, len(anchors))} anchors", "moved by the RPN", "clipped"]
    figure, axes = picture_grid([image] * 3, titles)
    for ax, boxes in zip(axes, (anchors, refined, clipped), strict=True):
        add_boxes(ax, boxes[:limit], instance_colors(len(boxes[:limit])))
    return figure, axes


def proposals_figure(image, before, proposals, limit=100):
    """Draw boxes before non-maximum suppression, and the proposals that it leaves.

    Args:
        image: [H, W, C].
        before: [N, 4], by descending score.
        proposals: [P, 4], likewise.
        limit: int. How many of the best.

    Returns:
        (figure, axes): two pictures.
    """
    sets = {"before suppression": before, "proposals": proposals}
    titles = [f"{name}: the best {min(limit, len(boxes))} of {len(boxes)}" for name, boxes in sets.items()]
    figure, axes = picture_grid([image] * 2, titles, width=5.5)
    for ax, boxes in zip(axes, sets.values(), strict=True):
        add_boxes(ax, boxes[:limit], instance_colors(len(boxes[:limit])))
    return figure, axes


def class_probs_figure(class_probs, class_names):
    """Draw which classes the proposals are given, and how surely.

    Args:
        class_probs: float [P, K].
        class_names: sequence of names by class id.

    Returns:
        (figure, axes): bars of proposals by best class, the most frequent first; a histogram of the best probabilities,
        background and objects apart.
    """
    class_probs = np.asarray(class_probs)
    best, scores = class_probs.argmax(axis=1), class_probs.max(axis=1, initial=0)
    ids, counts = np.unique(best, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    axes[0].bar([instance_text(c, class_names) for c in ids[order]], counts[order], color=[class_color(c) for c in ids[order]])
    axes[0].bar_label(axes[0].containers[0], fontsize=8)
    axes[0].margins(y=0.12)
    axes[0].tick_params(axis="x", rotation=60, labelsize=8)
    axes[0].set_ylabel("proposals")
    left_out = f", the first {_MOST_CLASSES} of {len(ids)}" if len(ids) > _MOST_CLASSES else ""
    axes[0].set_title(f"best class{left_out}", fontsize=9)
    axes[1].hist([scores[best == 0], scores[best > 0]], bins=20, range=(0, 1), stacked=True, color=[GREY, PALETTE[0]],
                 label=["background", "objects"])  # fmt: skip
    axes[1].set_xlabel("probability of the best class")
    axes[1].legend(fontsize=8)
    return figure, axes


def outcomes_figure(image, boxes, class_ids, scores, outcomes, class_names, limit=100):
    """Draw what becomes of the proposals: what is no background, what has the least score, what suppression leaves.

    Args:
        image: [H, W, C].
        boxes: [P, 4]. Moved by the deltas of their class, and clipped.
        class_ids: int [P].
        scores: float [P].
        outcomes: list of P words, see `engine.inspection.InferenceStages`.
        class_names: sequence of names by class id.
        limit: int. Most boxes in a picture, those of the highest score.

    Returns:
        (figure, axes): three pictures; a class has one colour in all of them. The title of each says how many were lost.
    """
    outcomes, scores, boxes, class_ids = (np.asarray(part) for part in (outcomes, scores, boxes, class_ids))
    lost = {word: int(np.count_nonzero(outcomes == word)) for word in np.unique(outcomes)}
    objects, sure, kept = (~np.isin(outcomes, words) for words in
                           (["background"], ["background", "low score"],
                            ["background", "low score", "suppressed", "beyond the limit", "no area"]))  # fmt: skip
    titles = [f"{objects.sum()} of {len(outcomes)} proposals are no background",
              f"{sure.sum()} left: {lost.get('low score', 0)} of a low score",
              f"{kept.sum()} detections: {lost.get('suppressed', 0)} suppressed, "
              f"{lost.get('beyond the limit', 0)} beyond the limit, {lost.get('no area', 0)} without area"]  # fmt: skip
    figure, axes = picture_grid([image] * 3, titles, width=5)
    for ax, shown in zip(axes, (objects, sure, kept), strict=True):
        best = np.flatnonzero(shown)[np.argsort(-scores[shown], kind="stable")][:limit]
        add_boxes(ax, boxes[best], [class_color(class_id) for class_id in class_ids[best]] or GREY, alpha=0.8)
    labels = [Label(instance_text(class_ids[ix], class_names, scores[ix]), tuple(boxes[ix]), class_color(class_ids[ix]))
              for ix in best]  # fmt: skip
    add_captions(axes[2], labels, np.shape(image), size=7.0)
    return figure, axes


def masks_figure(image, detections, mask_probs, class_names, limit=8):
    """Draw detections cut out of the image, each over its mask as the mask head gives it, and as it is pasted.

    Args:
        image: [H, W, C].
        detections: dict with "rois" [D, 4], "class_ids", "scores" and "masks", as `MaskRCNN.detect` gives.
        mask_probs: float [D, M, M] in 0..1.
        class_names: sequence of names by class id.
        limit: int. Most detections, those of the highest score.

    Returns:
        (figure, axes): array of Axes [3, n]; [3, 1] where nothing is detected.
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
        axes[0, column].set_title(instance_text(class_id, class_names, detections["scores"][column]), fontsize=8)
        # at the proportions of the box, so that one lies over the other
        axes[1, column].imshow(mask_probs[column], cmap="Blues_r", vmin=0, vmax=1, interpolation="nearest",
                               extent=(0, x2 - x1, y2 - y1, 0))  # fmt: skip
        axes[2, column].imshow(pasted[y1:y2, x1:x2])
    if not count:
        axes[0, 0].set_title("nothing detected", fontsize=8)
    return figure, axes


def stage_figures(stages, class_names):
    """Draw every stage.

    Args:
        stages: InferenceStages.
        class_names: sequence of names by class id.

    Returns:
        dict name -> matplotlib Figure, in the order of the stages.
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
