"""The page of a run: one HTML file that needs no other."""

from markupsafe import Markup, escape

from mrcnn.base.progress import tracked
from mrcnn.evaluation.table import format_metric
from mrcnn.tools.html import table, write_page
from mrcnn.tools.report import results, training
from mrcnn.tools.report.run import best_epoch

_STYLE = """\
nav a { margin-right: .9em; white-space: nowrap }
.note { color: #555; font-size: .93em }
.chart img { display: block; max-width: 100% }
.tall { max-height: 34em; overflow-y: auto }
.left { background: #f4f1e6; border-left: 4px solid #e69f00; padding: .4em .8em; margin: 1em 0 }
.left ul { margin: .2em 0; padding-left: 1.2em }
figure.pair { margin: 1.4em 0 }
.sides { display: flex; flex-wrap: wrap; gap: .6em; margin-top: .3em; font-size: .8em; color: #444 }
.sides div { max-width: 100% } .sides img { display: block }
code { overflow-wrap: anywhere; font-size: .93em }
@media (max-width: 700px) {
 body { margin: 1em auto } .chart img { max-width: 720px }
}
"""
_SECTIONS = (("figures", "average precision"), ("losses", "losses"), ("curves", "precision and recall"),
             ("confusion", "confusion matrix"), ("worst", "worst images"), ("speed", "speed and memory"),
             ("configuration", "configuration"), ("environment", "environment"))  # fmt: skip


def write_report(path, run, measured=None, left_out=(), progress=None):
    """Write the page, whole or not at all.

    Args:
        path: path of the HTML file.
        run: Run, see `run.read_run`.
        measured: Measured, see `measured.measure`; None leaves out what needs one.
        left_out: list of str. What is missing beside what `run` lacks, and why.
        progress: function (done, total), called after each section, or None.
    """
    body = "".join(piece for section in tracked(_sections(run, measured), progress) for piece in section)
    head = _head(run, measured, [*run.left_out, *left_out], body)
    write_page(path, f"Run {run.name}", [Markup(head), Markup(body)], _STYLE)


def _sections(run, measured):
    """Give the sections in their order: list of generators of str, that draw as they are gone through."""
    found = [] if measured is None else [results.figures(measured)]
    found.append(training.losses(run))
    if measured is not None:
        found += [results.curves(measured), results.confusion(measured), results.worst(measured)]
    return [*found, training.speed(run, measured), training.configuration(run), training.environment(run)]


def _head(run, measured, left_out, body):
    """Make the title, the most important figures, the links, and what is missing: str."""
    parts = [f"<h1>Run {escape(run.name)}</h1>\n", table(["", ""], _summary(run, measured))]
    links = "".join(f'<a href="#{name}">{title}</a> ' for name, title in _SECTIONS if f'<h2 id="{name}">' in body)
    parts.append(f"<nav>{links}</nav>\n")
    if left_out:
        items = "".join(f"<li>{escape(reason)}</li>" for reason in left_out)
        parts.append(f'<div class="left">Left out:<ul>{items}</ul></div>\n')
    return "".join(parts)


def _summary(run, measured):
    """Give the lines of the table at the top: list of [what, value]."""
    rows = []
    if run.class_names is not None:
        names = run.class_names[1:]
        rows.append(["classes", f"{len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"])
    if run.history:
        last = run.history[-1]
        rows.append(["epochs", f"{int(last['epoch'])}, the last with loss {last.get('loss', float('nan')):.4f}"])
    best = best_epoch(run.history)
    if best is not None:
        rows.append(["best epoch", f"{best[0]}, by {best[1]} {best[2]:.4f}"])
    if run.checkpoints:
        first, last = min(run.checkpoints), max(run.checkpoints)
        told = f"of epoch {first}" if first == last else f"{len(run.checkpoints)}, of epochs {first} to {last}"
        rows.append(["checkpoints", told])
    if measured is not None:
        figures = measured.result.metrics
        told = (f"{kind} AP {format_metric(figures[f'{kind}_AP'])}, AP50 {format_metric(figures[f'{kind}_AP50'])}"
                for kind in ("mask", "box"))  # fmt: skip
        rows.append(["measured", "; ".join(told)])
    return rows
