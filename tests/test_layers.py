"""The layers of the design: a module imports from lower layers, its own row or its own package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vsrpp_cli

ROOT = Path(vsrpp_cli.__file__).parent

LAYERS = [
    {"errors", "options", "records", "version"},
    {"durable"},
    {"planning", "media", "kernels", "metrics", "degrade"},
    {"network"},
    {"streaming"},
    {"backends"},
    {"checkpoints"},
    {"inference"},
    {"runs"},
    {"evaluation", "training"},
    {"cli", "__main__"},
]
BESIDES = ({"errors", "options", "records", "version"}, {"cli", "__main__"})
"""Single modules that stand beside each other rather than above."""

LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

WITHOUT_TORCH = [
    "vsrpp_cli",
    "vsrpp_cli.errors",
    "vsrpp_cli.options",
    "vsrpp_cli.planning.chunks",
    "vsrpp_cli.planning.tiles",
    "vsrpp_cli.planning.budget",
    "vsrpp_cli.checkpoints.registry",
    "vsrpp_cli.cli.main",
]

MODULES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def _part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported(path: Path) -> set[str]:
    """Return the second names of all `vsrpp_cli.X` imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vsrpp_cli"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "vsrpp_cli" and len(name) > 1}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_from_lower_layers_or_beside_itself(path):
    own = _part(path)
    upward = {name for name in _imported(path) if name != own and LAYER[name] >= LAYER[own]}
    upward = {name for name in upward if not any({name, own} <= row for row in BESIDES)}
    assert not upward


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_media_layer_imports_pyav(path):
    tree = ast.parse(path.read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert _part(path) == "media" or not any(name.split(".")[0] == "av" for name in names)


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("__init__.py")), ids=lambda p: str(p.parent.name)
)
def test_package_files_hold_a_docstring_and_nothing_else(path):
    if path == ROOT / "__init__.py":
        pytest.skip("the one package file that holds the lazy Python API")
    body = ast.parse(path.read_text()).body
    assert len(body) == 1
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_light_modules_do_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", [["--help"], ["--version"]])
def test_help_does_not_import_torch(command):
    code = (
        "import sys\n"
        "from vsrpp_cli.cli.main import execute\n"
        f"code = execute({command!r})\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "vsrpp" in done.stdout
