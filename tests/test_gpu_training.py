"""`benchmarks/gpu_training.py`: a pack made small, trained from on the CPU without PyAV."""

import bz2
import itertools
import os
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from support.benchmarks import script
from support.material import recipe_text, scene, tiny_recipe
from support.places import ROOT
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.errors import InputError
from vsrpp_cli.evaluation.comparison.pictures import write_picture
from vsrpp_cli.training import curves
from vsrpp_cli.training.material.prepare import prepare
from vsrpp_cli.training.material.sampler import Pack
from vsrpp_cli.training.material.small_pack import (
    folded,
    shrink,
    small_settings,
    unfolded,
    unpack,
)

LIMIT = 25_000
ABSENT = ("av", "click", "tqdm", "huggingface_hub", "platformdirs", "psutil", "yaml", "ray")
"""Modules of ours that a machine with PyTorch may lack."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a whole pack of two videos, photographs left out, and one clip held out."""
    folder = tmp_path_factory.mktemp("whole")
    sources = [(f"{i}.y4m", lambda i=i: iter(scene(16, size=120, seed=i))) for i in range(3)]
    sources.append(("held.y4m", lambda: iter(scene(4, seed=9))))
    prepare(sources, folder, tiny_recipe().preparation, held_out=("held.y4m",))
    return Pack(folder)


@pytest.fixture
def small(whole, tmp_path):
    shrink(whole, tmp_path / "small.pack", tiny_recipe(), limit=LIMIT)
    return tmp_path / "small.pack"


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 16, 9, 3)])
def test_pictures_are_the_same_once_unfolded(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert np.array_equal(unfolded(bz2.compress(folded(pixels)), list(shape)), pixels)


def test_smooth_pictures_become_small():
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)[..., None].repeat(3, 2)
    assert len(bz2.compress(folded(ramp))) < 200


def test_a_small_pack_keeps_within_its_limit_and_fills_it(whole, tmp_path):
    path = tmp_path / "small.pack"
    for limit in (20_000, 30_000):
        counts = shrink(whole, path, tiny_recipe(), limit=limit)
        assert 0.6 * limit < path.stat().st_size <= limit
    assert counts["held_out"] == 1
    assert 0 < counts["clip"] <= len(whole.clip_rows)
    assert counts["still"]


def test_a_small_pack_holds_parts_of_the_whole(whole, small, tmp_path):
    part = unpack(small, tmp_path / "pack")
    settings = small_settings(tiny_recipe())
    assert part.clips.shape[1:] == (settings.frames, settings.size, settings.size, 3)
    assert np.array_equal(part.held_out(0), whole.held_out(0))
    for clip in part.clips:
        assert any(clip[0].tobytes() in rows_of(other[0], settings.size) for other in whole.clips)


def rows_of(picture, size):
    """Return all crops of a size of a picture, as bytes."""
    steps = (range(side - size + 1) for side in picture.shape[:2])
    return {picture[y : y + size, x : x + size].tobytes() for y, x in itertools.product(*steps)}


def test_a_seed_decides_what_is_taken(whole, tmp_path):
    made = []
    for number, seed in enumerate([1, 1, 2]):
        shrink(whole, tmp_path / f"{number}", tiny_recipe(), limit=LIMIT, seed=seed)
        with zipfile.ZipFile(tmp_path / f"{number}") as file:
            made.append([file.read(name) for name in file.namelist()])
    assert made[0] == made[1] != made[2]


def test_too_small_a_limit_is_refused_and_leaves_nothing(whole, tmp_path):
    with pytest.raises(InputError, match="nothing to train on fits into 3000 bytes"):
        shrink(whole, tmp_path / "small.pack", tiny_recipe(), limit=3000)
    assert not list(tmp_path.iterdir())


def test_a_damaged_small_pack_is_refused(small, tmp_path):
    data = small.read_bytes()
    torn = tmp_path / "torn"
    for content in (data[:-100], data[:200] + bytes(1000) + data[1200:], b"", b"text"):
        torn.write_bytes(content)
        with pytest.raises(InputError, match="no small training pack, or damaged"):
            unpack(torn, tmp_path / "pack")


def run(arguments, absent=ABSENT):
    """Run the script where modules are missing; return the finished process."""
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({absent!r})); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    path = ROOT / "benchmarks" / "gpu_training.py"
    command = [sys.executable, "-c", code, path, *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env)


@pytest.fixture
def training(small, tmp_path):
    """Return what begins a command that trains the tiny recipe."""
    (tmp_path / "tiny.toml").write_text(recipe_text(steps=100_000))
    return ["train", small, "-o", tmp_path / "run", "--recipe", tmp_path / "tiny.toml",
            "--device", "cpu"]  # fmt: skip


