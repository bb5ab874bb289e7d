"""`vsrpp models`, as it is typed."""

import json
import shutil
import subprocess
import sys

import pytest

from support.commands import assert_one_line, vsrpp
from support.places import ROOT
from vsrpp_cli.checkpoints.cache import place_of
from vsrpp_cli.checkpoints.registry import (
    MATERIALS,
    MODELS,
    available_models,
    embedded_model,
    lookup,
)

EMBEDDED = [row for row in MODELS.values() if row.embedded]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VSRPP_CACHE", str(tmp_path / "cache"))
    return {"VSRPP_CACHE": str(tmp_path / "cache")}


def lines(*args, env):
    return vsrpp("models", *args, env=env, check=0).stdout.splitlines()


def test_list_has_every_model_and_says_what_is_here(cache):
    place_of(lookup("bi")).parent.mkdir(parents=True)
    place_of(lookup("bi")).write_bytes(b"")
    rows = {line.split()[0]: line for line in lines("list", env=cache)[1:]}
    assert tuple(rows) == available_models()
    assert " built in " in rows["compact"]
    assert " cached " in rows["vimeo90k-bi"]
    assert " no " in rows["reds4"]


def test_list_as_json_is_for_programs(cache):
    rows = json.loads("\n".join(lines("list", "--json", env=cache)))
    assert [row["name"] for row in rows] == list(available_models())
    assert rows[0]["here"] is True
    assert rows[0]["scale"] == 4


def test_info_says_all_about_a_model(cache):
    text = "\n".join(lines("info", "bd", env=cache))
    for fact in ("vimeo90k-bd", "29 MB", "Apache-2.0", "64 channels", "40.7216", "0.9722", "(BD)"):
        assert fact in text
    for url in lookup("bd").urls:
        assert url in text
    assert str(place_of(lookup("bd"))) in text


def test_info_of_every_model_runs(cache):
    for name in available_models():
        assert json.loads("\n".join(lines("info", name, "--json", env=cache)))["name"] == name


def test_info_alone_explains_the_choice(cache):
    text = "\n".join(lines("info", env=cache))
    assert "BI " in text
    assert "BD " in text
    for material, models in MATERIALS:
        assert material in text
        assert models in text


def test_info_of_an_unknown_model_suggests_one(cache):
    done = vsrpp("models", "info", "redds4", env=cache, check=2)
    assert "did you mean reds4" in assert_one_line(done)


def test_path_is_where_the_file_is_or_belongs(cache, tmp_path):
    assert lines("path", env=cache) == [str(tmp_path / "cache" / "models")]
    assert lines("path", "compact", env=cache) == [str(place_of(embedded_model()))]
    done = vsrpp("models", "path", "reds4", env=cache, check=0)
    assert done.stdout.strip() == str(place_of(lookup("reds4")))
    assert "vsrpp models download reds4" in done.stderr


def test_verify_checks_what_is_here(cache):
    assert lines("verify", env=cache) == [f"{row.name}: good, {place_of(row)}" for row in EMBEDDED]


def test_verify_finds_a_damaged_file(cache):
    place_of(lookup("bi")).parent.mkdir(parents=True)
    place_of(lookup("bi")).write_bytes(b"something")
    done = vsrpp("models", "verify", env=cache, check=4)
    assert "compact: good" in done.stdout
    assert "not the file of model vimeo90k-bi" in assert_one_line(done)


def test_verify_of_a_model_that_is_not_here_says_how_to_get_it(cache):
    message = assert_one_line(vsrpp("models", "verify", "bd", env=cache, check=4))
    for part in ("`vsrpp models info vimeo90k-bd` says where", "--model compact"):
        assert part in message
    facts = "\n".join(lines("info", "bd", env=cache))
    for part in (*lookup("bd").urls, str(place_of(lookup("bd")))):
        assert part in facts


def test_download_of_the_embedded_model_has_nothing_to_do(cache):
    assert lines("download", "compact", env=cache) == [f"compact: {place_of(embedded_model())}"]


def test_download_offline_says_the_way_on(cache):
    done = vsrpp("models", "download", "reds4", "--offline", env=cache, check=4)
    message = assert_one_line(done)
    assert "`vsrpp models info reds4` says where" in message
    assert len(message) < 250


def test_download_all_goes_on_after_a_failure(cache):
    done = vsrpp("models", "download", "all", env=cache, check=4)
    assert "compact: " in done.stdout
    assert done.stderr.count("vsrpp: model ") == len(available_models()) - len(EMBEDDED)


@pytest.mark.parametrize("command", ["list", "info", "path", "verify"])
def test_looking_at_models_does_not_import_torch(command, cache):
    script = (
        "import sys; from vsrpp_cli.cli.main import execute; "
        f"code = execute(['models', '{command}']); sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_embedded_model_is_found_inside_an_installed_package(tmp_path):
    """A wheel has `weights/` inside the package instead of beside `src/`."""
    package = place_of(embedded_model()).parents[1] / "src" / "vsrpp_cli"
    if not package.is_dir():
        pytest.skip("this is an installed package already")
    shutil.copytree(package, tmp_path / "vsrpp_cli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(place_of(embedded_model()).parent, tmp_path / "vsrpp_cli" / "weights")
    script = "import sys; from vsrpp_cli.cli.main import execute; sys.exit(execute(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, "models", "verify"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert str(tmp_path / "vsrpp_cli" / "weights") in done.stdout


def test_the_documentation_has_the_same_advice_and_figures():
    page = ROOT / "docs" / "models.md"
    text = page.read_text()
    for material, models in MATERIALS:
        assert f"| {material} | `{models}` |" in text
    for name in available_models():
        for score in lookup(name).scores:
            assert f"{score.psnr:.4f} / {score.ssim:.4f}" in text
