"""Any container, any stream, any range: a named output, or a refusal before the first frame."""

from fractions import Fraction

import av
import pytest

from support.clips import tiny_checkpoint
from support.kinds import KINDS, write_foreign, write_kind
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.plans.rehearsal import Resizing
from vsrpp_cli.runs.run import upscale
from vsrpp_cli.runs.workers import serial

RANGES = {"whole": {}, "start": {"start": Fraction(1, 5)}, "three": {"frames": 3}}

HEARD = {"aac": 1, "pcm": 1, "opus": 1, "two tracks": 2}
"""Tracks of sound by kind of stream: every container has a way to keep them."""

READ = {"text": (".mp4", ".mov", ".mkv", ".webm"), "pictures": (".mkv",)}
"""Which containers keep subtitles."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return a function that makes clips, each once."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def get(write, *args, **options):
        key = (write.__name__, *args, *options.values())
        if key not in made:
            made[key] = write(folder, *args, **options)
        return made[key]

    return get


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth"))


@pytest.fixture
def finish(model, tmp_path, monkeypatch):
    """Run, resizing instead of computing; return the output, or None if that was refused early."""
    monkeypatch.setattr(serial, "load_engine", lambda _: Resizing())

    def run(source, suffix, **options):
        output, phases = tmp_path / f"out{suffix}", []
        chosen = UpscaleOptions(
            model=model, precision="fp32", threads=1, preset="ultrafast", segment=5, **options
        )
        try:
            report = upscale(source, output, chosen, on_progress=lambda p: phases.append(p.phase))
        except VsrppError:
            assert "compute" not in phases, phases
            assert not output.exists()
            assert not output.with_name(f"{output.name}.vsrpp").exists()
            return None
        assert list(tmp_path.iterdir()) == [output]
        assert report.rehearsal == []
        assert not [n for n in report.notes if "cannot be carried" in n or "instead of" in n]
        return output

    return run


def streams(path):
    """Return how many streams of each kind a file holds."""
    with av.open(str(path)) as file:
        kinds = [stream.type for stream in file.streams]
    return {kind: kinds.count(kind) for kind in ("video", "audio", "subtitle")}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("kind", KINDS)
def test_streams_are_kept_or_refused_before_the_work(clip, finish, kind, suffix):
    source = clip(write_kind, kind)
    for name, chosen in RANGES.items():
        output = finish(source, suffix, overwrite=True, **chosen)
        assert output is not None, name
        found = streams(output)
        assert found["video"] == 1
        assert found["audio"] == HEARD.get(kind, 0), name
        assert found["subtitle"] == (suffix in READ.get(kind, ())), name


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("foreign", "sound"),
    [(".ts", False), (".ts", True), (".avi", False), (".avi", True), (".vob", True),
     (".gif", False)],
)  # fmt: skip
def test_other_containers_become_a_named_output(clip, finish, foreign, sound, suffix):
    source = clip(write_foreign, foreign, sound=sound)
    for name, chosen in RANGES.items():
        output = finish(source, suffix, overwrite=True, **chosen)
        assert output is not None, name
        assert streams(output)["audio"] == sound, name
