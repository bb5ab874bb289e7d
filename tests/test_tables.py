"""One table for each kind of fact, which all that need the fact read; nobody asks for names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

import vsrpp_cli
from vsrpp_cli.checkpoints import registry
from vsrpp_cli.evaluation.sequences import find_sequences
from vsrpp_cli.media.container_table import CONTAINERS, UNSUITABLE
from vsrpp_cli.media.encode import encoder_table
from vsrpp_cli.media.images import format_table
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsrpp_cli.runs.batch_items import find_items
from vsrpp_cli.runs.destination import output_suffix
from vsrpp_cli.training.material.sources import find_material

ROOT = Path(vsrpp_cli.__file__).parent

NAMES = (
    {name for row in encoder_table.ROWS for name in (row.encoder, row.coding)}
    | encoder_table.ALIASES.keys()
    | {row.muxer for row in CONTAINERS}
    | {row.format for row in format_table.ROWS}
    | set(registry.available_models())
    | av.codecs_available
    | av.formats_available
)
"""Everything that has a row in a table, or could have one."""

WORDS = {"data", "null", "segment", "text"}
"""Names of FFmpeg's that are words of this program, too."""


def test_whatever_can_be_written_or_is_refused_by_name_is_taken_for_a_video():
    written = {suffix for row in CONTAINERS for suffix in row.suffixes}
    assert written | set(UNSUITABLE) <= VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES.keys()


def test_every_image_format_has_a_row_and_a_suffix_that_is_read():
    assert {row.format for row in format_table.ROWS} == set(IMAGE_SUFFIXES.values())
    assert all(IMAGE_SUFFIXES[row.suffix] == row.format for row in format_table.ROWS)


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_batch_evaluation_and_training_take_the_same_files_for_videos(suffix, tmp_path):
    video = tmp_path / f"clip{suffix}"
    video.touch()
    (tmp_path / "notes.txt").touch()
    assert [item.input for item in find_items(tmp_path, tmp_path / "out").items] == [video]
    assert [sequence.path for sequence in find_sequences(tmp_path, None)] == [video]
    assert [name for name, _ in find_material([tmp_path]).videos] == [video.name]


def test_an_output_shares_its_source_s_container_where_that_can_be_written(tmp_path):
    for row in CONTAINERS:
        for suffix in row.suffixes:
            assert output_suffix(tmp_path / f"a{suffix}") == suffix
    for suffix in UNSUITABLE:
        assert output_suffix(tmp_path / f"a{suffix}") == ".mkv"


def _is_table(path: Path) -> bool:
    return path.name.endswith("_table.py") or path.name == "registry.py"


def _texts(node: ast.AST, constants: dict[str, set[str]]) -> set[str]:
    """Return the strings in an expression, those of the module's constants included."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.add(part.value)
        elif isinstance(part, ast.Name):
            found |= constants.get(part.id, set())
    return found


def _constants(tree: ast.Module) -> dict[str, set[str]]:
    """Return the strings in the module's constants; of dictionaries, the keys; of records, none."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if isinstance(node.value, ast.DictComp):
                continue
            keys = node.value.keys if isinstance(node.value, ast.Dict) else [node.value]
            found[node.targets[0].id] = {text for key in keys if key for text in _texts(key, {})}
    return found


def _asked(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of everything that compares with one of `NAMES`."""
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            method = isinstance(node.func, ast.Attribute) and node.func.attr
            compares = method in ("startswith", "endswith")
        else:
            compares = isinstance(node, ast.Compare | ast.MatchValue)
        if compares and _texts(node, constants) & NAMES - WORDS:
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("text", ["x == 'libx264'", "x in ('mp4', 'mov')", "x in NAMES",
                                  "x.startswith('matroska')"])  # fmt: skip
def test_what_asks_for_a_name_is_found(text):
    assert list(_asked(ast.parse(f"NAMES = ('compact', 'y')\nif {text}: pass")))


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.rglob("*.py")) if not _is_table(path)],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_nothing_outside_the_tables_asks_for_the_name_of_a_codec_container_or_model(path):
    assert not list(_asked(ast.parse(path.read_text(encoding="utf-8"))))
