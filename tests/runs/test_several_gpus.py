"""A run on a machine with several GPUs, their number simulated: who computes where."""

from types import SimpleNamespace

import pytest
import torch

from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.inference.session import compute_spec
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.run import upscale
from vsrpp_cli.runs.workers import processes


class _GivenError(Exception):
    """Raised with the places, in the place of computing."""


@pytest.fixture
def places(monkeypatch, tmp_path):
    """Return a function that plans a run of five segments and returns the workers' places."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=24 << 30)
    )
    monkeypatch.setattr("vsrpp_cli.inference.session.available_cores", lambda: 16)
    monkeypatch.setattr("vsrpp_cli.inference.session.default_threads", lambda: 16)

    def given(_plan, _folder, _indices, found, *_):
        raise _GivenError([(place.device, place.threads) for place in found])

    monkeypatch.setattr(processes, "run", given)
    clip = write_clip(tmp_path / "clip.mp4", 20)
    model = str(tiny_checkpoint(tmp_path / "tiny.pth"))

    def run(**options):
        wanted = UpscaleOptions(
            model=model, segment=4, chunk=4, overlap=0, resume="restart", **options
        )
        with pytest.raises(_GivenError) as found:
            upscale(clip, tmp_path / "out.mp4", wanted)
        return found.value.args[0]

    return run


def test_by_itself_a_run_takes_all_gpus(places):
    assert places() == [("cuda:0", 4), ("cuda:1", 4), ("cuda:2", 4), ("cuda:3", 4)]


def test_a_run_takes_the_gpus_that_are_named(places):
    assert places(device="cuda:1,cuda:3") == [("cuda:1", 8), ("cuda:3", 8)]


def test_more_workers_than_gpus_share_them(places):
    assert places(device="cuda:1,cuda:3", workers=3, threads=6) == [
        ("cuda:1", 2), ("cuda:3", 2), ("cuda:1", 2),
    ]  # fmt: skip


def test_no_more_workers_than_segments(places):
    assert len(places(workers=9)) == 5


def test_more_threads_than_cores_are_not_used_and_that_is_said(monkeypatch):
    monkeypatch.setattr("vsrpp_cli.inference.session.available_cores", lambda: 2)
    spec = compute_spec(UpscaleOptions(device="cpu", threads=99))
    assert spec.threads == 2
    assert spec.notes == ("99 threads were asked for, 2 cores are there",)
    assert not compute_spec(UpscaleOptions(device="cpu", threads=2)).notes
