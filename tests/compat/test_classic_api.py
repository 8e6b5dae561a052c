"""Every classic name exists and accepts its classic arguments, in the same positions and with the same defaults."""
import ast
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

NAMES = Path(__file__).with_name("classic_signatures.txt")

# Python calls this method with a positional argument, so its name does not matter.
ANY_SIGNATURE = {"ParallelModel.__getattribute__"}


def _read():
    """Yield (module, dotted name, signature text or None) for each line of the list."""
    module = owner = None
    for line in NAMES.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            module, owner = line.strip("[]"), None
        elif line.startswith("class "):
            owner = line.removeprefix("class ")
            yield module, owner, None
        else:
            name, paren, rest = line.strip().partition("(")
            full = f"{owner}.{name}" if line.startswith(" ") else name
            yield module, full, paren + rest or None


CASES = [pytest.param(*case, id=f"{case[0]}.{case[1]}") for case in _read()]


def _find(module, dotted):
    result = importlib.import_module(module)
    for part in dotted.split("."):
        result = getattr(result, part)
    return result


def _parameters(text):
    """Return [(name, kind, default)] of a signature in text; no default is `inspect.Parameter.empty`."""
    arguments = ast.parse(f"def f{text}: pass").body[0].args
    missing = [inspect.Parameter.empty] * (len(arguments.args) - len(arguments.defaults))
    defaults = missing + [ast.literal_eval(default) for default in arguments.defaults]
    pairs = [(a.arg, "plain", default) for a, default in zip(arguments.args, defaults, strict=True)]
    return pairs + ([(arguments.kwarg.arg, "keywords", None)] if arguments.kwarg else [])


def _incompatible(function, text):
    """Return how `function` differs from the classic signature `text` for its callers; empty if it does not."""
    ours = list(inspect.signature(function).parameters.values())
    positional = [p for p in ours if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    problems = []
    classic = _parameters(text)
    for position, (name, kind, default) in enumerate(classic):
        if kind == "keywords":
            if not any(p.kind is p.VAR_KEYWORD for p in ours):
                problems.append(f"takes no **{name}")
        elif position >= len(positional) or positional[position].name != name:
            problems.append(f"argument {position} is not {name}")
        elif default is not inspect.Parameter.empty and not _same(positional[position].default, default):
            problems.append(f"{name} defaults to {positional[position].default!r}, not {default!r}")
    count = sum(kind == "plain" for _, kind, _ in classic)
    plain = [p for p in ours if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    problems += [f"also requires {p.name}" for p in plain[count:] if p.default is p.empty]
    return problems


def _same(ours, classic):
    return ours is not inspect.Parameter.empty and np.array_equal(ours, classic)


@pytest.mark.parametrize("module, dotted, text", CASES)
def test_name_exists_and_accepts_the_classic_arguments(module, dotted, text):
    found = _find(module, dotted)
    if dotted.endswith(".image_ids"):
        assert isinstance(found, property)
    elif text and dotted not in ANY_SIGNATURE:
        problems = _incompatible(found, text)
        assert not problems, f"{module}.{dotted}{inspect.signature(found)}: {'; '.join(problems)}"


def test_list_of_signatures_is_complete():
    assert len(CASES) == 143
    assert {case.values[0] for case in CASES} == {
        "mrcnn.config", "mrcnn.model", "mrcnn.utils", "mrcnn.visualize", "mrcnn.parallel_model"}  # fmt: skip


def test_incompatible_reports_every_kind_of_difference():
    def function(a, b=1, *, extra=None):
        return a, b, extra

    assert _incompatible(function, "(a, b=1)") == []
    assert _incompatible(function, "(a, b=2)") == ["b defaults to 1, not 2"]
    assert _incompatible(function, "(a, c)") == ["argument 1 is not c"]
    assert _incompatible(function, "(a, b=1, **kwargs)") == ["takes no **kwargs"]
    assert _incompatible(lambda a, b: None, "(a)") == ["also requires b"]


@pytest.mark.parametrize("name", ["data_generator", "load_image_gt"])
def test_list_contains_the_longer_of_two_classic_signatures(name):
    (case,) = [case for case in CASES if case.values[1] == name]
    assert "augment=False, augmentation=None" in case.values[2]


def test_config_can_be_subclassed():
    from mrcnn.config import Config

    shapes = type("ShapesConfig", (Config,), {"NAME": "shapes", "NUM_CLASSES": 4, "IMAGES_PER_GPU": 3})()
    assert (shapes.BATCH_SIZE, shapes.NUM_CLASSES, shapes.IMAGE_META_SIZE) == (3, 4, 16)
