"""The packages form a DAG: what a module may import, read from the source without running it."""
from tests.layout.source import FACADES, KERAS_FILES, NUMPY_PARTS, PARTS, imports, modules

BACKENDS = ("tensorflow", "jax", "jaxlib", "torch")

# Files that exist for one backend and may import it at their top.
BACKEND_FILES = ()

# NumPy modules that make something for one backend import it inside the function that makes it; the facades do so too.
LATE_BACKEND_FILES = ("datasets.panoptic.pipeline",)

# Parts that read a Config. All others take explicit arguments.
READ_CONFIG = ("config", "training", "tools", *FACADES, "cli")

PRIVATE_KERAS_NAMES = (
    "keras.src", "_keras_history", "_inbound_nodes", "_outbound_nodes", "_flatten_layers", "_get_variable_index", "_tracker",
    "_run_through_graph", "_standardize_inputs", "_inputs_struct", "_outputs_struct",
)  # fmt: skip


def _where(module, imported):
    return f"{module.path.name} of mrcnn.{module.name}, line {imported.line}: imports {imported.target}"


def _ours(imported):
    """The dotted name of an import below `mrcnn`; "" for other packages."""
    return imported.target.removeprefix("mrcnn.") if imported.target.startswith("mrcnn.") else ""


def test_every_part_of_the_package_has_a_place():
    assert {module.part for module in modules()} - {""} == set(PARTS)


def test_a_package_imports_only_what_stands_above_it():
    wrong = []
    for module in modules():
        for imported in imports(module):
            part = _ours(imported).split(".")[0]
            if part in PARTS and module.name and PARTS.index(part) > PARTS.index(module.part):
                wrong.append(_where(module, imported))
    assert not wrong, "\n".join(wrong)


def test_modules_import_one_another_in_no_circle():
    names = {module.name for module in modules() if module.name}
    # A package's __init__ hands on names of its modules: not an arrow from the package to itself.
    graph = {
        module.name: {_ours(i) for i in imports(module) if not i.for_types} & names - {module.name}
        for module in modules() if module.name and module.path.name != "__init__.py"
    }  # fmt: skip
    while free := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in free}
    assert not graph, f"these modules are in a circle, or import from one: {sorted(graph)}"


def test_no_inner_module_imports_a_facade():
    wrong = [_where(module, imported) for module in modules() if module.part not in (*FACADES, "cli")
             for imported in imports(module) if _ours(imported).split(".")[0] in FACADES]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_numpy_packages_do_not_import_keras():
    wrong = [_where(module, imported) for module in modules() if module.part in NUMPY_PARTS and module.name not in KERAS_FILES
             for imported in imports(module) if imported.target.split(".")[0] in ("keras", *BACKENDS)
             and (imported.at_import or module.name not in LATE_BACKEND_FILES + FACADES)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_no_backend_is_imported_at_the_top_of_a_module():
    found = [(module, imported) for module in modules() if module.name not in BACKEND_FILES
             for imported in imports(module) if imported.at_import]  # fmt: skip
    wrong = [_where(*pair) for pair in found if pair[1].target.split(".")[0] in BACKENDS]
    assert not wrong, "\n".join(wrong)


def test_keras_is_used_by_its_public_names():
    wrong = [f"{module.path}: {name}" for module in modules() for name in PRIVATE_KERAS_NAMES if name in module.text]
    assert not wrong, "\n".join(wrong)


def test_only_training_and_what_stands_below_it_reads_config():
    wrong = [_where(module, imported) for module in modules() if module.part not in READ_CONFIG
             for imported in imports(module) if _ours(imported).split(".")[0] == "config"]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing():
    (package,) = [module for module in modules() if not module.name]
    assert imports(package) == []
