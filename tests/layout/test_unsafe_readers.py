"""No code from data files is executed: only `mrcnn.io.pickles` reads pickles, and no text is evaluated as code."""
import ast

import pytest

from tests.shared_data import REPOSITORY

# modules whose readers execute code from a file, or import modules that it names
UNSAFE_MODULES = {"cPickle", "_pickle", "dill", "jsonpickle", "joblib", "marshal", "shelve", "skops"}
# the names of pickle and cloudpickle that may be used
PICKLES = ("pickle", "cloudpickle")
WRITERS = {"dump", "dumps", "Pickler", "HIGHEST_PROTOCOL", "DEFAULT_PROTOCOL", "PicklingError", "UnpicklingError"}
# the base class of the one restricted reader
READER = ("mrcnn/io/pickles.py", "pickle._Unpickler")
UNSAFE_CALLS = {f"{module}{name}" for name in ("eval", "exec", "compile", "__import__") for module in ("", "builtins.")}
UNSAFE_ATTRIBUTES = {"read_pickle", "Unpickler", "unsafe_load", "full_load", "enable_unsafe_deserialization"}
SAFE_LOADERS = {"yaml.BaseLoader", "yaml.SafeLoader", "yaml.CBaseLoader", "yaml.CSafeLoader"}


class Source:
    """Source code with the full names of its imports, so that `np.load` is recognised as `numpy.load`."""

    def __init__(self, text):
        self.nodes = list(ast.walk(ast.parse(text)))
        self.names = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                heads = [(alias.asname, alias.name, alias.name.split(".")[0]) for alias in node.names]
                self.names |= {short or head: full if short else head for short, full, head in heads}
            if isinstance(node, ast.ImportFrom) and node.module:
                self.names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}

    def full(self, node):
        """Return the dotted name of an expression; "" if it is not a name."""
        if isinstance(node, ast.Attribute):
            return f"{self.full(node.value)}.{node.attr}"
        return self.names.get(node.id, node.id) if isinstance(node, ast.Name) else ""

    def findings(self):
        """Return a list of (line, name) of everything that could execute a data file."""
        kinds = {ast.Import: self._import, ast.ImportFrom: self._import, ast.Name: self._name, ast.Attribute: self._name,
                 ast.Call: self._call}  # fmt: skip
        return [(node.lineno, what) for node in self.nodes if type(node) in kinds for what in kinds[type(node)](node)]

    def _import(self, node):
        for alias in node.names:
            module = node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
            if module.split(".")[0] in UNSAFE_MODULES:
                yield module
            if isinstance(node, ast.ImportFrom) and module in PICKLES and alias.name not in WRITERS:
                yield f"pickle.{alias.name}"

    def _name(self, node):
        full = self.full(node)
        module, _, last = full.rpartition(".")
        if full in UNSAFE_CALLS or module in PICKLES and last not in WRITERS:
            yield full
        if last in UNSAFE_ATTRIBUTES and module != "mrcnn.io.pickles":
            yield full

    def _call(self, node):
        full, keywords = self.full(node.func), {word.arg: word.value for word in node.keywords}
        constants = {name: value.value if isinstance(value, ast.Constant) else ... for name, value in keywords.items()}
        if constants.get("allow_pickle") not in (None, False) or full == "numpy.load" and len(node.args) > 2:
            yield f"{full} with allow_pickle"
        if full == "torch.load" and constants.get("weights_only") is not True:
            yield "torch.load without weights_only=True"
        if full.endswith("load_model") and constants.get("safe_mode") not in (None, True):
            yield f"{full} with safe_mode"
        if full in ("yaml.load", "yaml.load_all") and not self._is_safe(keywords.get("Loader")):
            yield f"{full} without a safe Loader"

    def _is_safe(self, loader):
        own = {node.name for node in self.nodes if isinstance(node, ast.ClassDef) and node.bases
               and all(self.full(base) in SAFE_LOADERS for base in node.bases)}  # fmt: skip
        return loader is not None and self.full(loader) in SAFE_LOADERS | own


def test_no_module_executes_a_data_file():
    folders = ("mrcnn", "samples", "benchmarks", "notebooks")
    files = sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))
    assert len(files) > 50
    wrong = [f"{path}:{line}: {what}" for path in files for line, what in Source(path.read_text(encoding="utf-8")).findings()
             if (path.relative_to(REPOSITORY).as_posix(), what) != READER]  # fmt: skip
    assert not wrong, "read pickles with mrcnn.io.pickles.read_pickle, and evaluate no text:\n" + "\n".join(wrong)


@pytest.mark.parametrize("text", [
    "import pickle\npickle.load(f)", "import pickle as p\np.loads(b)", "from pickle import loads", "from pickle import *",
    "import pickle\npickle.Unpickler", "import pickle\npickle._Unpickler", "import cloudpickle\ncloudpickle.loads(b)",
    "from cloudpickle import load", "import pickle\nclass A(pickle.Unpickler): ...", "from pickle import Unpickler",
    "import dill", "import joblib.numpy_pickle", "import marshal", "from shelve import open", "def f():\n  import _pickle",
    "import numpy as np\nnp.load(f, allow_pickle=True)", "import numpy as np\nnp.load(f, allow_pickle=flag)",
    "import numpy as np\nnp.load(f, None, True)", "from numpy import load\nload(f, None, True)", "f(allow_pickle=1)",
    "eval(x)", "f = exec", "compile(x, '', 'eval')", "import builtins\nbuiltins.eval(x)", "__import__(x)",
    "import yaml\nyaml.load(f)", "import yaml\nyaml.load(f, Loader=yaml.Loader)", "import yaml\nyaml.unsafe_load(f)",
    "import yaml\nclass A(yaml.Loader): ...\nyaml.load(f, Loader=A)", "import pandas as pd\npd.read_pickle(f)",
    "import torch\ntorch.load(f)", "import keras\nkeras.models.load_model(f, safe_mode=False)",
    "import keras\nkeras.config.enable_unsafe_deserialization()",
])  # fmt: skip
def test_unsafe_readers_are_found(text):
    assert Source(text).findings()


def test_safe_calls_pass():
    text = """
import ast, cloudpickle, json, pickle, re, yaml
import numpy as np
from mrcnn.io import pickles
from mrcnn.io.pickles import read_pickle
class Plain(yaml.BaseLoader): ...
read_pickle(f), pickles.read_pickle(f), pickle.dumps(x), cloudpickle.dumps(x), yaml.load(f, Loader=Plain), yaml.safe_load(f)
np.load(f), np.load(f, allow_pickle=False), re.compile(x), model.compile(), model.eval(), ast.literal_eval(x), json.load(f)
"""
    assert Source(text).findings() == []
