"""The classes of all parts: whether they are the same everywhere, and how often each occurs."""

from mrcnn.tools.doctor.finding import Place

# names told in one finding
_TOLD = 20


def note_categories(parts, objects, findings):
    """Find classes that do not occur, or not where they should.

    Args:
        parts: list of Part.
        objects: list of Objects, one a part.
        findings: Findings, which is added to.
    """
    _note_differing(parts, findings)
    _note_gaps(parts, findings)
    counts = class_counts(parts, objects)
    unused = [(i, name) for i, name in counts if not sum(counts[i, name].values())]
    if unused:
        told = f"{len(unused)} of {len(counts)} classes have no annotation: {_list(unused)}"
        findings.add("category_unused", Place(), told)
    trained = [part.name for part in parts if part.name.startswith("train")]
    if not trained or len(parts) < 2:
        return
    for part in parts:
        lost = [key for key, of in counts.items() if of.get(part.name) and not any(of.get(name) for name in trained)]
        for key in lost:
            count = counts[key][part.name]
            told = f"{count} object{'s' if count > 1 else ''} of {_list([key])}, of which {' and '.join(trained)} has none"
            findings.add("category_not_trained", Place(part.name), told)


def class_counts(parts, objects):
    """Count the objects of each class.

    Args:
        parts, objects: see `note_categories`.

    Returns:
        dict (category id, name) -> dict name of the part -> number of objects; in the order of the categories.
    """
    counts = {}
    for part, some in zip(parts, objects, strict=True):
        for category, name in part.categories.items():
            of = counts.setdefault((category, name), {})
            of[part.name] = of.get(part.name, 0) + some.class_counts.get(category, 0)
    return counts


def _note_differing(parts, findings):
    first = {}
    for part in parts:
        for category, name in part.categories.items():
            earlier, told = first.setdefault(category, (name, part.name))
            if earlier != name:
                what = f"the id {category!r} is {name!r} here and {earlier!r} in {told or 'the first part'}"
                findings.add("category_differs", Place(part.name), what)


def _note_gaps(parts, findings):
    """Note ids that are not 1, 2, 3, ..., once for all parts that have the same."""
    for ids in dict.fromkeys(tuple(part.categories) for part in parts):
        if ids and set(ids) != set(range(1, len(ids) + 1)):
            whole = all(isinstance(i, int) for i in ids)
            told = f"{min(ids)} to {max(ids)}" if whole else ", ".join(str(i) for i in ids[:_TOLD])
            findings.add("category_ids_gaps", Place(), f"{len(ids)} categories have the ids {told}")


def _list(keys):
    """Name classes: "cat (3), dog (4)"."""
    told = ", ".join(f"{name} ({category})" for category, name in keys[:_TOLD])
    return told + (", ..." if len(keys) > _TOLD else "")
