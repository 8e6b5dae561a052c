"""JSON files damaged at random, for the readers' tests."""
import copy
import json

from hypothesis import strategies as st

# JSON's own way to an infinity: a number too large for a float. json.dumps writes no such thing, so it is put in later.
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


def _places(value, path=()):
    """Every place in a JSON value: the path of keys and positions that leads there."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _places(entry, (*path, key))


@st.composite
def damaged_json(draw, content):
    """The text of a JSON file whose content was damaged.

    Args:
        draw: of hypothesis.
        content: dict. What the file holds when it is whole.

    Returns:
        str: up to three values replaced by something else or taken out, or the text broken off.
    """
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        # hypothesis leans towards the first of a list: the deep places, so that not every file is damaged at its root
        places = list(_places(content))[:0:-1]
        if not places:
            break
        *path, last = draw(st.sampled_from(places))
        parent = content
        for key in path:
            parent = parent[key]
        if draw(st.booleans()) and draw(st.booleans()):
            del parent[last]
        else:
            parent[last] = copy.deepcopy(draw(JUNK))
    text = json.dumps(content).replace(f'"{_TOO_LARGE}"', "1e999")
    broken_off = draw(st.sampled_from([False] * 9 + [True]))
    return text[: draw(st.integers(0, len(text)))] if broken_off else text
