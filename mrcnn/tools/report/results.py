"""The sections of the page that a measurement is needed for: figures, curves, confusion matrix, worst images."""

from markupsafe import escape

from mrcnn.base.errors import DataError
from mrcnn.evaluation.mistakes import most_confused
from mrcnn.evaluation.table import OVERALL, format_metric
from mrcnn.tools.html import picture, table
from mrcnn.tools.report.figures import draw_mistakes, embed
from mrcnn.tools.report.measured import IOU
from mrcnn.viz.evaluation import confusion_figure, precision_recall_figure

_BY_CLASS = (("mask", ("AP", "AP50", "AP75", "APs", "APm", "APl")), ("box", ("AP", "AP50", "AP75")))
# Classes in the confusion matrix; reasons of images that were left out; names in a caption.
_MATRIX, _REASONS, _NAMED = 20, 10, 6


def figures(measured):
    """Make the tables of AP: overall and by size, and by class."""
    result = measured.result
    info, metrics = result.info, result.metrics
    yield '<h2 id="figures">Average precision</h2>\n'
    yield (f"<p>{escape(measured.data)}: {info['images']} images, {info['instances']} objects, {info['crowds']} crowds; "
           f"{info['detections']} detections by {escape(measured.weights)}.</p>\n")
    if not info["instances"]:
        yield '<p class="note">There is no object in these images, so there is no AP: a dash.</p>\n'
    elif not info["detections"]:
        yield '<p class="note">The network detected nothing at all, not even with a low score.</p>\n'
    names = [name for name in (*OVERALL, "ARs", "ARm", "ARl") if f"mask_{name}" in metrics]
    rows = [[kind, *(format_metric(metrics[f"{kind}_{name}"]) for name in names)] for kind in ("mask", "box")]
    yield table(["", *names], rows, range(1, len(names) + 1))
    yield ('<p class="note">AP is the mean over IoU 0.50 to 0.95; s, m and l are objects of up to 32 x 32, up to 96 x 96 '
           "and more pixels. A dash stands where there is no such object.</p>\n")
    yield from _class_table(result.per_class)
    left_out = list(info["left_out"].values())
    if left_out:
        more = f"<li>... and {len(left_out) - _REASONS} more</li>" if len(left_out) > _REASONS else ""
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in left_out[:_REASONS])
        yield f"<p>{len(left_out)} images could not be read and are left out:</p>\n<ul>{reasons}{more}</ul>\n"


def _class_table(per_class):
    columns = [(kind, name) for kind, names in _BY_CLASS for name in names]
    present = sorted(((name, c) for name, c in per_class.items() if c["instances"]), key=lambda item: -item[1]["instances"])
    rows = [[name, c["instances"], c["detections"], *(format_metric(c[f"{kind}_{figure}"]) for kind, figure in columns)]
            for name, c in present]  # fmt: skip
    yield f"<h3>By class</h3>\n<p>{len(present)} classes occur in these images, those with the most objects first.</p>\n"
    head = ["class", "objects", "detections", *(f"{kind} {name}" for kind, name in columns)]
    yield f'<div class="tall">{table(head, rows, range(1, len(head)))}</div>\n'
    absent = [name for name, c in per_class.items() if not c["instances"]]
    if absent:
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        yield (f"<p>{len(absent)} of {len(per_class)} classes do not occur in these images: "
               f"{escape(', '.join(absent[:_NAMED]) + more)}.</p>\n")  # fmt: skip


def curves(measured):
    """Make the precision-recall curves."""
    yield '<h2 id="curves">Precision and recall</h2>\n'
    figure, _ = precision_recall_figure(measured.result, "mask")
    yield embed(figure, "precision over recall, of masks")


def confusion(measured):
    """Make the confusion matrix."""
    whole = measured.confusion
    shown = most_confused(whole, _MATRIX)
    yield '<h2 id="confusion">Confusion matrix</h2>\n'
    yield (f"<p>Detections of a score of {measured.min_score:g} or more are matched with objects where the IoU of their masks "
           f"is {IOU:g} or more: each with the best one of its own class, and what is left over with the best one of any "
           "class. The last column counts objects that were missed, the last row detections where there is no object, or "
           "one that is found already. A field is as dark as its share of the row.</p>\n")
    if len(shown.names) < len(whole.names):
        yield (f'<p class="note">{len(shown.names) - 1} of {len(whole.names) - 1} classes are shown: those taken for one '
               f"another most often ({shown.between_classes} of {whole.between_classes} such mistakes are in it), then those "
               "that are there or found most often.</p>\n")
    scores = [row["score"] for row in measured.result.rows]
    if scores and max(scores) < measured.min_score:
        yield (f'<p class="note">No detection has such a score; the highest is {max(scores):.2f}. A lower --min-score '
               "shows what there is.</p>\n")
    if not whole.counts.any():
        yield "<p>There is no object and no detection to compare.</p>\n"
        return
    figure, _ = confusion_figure(whole, _MATRIX)
    yield embed(figure, "confusion matrix")


def worst(measured):
    """Make the pictures of the images with the most mistakes, what was found beside what is there."""
    chosen = measured.worst
    yield '<h2 id="worst">Worst images</h2>\n'
    if not chosen:
        yield "<p>No image has a mistake.</p>\n"
        return
    wrong = sum(1 for image in measured.mistakes if image.count)
    yield (f"<p>The {len(chosen)} of {wrong} images with mistakes that have the most of them: objects missed, detections that "
           "are false, objects found as another class, matched as for the confusion matrix. Blue is right, vermilion missed "
           "or false, orange another class, grey a crowd.</p>\n")
    names = measured.confusion.names
    crowds = {}
    for row in measured.result.truth:
        if row["iscrowd"]:
            crowds.setdefault(row["image_id"], []).append(row)
    for image in chosen:
        yield _pair(measured.dataset, image, crowds.get(image.image_id, []), names)


def _pair(dataset, image, crowds, names):
    title = f"{dataset.image_info[image.image_id]['id']} {dataset.image_reference(image.image_id)}".strip()
    told = _told(image, names)
    try:
        truth, found = draw_mistakes(dataset.load_image(image.image_id), image, crowds, names)
    except (DataError, OSError, ValueError) as error:
        told = f"{told} (no picture: {error})"
        return f'<figure class="pair"><figcaption><b>{escape(title)}</b><br>{escape(told)}</figcaption></figure>\n'
    sides = "".join(f"<div>{what}<br>{picture(content, alt=f'{what} on {title}')}</div>"
                    for what, content in (("is there", truth), ("found", found)))  # fmt: skip
    return (f'<figure class="pair"><figcaption><b>{escape(title)}</b><br>{escape(told)}</figcaption>'
            f'<div class="sides">{sides}</div></figure>\n')  # fmt: skip


def _told(image, names):
    """Say what is wrong with an image: str."""
    parts = [("missed", [names[row["category_id"]] for row in image.missed]),
             ("false", [names[row["category_id"]] for row in image.false]),
             ("another class", [f"{names[row['category_id']]} as {names[found['category_id']]}"
                                for row, found in image.confused])]  # fmt: skip
    words = [f"{len(items)} {what} ({', '.join(items[:_NAMED])}{', ...' if len(items) > _NAMED else ''})"
             for what, items in parts if items]  # fmt: skip
    return f"{len(image.found)} found; " + ", ".join(words)