def train_here(monkeypatch, arguments, seconds):
    """Train in this process, by a clock that goes on by a second whenever it is asked."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    main, part = script("gpu_training"), script("gpu_training_run")
    ticks = itertools.count()
    monkeypatch.setattr(part.Clock, "now", lambda _: float(next(ticks)))
    monkeypatch.setattr(part, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(part, "stop_wish", lambda: lambda: False)
    given = [*map(str, arguments), "--minutes", str(seconds / 60)]
    assert main.main(given) == 0


def test_minutes_end_in_a_decay_weights_a_record_and_a_card(
    monkeypatch, training, tmp_path, capsys
):
    train_here(monkeypatch, [*training, "--row-every", "2"], seconds=12)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"done: {tmp_path / 'run' / 'weights.safetensors'}"
    rows = curves.read(tmp_path / "run" / "log.csv")
    assert (rows[0].step, rows[0].bicubic) == (0, rows[-1].bicubic)
    assert 0 < rows[-1].rate < 0.5 * max(row.rate for row in rows)
    assert load_network(tmp_path / "run" / "weights.safetensors").config.channels == 4
    card = (tmp_path / "run" / "card.md").read_text()
    assert f"| steps | {rows[-1].step}, the last " in card
    assert f"| held out, PSNR-Y | {rows[0].psnr:.3f} dB before, {rows[-1].psnr:.3f} after" in card


def test_the_same_command_goes_on(monkeypatch, training, tmp_path, capsys):
    train_here(monkeypatch, [*training, "--row-every", "1", "--decay", "0"], seconds=4)
    assert "stopped: the same command goes on" in capsys.readouterr().out
    done = curves.read(tmp_path / "run" / "log.csv")
    train_here(monkeypatch, [*training, "--row-every", "1"], seconds=8)
    assert "\ndone: " in capsys.readouterr().out
    rows = curves.read(tmp_path / "run" / "log.csv")
    assert [row.step for row in rows] == [*range(len(rows))]
    assert rows[: len(done)] == done
    assert len(done) + 4 < len(rows)


def test_without_pyav_and_the_like_it_trains(training, tmp_path):
    done = run([*training, "--minutes", "0.0001"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "stopped: the same command goes on" in done.stdout
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 1


def test_compressed_clips_want_pyav_and_say_so(training):
    place = training.index("--recipe") + 1
    done = run([*training[:place], "compact-web", *training[place + 1 :], "--minutes", "1"])
    said = "compact-web compresses clips, with PyAV, which is not installed here"
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


def test_what_is_missing_is_named(training):
    done = run([*training, "--minutes", "1"], absent=(*ABSENT, "numba", "safetensors"))
    assert (done.returncode, done.stderr) == (2, "error: not installed here: numba, safetensors\n")


def test_a_gpu_that_is_not_there_is_named(training, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = run([*training[:-2], "--minutes", "1"])
    said = "error: --device cuda:0: torch finds no GPU here\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_no_time_is_refused(training, minutes):
    done = run([*training, "--minutes", minutes])
    assert done.returncode == 2
    assert "argument --minutes: must be above 0" in done.stderr


def test_a_small_pack_comes_from_a_folder_of_videos(tmp_path):
    (tmp_path / "tiny.toml").write_text(recipe_text())
    (tmp_path / "data" / "film").mkdir(parents=True)
    for number, picture in enumerate(scene(12, size=120)):
        write_picture(tmp_path / "data" / "film" / f"{number:03}.png", picture.transpose(2, 0, 1))
    command = ["pack", tmp_path / "small.pack", "--recipe", tmp_path / "tiny.toml",
               "--data", tmp_path / "data", "--megabytes", "0.03"]  # fmt: skip
    done = run(command, absent=())
    assert done.returncode == 0, done.stderr
    assert "MB, " in done.stdout
    assert (tmp_path / "small.pack").stat().st_size <= 30_000
    assert unpack(tmp_path / "small.pack", tmp_path / "pack").clip_rows


class Steps:
    """Stands for a trainer whose steps take as many seconds as they please."""

    def __init__(self):
        self.step, self.decay, self.time = 0, None, 0.0

    def finish_in(self, steps):
        self.decay = self.step, steps


def clock(monkeypatch, trainer, **options):
    """Return a clock of ten minutes, 40 percent of them and 20 seconds for the end."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    part = script("gpu_training_run")
    monkeypatch.setattr(part.Clock, "now", lambda _: trainer.time)
    return part.Clock(trainer, seconds=600, share=0.4, kept=20, **options)


@pytest.mark.parametrize("seconds_a_step", [0.3, 2.0, 30.0])
def test_a_decay_is_as_long_as_the_time_that_is_left(monkeypatch, seconds_a_step):
    trainer = Steps()
    stop = clock(monkeypatch, trainer)
    trainer.step, trainer.time = 1, 50.0  # the first step takes longer
    assert not stop()
    while trainer.decay is None or trainer.step < sum(trainer.decay):
        trainer.step += 1
        trainer.time += seconds_a_step
        assert not stop()
    begun, steps = trainer.decay
    assert 50 + (begun - 1) * seconds_a_step == pytest.approx(340, abs=seconds_a_step + 1)
    assert steps * seconds_a_step == pytest.approx(0.95 * 240, abs=2 * seconds_a_step)


def test_a_wish_to_stop_is_granted(monkeypatch):
    trainer = Steps()
    stop = clock(monkeypatch, trainer, asked=lambda: trainer.time > 3)
    trainer.step, trainer.time = 1, 2.0
    assert not stop()
    trainer.time = 4.0
    assert stop()
