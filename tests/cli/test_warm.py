"""`vsrpp doctor --warm`: after it, a run compiles nothing."""

import json

import pytest

from support.clips import write_clip
from support.commands import vsrpp


def compiled(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*.nbc"))


@pytest.mark.parametrize(
    ("pix_fmt", "tile"), [("yuv420p", "off"), ("yuv420p", 96), ("yuv444p10le", 96)]
)
def test_a_run_afterwards_compiles_nothing(warmed, tmp_path, pix_fmt, tile):
    cache, env = warmed
    before = compiled(cache)
    assert before
    clip = write_clip(tmp_path / "clip.mp4", 4, (160, 80))
    options = ["--pix-fmt", pix_fmt, "--tile", tile, "--precision", "fp32", "--height", 200, "-q"]
    vsrpp("upscale", clip, tmp_path / "out.mkv", *options, env=env, check=0)
    new = [p.name for p in compiled(cache) if p not in before]
    assert new == []


def test_it_says_what_it_compiled_and_the_second_time_that_all_is_there(warmed):
    _, env = warmed
    said = json.loads(vsrpp("doctor", "--warm", "--json", env=env, check=0).stdout)["compiled"]
    assert said["functions"] == []
    text = vsrpp("doctor", "--warm", env=env, check=0).stdout
    assert "all were compiled already" in text


@pytest.fixture(scope="module")
def warmed(tmp_path_factory):
    cache = tmp_path_factory.mktemp("kernels")
    env = {"NUMBA_CACHE_DIR": str(cache)}
    # A quarter of a minute of computing, which on a busy machine can take many.
    done = vsrpp("doctor", "--warm", "--json", env=env, check=0, timeout=800)
    said = json.loads(done.stdout)["compiled"]
    assert {"decode_planes", "encode_planes"} < set(said["functions"])
    assert said["folders"]
    assert all(str(cache) in folder for folder in said["folders"])
    return cache, env
