"""The layers of the design: a module imports from lower layers, its own row or its own package."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import vsrpp_cli
from support.places import ROOT as PLACES

ROOT = Path(vsrpp_cli.__file__).parent

LAYERS = [
    {"errors", "options", "records", "version"},
    {"durable", "resample"},
    {"planning", "media", "kernels", "metrics", "degrade"},
    {"network"},
    {"streaming"},
    {"backends"},
    {"checkpoints"},
    {"inference"},
    {"runs"},
    {"evaluation", "training", "api"},
    {"cli", "__main__"},
]
BESIDES = ({"errors", "options", "records", "version"}, {"cli", "__main__"})
"""Single modules that stand beside each other rather than above."""

MEDIA_ROOMS = [
    {"types", "suffixes", "coding_table", "container_table", "demuxer_table"},
    {"opening", "pipes", "part"},
    {"color"},
    {"decode"},
    {"images"},
    {"source", "compression"},
    {"encode"},
    {"mux"},
    {"output"},
]
"""Inside `media`: a module imports from rooms before its own or from its own."""

MOST_MODULES = 14
"""In one folder, its `__init__` left out."""

LONGEST_BODY, MEDIAN_BODY, LONG_BODY = 60, 5, 17
"""Lines of functions' bodies, docstrings left out: of any, of half, of nine in ten."""

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


def _imports(path: Path) -> set[str]:
    """Return the full names of all modules of this package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vsrpp_cli"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in NAMES else str(node.module))
    return found


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("vsrpp_cli", *(part for part in parts if part != "__init__")))


NAMES = {_name(path): path for path in MODULES}


def test_rooms_of_media_use_those_before_them():
    place = {name: number for number, row in enumerate(MEDIA_ROOMS) for name in row}
    upward = []
    for name, path in NAMES.items():
        room = name.split(".")[2:3]
        if not name.startswith("vsrpp_cli.media.") or not room:
            continue
        for used in _imports(path):
            other = used.split(".")[2:3]
            if used.startswith("vsrpp_cli.media.") and other != room:
                upward += [(name, used)] * (place[other[0]] >= place[room[0]])
    assert not upward


def test_no_circle_of_imports():
    waiting = {name: _imports(path) & NAMES.keys() - {name} for name, path in NAMES.items()}
    while free := [name for name, uses in waiting.items() if not uses & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting


def test_no_folder_holds_too_many_modules():
    folders = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {f: n for f, n in folders.items() if n > MOST_MODULES} == {}


def _bodies() -> list[tuple[int, str]]:
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node, clean=False) else node.body
                if body:
                    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                    found.append((lines, f"{path.relative_to(ROOT)}: {node.name}"))
    return sorted(found)


def test_functions_are_short():
    bodies = _bodies()
    assert bodies[-1][0] <= LONGEST_BODY, bodies[-1]
    assert bodies[len(bodies) // 2][0] <= MEDIAN_BODY
    assert bodies[len(bodies) * 9 // 10][0] <= LONG_BODY


def test_the_architecture_page_names_files_that_exist():
    page = PLACES / "docs" / "architecture.md"
    named = set(re.findall(r"`([a-z_0-9/]+/[a-z_0-9]+\.py)`", page.read_text()))
    assert len(named) > 30
    assert {
        name for name in named if not (ROOT / name).is_file() and not (PLACES / name).is_file()
    } == set()


def test_the_architecture_page_names_every_folder():
    page = (PLACES / "docs" / "architecture.md").read_text()
    folders = {path.parent.name for path in MODULES if path.parent != ROOT}
    assert not {name for name in folders if f"{name}/" not in page}
