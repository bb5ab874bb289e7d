"""`--work-dir`: what is made and what is left of it."""

import pytest

from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.run import upscale


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return write_clip(folder / "in.mp4", 2), tiny_checkpoint(folder / "tiny.pth")


def options(model, place):
    return UpscaleOptions(model=str(model), work_dir=str(place), threads=1)


def test_a_work_dir_without_a_parent_is_refused_and_nothing_made(parts, tmp_path):
    clip, model = parts
    with pytest.raises(UsageError, match="no-such is no folder"):
        upscale(clip, tmp_path / "out.mp4", options(model, tmp_path / "no-such" / "xx"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [False, True])
def test_a_work_dir_that_the_run_made_does_not_stay_behind_empty(parts, tmp_path, before):
    clip, model = parts
    place = tmp_path / "work"
    if before:
        place.mkdir()
    with pytest.raises(UsageError):
        upscale(clip, tmp_path / "out.mp4", options("no-such-model", place))
    assert place.exists() == before
    upscale(clip, tmp_path / "out.mp4", options(model, place))
    assert place.exists() == before
