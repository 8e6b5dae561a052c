"""The packages form a DAG. Imports are read from the source, without running it."""
from tests.layout.source import FACADES, KERAS_FILES, NUMPY_PARTS, PARTS, imports, modules

BACKENDS = ("tensorflow", "jax", "jaxlib", "torch")

# Files for a single backend, which may import it at the top.
BACKEND_FILES = ()

# NumPy modules for a single backend, which import it inside a function. The facades do so too.
LATE_BACKEND_FILES = ("datasets.panoptic.pipeline",)

# Packages that read a Config. All others take explicit arguments.
READ_CONFIG = ("config", "recipes", "training", "tools", *FACADES, "cli")

PRIVATE_KERAS_NAMES = (
    "keras.src", "_keras_history", "_inbound_nodes", "_outbound_nodes", "_flatten_layers", "_get_variable_index", "_tracker",
    "_run_through_graph", "_standardize_inputs", "_inputs_struct", "_outputs_struct",
)  # fmt: skip


def _where(module, imported):
    return f"{module.path.name} of mrcnn.{module.name}, line {imported.line}: imports {imported.target}"


def _ours(imported):
    """Return the dotted name of an import inside `mrcnn`; "" for other packages."""
    return imported.target.removeprefix("mrcnn.") if imported.target.startswith("mrcnn.") else ""


def test_every_package_is_listed():
    assert {module.part for module in modules()} - {""} == set(PARTS)


def test_packages_import_only_earlier_packages():
    wrong = []
    for module in modules():
        for imported in imports(module):
            part = _ours(imported).split(".")[0]
            if part in PARTS and module.name and PARTS.index(part) > PARTS.index(module.part):
                wrong.append(_where(module, imported))
    assert not wrong, "\n".join(wrong)


def test_imports_have_no_cycle():
    names = {module.name for module in modules() if module.name}
    # The __init__ of a package re-exports names of its modules, which is not an edge of the graph.
    graph = {
        module.name: {_ours(i) for i in imports(module) if not i.for_types} & names - {module.name}
        for module in modules() if module.name and module.path.name != "__init__.py"
    }  # fmt: skip
    while free := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in free}
    assert not graph, f"these modules are part of an import cycle, or import from one: {sorted(graph)}"


def test_only_the_command_line_imports_facades():
    wrong = [_where(module, imported) for module in modules() if module.part not in (*FACADES, "cli")
             for imported in imports(module) if _ours(imported).split(".")[0] in FACADES]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_numpy_packages_do_not_import_keras():
    wrong = [_where(module, imported) for module in modules() if module.part in NUMPY_PARTS and module.name not in KERAS_FILES
             for imported in imports(module) if imported.target.split(".")[0] in ("keras", *BACKENDS)
             and (imported.at_import or module.name not in LATE_BACKEND_FILES + FACADES)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_no_backend_is_imported_at_the_top_level():
    pairs = [(module, imported) for module in modules() if module.name not in BACKEND_FILES
             for imported in imports(module) if imported.at_import]  # fmt: skip
    wrong = [_where(*pair) for pair in pairs if pair[1].target.split(".")[0] in BACKENDS]
    assert not wrong, "\n".join(wrong)


def test_only_public_names_of_keras_are_used():
    wrong = [f"{module.path}: {name}" for module in modules() for name in PRIVATE_KERAS_NAMES if name in module.text]
    assert not wrong, "\n".join(wrong)


def test_only_training_and_later_packages_read_config():
    wrong = [_where(module, imported) for module in modules() if module.part not in READ_CONFIG
             for imported in imports(module) if _ours(imported).split(".")[0] == "config"]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_package_init_imports_nothing():
    (package,) = [module for module in modules() if not module.name]
    assert imports(package) == []
