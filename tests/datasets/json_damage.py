"""Randomly damaged JSON files for tests of the readers."""
import copy
import json

from hypothesis import strategies as st

# A number too large for a float, which becomes infinity. json.dumps cannot write it, so it is inserted afterwards.
_TOO_LARGE = "@too large@"
JUNK = st.one_of(
    st.sampled_from([
        None, True, False, 0, -1, 1, 7, 1.5, -0.0, 10**6, 10**12, 10**400, -(10**30), float("nan"), float("inf"), _TOO_LARGE,
        "", "x", "7", "../x", "/etc/passwd", "\ud800", "\0", [], {}, [[]], [{}], {"": 0}, [None], [[None] * 6], [True] * 6,
        [1, 2, 3, 4, 5, 6], [[1, 2, 3, 4, 5, 10**400]], [["1"] * 6], {"size": 3, "counts": 4},
        {"size": [40, 60], "counts": "XXX"}, {"size": [40, 60], "counts": "P" * 50}, {"size": [True, 60], "counts": [2400]},
        {"size": [40, 60], "counts": [-1, 2401]}, {"size": [40, 60], "counts": [1.5, 2398.5]},
    ]),
    st.integers(), st.floats(), st.text(max_size=5),
)  # fmt: skip


def _paths(value, path=()):
    """Yield the path of every value inside a JSON value, as keys and positions."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _paths(entry, (*path, key))


@st.composite
def damaged_json(draw, content):
    """Draw the text of a damaged JSON file.

    Args:
        draw: hypothesis' function.
        content: dict. The undamaged content.

    Returns:
        str: the JSON with up to three values replaced or removed, and sometimes truncated.
    """
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        # deep paths first, because hypothesis prefers the first entries and would damage most files at their root
        paths = list(_paths(content))[:0:-1]
        if not paths:
            break
        *path, last = draw(st.sampled_from(paths))
        parent = content
        for key in path:
            parent = parent[key]
        if draw(st.booleans()) and draw(st.booleans()):
            del parent[last]
        else:
            parent[last] = copy.deepcopy(draw(JUNK))
    text = json.dumps(content).replace(f'"{_TOO_LARGE}"', "1e999")
    truncated = draw(st.sampled_from([False] * 9 + [True]))
    return text[: draw(st.integers(0, len(text)))] if truncated else text
