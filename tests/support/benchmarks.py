"""The scripts of `benchmarks/` as modules, for tests of what is in them."""

import importlib.util
import sys

from support.places import ROOT


def script(name):
    """Return a script, not run."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
