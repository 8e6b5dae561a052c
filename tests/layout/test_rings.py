"""The rings: what a module may import, read from the source without running it."""
from tests.layout.source import FACADES, RINGS, imports, modules

BACKENDS = ("tensorflow", "jax", "jaxlib", "torch")

# Files that exist for one backend and may import it at their top.
BACKEND_FILES = ()

# Files of ring 0 that make something for one backend: they import it inside the function that makes it.
LATE_BACKEND_FILES = ("datasets.panoptic.pipeline",)

# Ring 0 and what imports from nowhere else in the package; loading these must not load keras.
WITHOUT_KERAS = (*(name for name, ring in RINGS.items() if ring == 0), "config", "utils", "visualize")


def _where(module, imported):
    return f"{module.path.name} of mrcnn.{module.name}, line {imported.line}: imports {imported.target}"


def test_every_part_of_the_package_has_a_ring():
    unknown = {module.part for module in modules()} - set(RINGS) - {""}
    assert not unknown, f"not in RINGS of tests/layout/source.py: {sorted(unknown)}"


def test_imports_go_inwards():
    wrong = []
    for module in modules():
        for imported in imports(module):
            parts = imported.target.split(".")
            if parts[0] != "mrcnn" or len(parts) < 2 or parts[1] not in RINGS or not module.name:
                continue
            if RINGS[parts[1]] > RINGS[module.part]:
                wrong.append(_where(module, imported))
    assert not wrong, "\n".join(wrong)


def test_no_inner_module_imports_a_facade():
    facades = [["mrcnn", name] for name in FACADES]
    wrong = [_where(module, imported) for module in modules() if module.part not in (*FACADES, "cli")
             for imported in imports(module) if imported.target.split(".")[:2] in facades]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_ring_0_and_config_never_import_keras():
    inner = {name for name, ring in RINGS.items() if ring == 0} | {"config"}
    wrong = [_where(module, imported) for module in modules() if module.part in inner
             for imported in imports(module) if imported.target.split(".")[0] in ("keras", *BACKENDS)
             and (imported.at_import or module.name not in LATE_BACKEND_FILES)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_no_backend_is_imported_at_the_top_of_a_module():
    found = [(module, imported) for module in modules() if module.name not in BACKEND_FILES
             for imported in imports(module) if imported.at_import]  # fmt: skip
    wrong = [_where(*pair) for pair in found if pair[1].target.split(".")[0] in BACKENDS]
    assert not wrong, "\n".join(wrong)


def test_keras_is_used_by_its_public_names():
    wrong = [_where(module, imported) for module in modules() for imported in imports(module)
             if imported.target.startswith("keras.src")]  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert not [module.name for module in modules() if "keras.src" in module.text]


def test_only_ring_2_and_the_facade_import_config():
    wrong = [_where(module, imported) for module in modules() if RINGS.get(module.part, 3) < 2
             for imported in imports(module) if imported.target.startswith("mrcnn.config")]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing():
    (package,) = [module for module in modules() if not module.name]
    assert imports(package) == []
