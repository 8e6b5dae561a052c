"""Functions fit on a screen, and public names have docstrings and types. `make lint` warns about long files."""
import ast

from tests.layout.source import modules

MAX_FUNCTION_LINES = 80

# Methods whose contract is defined by Keras. The docstring of a layer says what its `call` does.
KERAS_METHODS = {
    "build", "call", "get_config", "from_config", "compute_mask", "compute_output_shape", "compute_output_spec",
    "compute_loss", "train_step", "test_step", "predict_step", "metrics", "set_model", "set_params",
}  # fmt: skip

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _code_lines(function):
    """Count the lines of a function without its docstring, which may be long."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        first = function.body[0]
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_functions_fit_on_a_screen():
    functions = [(module, node) for module in modules() for node in ast.walk(module.tree)
                 if isinstance(node, FUNCTIONS)]  # fmt: skip
    long = [f"{module.path}:{node.lineno} {node.name}: {lines} lines" for module, node in functions
            if (lines := _code_lines(node)) > MAX_FUNCTION_LINES]  # fmt: skip
    assert not long, "\n".join(long)


def _public(body):
    return [node for node in body if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_")]


def _undocumented(module):
    if ast.get_docstring(module.tree) is None and module.text.strip():
        yield f"{module.path}: the module"
    for node in _public(module.tree.body):
        if ast.get_docstring(node) is None:
            yield f"{module.path}:{node.lineno} {node.name}"
        if isinstance(node, ast.ClassDef):
            for method in _public(node.body):
                inherited = method.name in KERAS_METHODS or method.name.startswith("on_")
                setter = any(getattr(d, "attr", "") in ("setter", "deleter") for d in method.decorator_list)
                if ast.get_docstring(method) is None and not inherited and not setter:
                    yield f"{module.path}:{method.lineno} {node.name}.{method.name}"


def test_public_names_have_docstrings():
    missing = [what for module in modules() for what in _undocumented(module)]
    assert not missing, "\n".join(missing)


def _untyped(module):
    for owner in [module.tree, *_public(module.tree.body)]:
        for function in _public(owner.body) if isinstance(owner, ast.Module | ast.ClassDef) else []:
            if not isinstance(function, FUNCTIONS) or function.name in KERAS_METHODS or function.name.startswith("on_"):
                continue
            arguments = function.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            bare = [a.arg for a in named if a is not None and a.annotation is None and a.arg not in ("self", "cls")]
            if bare or function.returns is None:
                yield f"{module.path}:{function.lineno} {function.name}: {', '.join(bare) or 'return value'}"


def test_public_functions_are_typed():
    assert not (untyped := [what for module in modules() for what in _untyped(module)]), "\n".join(untyped)
