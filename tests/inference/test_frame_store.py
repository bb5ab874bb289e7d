"""Frames put together from tiles: in memory or in a file, at once at the final size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from support.tiny import moving_frames, tiny_network
from vsrpp_cli.errors import DiskFullError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.keeping.frame_store import (
    FrameStore,
    ShelfInFile,
    ShelfInMemory,
    as_floats,
)
from vsrpp_cli.inference.keeping.landing import Landing
from vsrpp_cli.inference.keeping.scratch import ScratchFile
from vsrpp_cli.inference.tiling import shares
from vsrpp_cli.planning.chunks import Chunk, plan_segments
from vsrpp_cli.resample import fit


@pytest.fixture
def scratch(tmp_path):
    file = ScratchFile(tmp_path)
    yield file
    file.close()


def _store(count, size, crop=None, tile=None, final=None, shelf=None):
    crop = crop or size
    final = final or crop
    shelf = shelf or ShelfInMemory(*final)
    return FrameStore(count, size=size, crop=crop, tile=tile or size[1], final=final, shelf=shelf)


def test_it_keeps_values_and_adds_shares():
    store = _store(1, (8, 6), (7, 5))
    frame = torch.rand(3, 6, 8)
    (share,) = shares(frame[None], torch.full((1, 6, 8), 1 / 8))
    for _ in range(8):
        store.add(0, share, 0, 0)
    store.finish(6)
    (stored,) = map(as_floats, store.frames())
    assert stored.shape == (3, 5, 7)
    assert np.abs(stored - frame[:, :5, :7].numpy()).max() < 1.5e-4


def test_full_white_does_not_overflow():
    store = _store(1, (4, 4))
    (share,) = shares(torch.ones(1, 3, 4, 4), torch.full((1, 4, 4), 1 / 8))
    for _ in range(8):
        store.add(0, share, 0, 0)
    store.finish(4)
    assert next(store.frames()).min() > 0.999 * 65535


@pytest.mark.parametrize("final", [(40, 60), (20, 30), (41, 61), (17, 23)])
@pytest.mark.parametrize("in_file", [False, True])
def test_rows_are_finished_as_tiles_are_and_are_those_of_whole_frames(final, in_file, scratch):
    pictures = torch.rand(3, 3, 64, 40)  # of which 60 rows count
    shelf = ShelfInFile(scratch, *final) if in_file else ShelfInMemory(*final)
    store = _store(3, (40, 64), (40, 60), 24, final, shelf)
    parts = [(0, 24), (20, 44), (40, 64)]
    for top, stop in parts:
        weight = torch.ones(1, stop - top, 40)
        weight[:, :4] = 0.5 if top else 1  # the rows that two of them share
        weight[:, -4:] = 0.5 if stop < 64 else 1
        for index, picture in enumerate(pictures):
            store.add(index, shares(picture[None, :, top:stop], weight)[0], top, 0)
        store.finish(stop - 4 if stop < 64 else 64)
    for picture, made in zip(pictures, store.frames(), strict=True):
        expected = fit(picture[:, :60].numpy(), *final)
        assert np.abs(as_floats(made) - expected).max() < 2e-4


def _upscaled(landing=None, **options):
    engine = Engine(
        [tiny_network()], device=torch.device("cpu"), precision="fp32", threads=1, tile=(64, 64),
        tile_overlap=8, **options,
    )  # fmt: skip
    frames = moving_frames(4, 64, 100)
    (segment,) = plan_segments(4, (), chunk=3, overlap=1, segment=4)
    assert len(segment.chunks) > 1
    return np.stack(list(engine.land(iter(frames), segment.chunks, landing)))


@pytest.mark.parametrize("ensemble", [False, True])
def test_what_is_kept_in_files_is_the_same_as_in_memory(tmp_path, ensemble):
    in_memory = _upscaled(Landing(120, 200), ensemble=ensemble)
    in_file = _upscaled(Landing(120, 200, tmp_path), ensemble=ensemble)
    assert in_file.dtype == np.uint16
    assert np.array_equal(in_file, in_memory)
    assert not list(tmp_path.iterdir())


def test_frames_land_at_the_size_wanted():
    floats = map(as_floats, _upscaled())
    landed = _upscaled(Landing(120, 200))
    for whole, small in zip(floats, landed, strict=True):
        assert np.abs(as_floats(small) - fit(whole, 120, 200)).max() < 1e-4


def test_states_in_a_file_go_on_bit_for_bit_in_half_precision(tmp_path):
    engine = Engine(
        [tiny_network()], device=torch.device("cpu"), precision="bf16",
        threads=1,
        tile=(64, 64), tile_overlap=8,
    )  # fmt: skip
    frames = moving_frames(4, 72, 64)
    chunks = [Chunk(0, 3, 0, 2), Chunk(2, 4, 2, 4, carries=True)]
    made = [
        np.stack(list(engine.land(iter(frames), chunks, Landing(72, 64, folder))))
        for folder in (None, tmp_path)
    ]
    assert np.array_equal(*made)


def test_a_full_disk_is_an_error_not_a_signal(scratch, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(scratch, "_file", full)
        with pytest.raises(DiskFullError, match="no space left"):
            scratch.write(0, np.zeros(1 << 20, np.uint8))
