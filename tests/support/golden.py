"""The weights that golden files were made with: a function of the parameters' names."""

import importlib.util
from types import ModuleType

from support.places import DATA

GOLDEN = DATA / "golden"


def golden_weights() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "golden_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
