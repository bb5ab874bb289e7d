"""Whole runs from Python."""

import subprocess
import sys
from textwrap import dedent

import pytest

import vsrpp_cli
from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, frame_hashes
from vsrpp_cli import Interrupted, StopToken, UpscaleOptions, VsrppError, upscale


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return write_clip(folder / "in.mp4", 12), tiny_checkpoint(folder / "tiny.pth")


def options(model, **more):
    return UpscaleOptions(model=model, device="cpu", threads=1, segment=3, **more)


def test_a_run_is_stopped_by_its_token_and_the_same_call_goes_on(parts, tmp_path):
    clip, model = parts
    token = StopToken()

    def stop(progress):
        if progress.phase == "compute" and progress.done:
            token.request()

    with pytest.raises(Interrupted, match="same command again"):
        upscale(clip, tmp_path / "out.mp4", options(model), on_progress=stop, stop=token)
    report = upscale(clip, tmp_path / "out.mp4", options(model))
    assert report.segments_reused >= 1
    upscale(clip, tmp_path / "whole.mp4", options(model))
    assert frame_hashes(tmp_path / "out.mp4") == frame_hashes(tmp_path / "whole.mp4")


def test_a_cell_that_is_interrupted_is_run_again(parts, tmp_path):
    clip, model = parts

    def interrupt(progress):
        if progress.phase == "compute" and progress.done >= 6:
            raise KeyboardInterrupt  # as Python does it amid a run in a notebook

    with pytest.raises(KeyboardInterrupt):
        upscale(clip, tmp_path / "out.mp4", options(model), on_progress=interrupt)
    report = upscale(clip, tmp_path / "out.mp4", options(model))
    assert report.status == "done"
    assert report.segments_reused >= 1


def test_several_workers_need_no_guard_of_the_main_module(parts, tmp_path):
    clip, model = parts
    script = tmp_path / "script.py"
    script.write_text(
        dedent(f"""
        from vsrpp_cli import UpscaleOptions, upscale
        print("begun")
        options = UpscaleOptions(model={str(model)!r}, device="cpu", workers=2, segment=6)
        print(upscale({str(clip)!r}, "out.mp4", options).status)
    """)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["begun", "done"]
    assert "Traceback" not in done.stderr


def test_every_public_name_is_there_and_others_are_not():
    for name in vsrpp_cli.__all__:
        assert getattr(vsrpp_cli, name) is not None
        assert name in dir(vsrpp_cli)
    with pytest.raises(AttributeError, match="no attribute 'upscal'"):
        _ = vsrpp_cli.upscal
    assert issubclass(vsrpp_cli.UsageError, VsrppError)
