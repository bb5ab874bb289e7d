"""Training: what is drawn, how steps go, that runs resume exactly, that results load."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from support.events import assert_events, events_of
from support.material import recipe_text, scene, tiny_recipe
from support.places import ROOT
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.degrade import bicubic_downsample
from vsrpp_cli.errors import InputError, ResumeRefusedError, RunError, UsageError
from vsrpp_cli.evaluation.comparison.pictures import write_picture
from vsrpp_cli.media.encode.encoding import Encoding
from vsrpp_cli.media.encode.recompress import recompress
from vsrpp_cli.network.basicvsr import RealBasicVSR
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import BasicVSRConfig, NetworkConfig, SpynetConfig
from vsrpp_cli.training import curves, losses
from vsrpp_cli.training.job import TrainingOptions, train
from vsrpp_cli.training.material.degradation import Degrade, draw_encodings
from vsrpp_cli.training.material.prepare import PreparationSettings, prepare, scene_runs
from vsrpp_cli.training.material.sampler import Pack, Sampler
from vsrpp_cli.training.material.sources import find_material
from vsrpp_cli.training.material.synthesis import (
    Layer,
    camera,
    flows,
    layered_flows,
    outline,
    render,
)
from vsrpp_cli.training.recipe import DataRecipe, Mixture, Stage, load_recipe
from vsrpp_cli.training.state import export
from vsrpp_cli.training.trainer import Trainer, initial_network

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
RECIPES = ROOT / "src/vsrpp_cli/training/recipes"


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    sources = [(f"{i}.y4m", lambda i=i: iter(scene(8, seed=i))) for i in range(2)]
    sources.append(("held.y4m", lambda: iter(scene(4, seed=9))))
    prepare(sources, folder, tiny_recipe().preparation, held_out=("held.y4m",))
    return folder


def losses_of(folder):
    return [(row.step, row.loss) for row in curves.read(folder / "log.csv")]


def weights_of(folder, *runs):
    return [load_network(folder / run / "weights.safetensors") for run in runs]


# Material


def test_runs_end_at_cuts():
    frames = [*scene(3, seed=1), *(f + np.uint8(60) for f in scene(5, seed=2))]
    runs = list(scene_runs(iter(frames), PreparationSettings(frames=4)))
    assert len(runs) == 1
    assert np.array_equal(runs[0][0], frames[3])


def test_near_duplicates_are_dropped():
    frames = [frame for frame in scene(4, speed=3) for _ in range(2)]
    (run,) = scene_runs(iter(frames), PreparationSettings(frames=4))
    assert all(np.array_equal(a, b) for a, b in zip(run, frames[::2], strict=True))


def test_flat_material_is_refused_by_name_of_what_is_missing(tmp_path):
    grey = [np.full((96, 96, 3), 100 + 20 * t, np.uint8) for t in range(4)]
    said = r"no clip of 4 moving, detailed frames .*preparation\.size.*preparation\.downscale"
    with pytest.raises(InputError, match=said):
        prepare([("grey", lambda: iter(grey))], tmp_path, tiny_recipe().preparation)


def test_held_out_videos_are_kept_apart(pack_folder):
    pack = Pack(pack_folder)
    assert {row["source"] for row in pack.clip_rows} == {"0.y4m", "1.y4m"}
    assert [row["source"] for row in pack.held_out_rows] == ["held.y4m"]
    assert pack.held_out(0).shape == (3, 64, 64, 3)


def test_a_folder_without_a_pack_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no training pack"):
        Pack(tmp_path)


def write_pictures(folder, sizes):
    """Write textured PNG files of the sizes (height, width) given."""
    rng = np.random.default_rng(4)
    for number, (height, width) in enumerate(sizes):
        coarse = rng.integers(0, 255, (3, height // 4, width // 4), np.uint8)
        write_picture(folder / f"{number}.png", np.kron(coarse, np.ones((1, 4, 4), np.uint8)))


def test_pictures_of_one_size_are_a_sequence_and_of_several_are_photographs(tmp_path):
    write_pictures(tmp_path / "data/run", [(64, 80)] * 2)
    write_pictures(tmp_path / "data/trip", [(64, 80), (80, 64)])
    write_pictures(tmp_path / "square", [(64, 64)] * 3)
    found = find_material([tmp_path / "data"], [tmp_path / "square"])
    assert [name for name, _ in found.videos] == ["run"]
    assert [(p.name, len(p.files)) for p in found.photographs] == [("trip", 2), ("square", 3)]
    assert [frame.shape for frame in found.videos[0][1]()] == [(64, 80, 3)] * 2


def test_photographs_and_videos_make_one_pack(tmp_path):
    write_pictures(tmp_path / "photos", [(240, 320), (64, 96), (40, 400)])
    write_pictures(tmp_path / "film/scene", [(64, 64)] * 8)
    recipe = tiny_recipe(steps=1)
    recipe = replace(recipe, preparation=replace(recipe.preparation, still_sides=(160, 80), cut=99))
    options = TrainingOptions((tmp_path / "film", tmp_path / "photos"), tmp_path / "run")
    train(recipe, options, torch.device("cpu"))
    pack = Pack(tmp_path / "run/pack")
    sizes = [(r["source"], r["height"], r["width"]) for r in pack.still_rows]
    assert [size for size in sizes if size[0] != "scene"] == [
        ("photos/0.png", 160, 213),
        ("photos/0.png", 80, 107),
        ("photos/1.png", 64, 96),
    ]
    assert {row["source"] for row in pack.clip_rows} == {"scene"}


def test_photographs_alone_need_a_recipe_of_synthesised_motion_alone(tmp_path):
    write_pictures(tmp_path / "photos", [(64, 64)])
    options = TrainingOptions((), tmp_path / "run", stills=(tmp_path / "photos",))
    with pytest.raises(InputError, match="synthetic = 1"):
        train(tiny_recipe(steps=1), options, torch.device("cpu"))
    recipe = tiny_recipe(steps=1)
    recipe = replace(recipe, data=replace(recipe.data, synthetic=1.0))
    assert train(recipe, options, torch.device("cpu")).exists()


def test_flow_cannot_be_learnt_without_a_still(tmp_path, pack_folder):
    shutil.copytree(pack_folder, tmp_path / "pack")
    index = json.loads((tmp_path / "pack/pack.json").read_text())
    (tmp_path / "pack/pack.json").write_text(json.dumps(index | {"stills": []}))
    recipe = replace(tiny_recipe(steps=1), stages=(Stage("flow", 1, 1e-4, 1, 2, 16),))
    with pytest.raises(InputError, match="no still to render known motion from"):
        Trainer(recipe, Pack(tmp_path / "pack"), tmp_path / "run")


def test_a_pack_and_a_state_of_before_a_setting_was_there_go_on(tmp_path, pack_folder):
    shutil.copytree(pack_folder, tmp_path / "pack")
    index = json.loads((tmp_path / "pack/pack.json").read_text())
    del index["settings"]["still_sides"]
    (tmp_path / "pack/pack.json").write_text(json.dumps(index))
    options = TrainingOptions((tmp_path,), tmp_path / "run", pack=tmp_path / "pack")
    train(tiny_recipe(steps=1), options, torch.device("cpu"))
    state = torch.load(tmp_path / "run/state.pt", weights_only=False)
    del state["recipe"]["preparation"]["still_sides"]
    torch.save(state, tmp_path / "run/state.pt")
    assert train(tiny_recipe(steps=1), options, torch.device("cpu")).exists()


def test_material_must_be_in_folders_that_are_there(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        find_material([tmp_path / "nothing"])
    with pytest.raises(InputError, match="no video and no folder of pictures"):
        find_material([tmp_path])


# Batches


def test_low_resolution_frames_are_the_bicubic_of_high_resolution_ones(pack_folder):
    sampler = Sampler(Pack(pack_folder), DataRecipe(), seed=0)
    batch = sampler.batch(0, Stage(batch=2, frames=3, patch=12))
    assert batch.low.shape == (2, 3, 3, 12, 12)
    assert batch.high.shape == (2, 3, 3, 48, 48)
    again = (bicubic_downsample(batch.high * 255).round() / 255).clamp(0, 1)
    # Near the border the sampler saw pixels beyond the patch.
    assert torch.allclose(again[..., 2:-2, 2:-2], batch.low[..., 2:-2, 2:-2], atol=1e-6)


def test_batches_depend_on_seed_and_step_alone(pack_folder):
    stage = Stage(batch=2, frames=3, patch=12)
    data = DataRecipe(synthetic=0.5)
    first, second = (Sampler(Pack(pack_folder), data, seed=5) for _ in range(2))
    first.batch(6, stage)
    assert torch.equal(first.batch(7, stage).high, second.batch(7, stage).high)
    assert not torch.equal(first.batch(7, stage).high, first.batch(8, stage).high)


def test_processes_draw_parts_of_the_same_batch(pack_folder):
    stage = Stage(batch=2, frames=3, patch=12)
    sampler = Sampler(Pack(pack_folder), DataRecipe(synthetic=0.5), seed=5)
    whole = sampler.batch(3, stage).high
    parts = [sampler.batch(3, stage, first=i, count=1).high for i in range(2)]
    assert torch.equal(whole, torch.cat(parts))


def test_mirrored_clips_run_there_and_back(pack_folder):
    sampler = Sampler(Pack(pack_folder), DataRecipe(mirror=True), seed=0)
    high = sampler.batch(0, Stage(batch=1, frames=6, patch=12)).high
    assert torch.equal(high, high.flip(1))


def ramps(size=200, blue=0):
    """Return a still whose red grows to the right, green downwards, blue is one value."""
    still = np.full((size, size, 3), blue, np.uint8)
    ramp = np.linspace(0, 255, size)
    still[..., 0], still[..., 1] = ramp[None], ramp[:, None]
    return still


def followed(clip, flow, t, inside):
    """Return frame t's pixels `inside` a mask, and where the flow says they are in frame t + 1."""
    y, x = np.nonzero(inside)
    dx, dy = flow[t][:, y, x]
    there = np.rint(y + dy).astype(int), np.rint(x + dx).astype(int)
    return clip[t][y, x].astype(float), clip[t + 1][there].astype(float)


def test_synthetic_flow_says_where_pixels_go():
    rng = np.random.default_rng(0)
    maps = camera(rng, frames=4, size=48, still=(200, 200), speed=(2, 4))
    clip = render([Layer(ramps(), maps)], 48)
    flow = flows(maps, 48, 1, 0)
    inside = np.zeros((48, 48), bool)
    inside[20:28, 20:28] = True
    for t in range(3):
        here, there = followed(clip, flow, t, inside)
        # A pixel of the ramp is up to two and a half levels; the look-up is rounded to a pixel.
        assert np.abs(there - here)[..., :2].max() < 4


def test_a_layer_in_front_covers_and_has_a_flow_of_its_own():
    rng = np.random.default_rng(1)
    maps = [camera(rng, frames=4, size=48, still=(200, 200), speed=(2, 3)) for _ in range(2)]
    edge = outline(rng, maps[1], 48, radius=(0.3, 0.3))
    layers = [Layer(ramps(), maps[0]), Layer(ramps(blue=255), maps[1], edge)]
    clip = render(layers, 48)
    front = clip[..., 2] > 250
    assert 0.05 < front.mean() < 0.6
    assert 0 < ((clip[..., 2] > 5) & ~front).mean() < 0.1  # a thin, soft edge
    flow = layered_flows(layers, 48, 1, 0)
    middle = np.zeros((48, 48), bool)
    middle[12:36, 12:36] = True
    for t in range(3):
        for layer in (front, ~front & (clip[..., 2] < 5)):
            here, there = followed(clip, flow, t, middle & layer[t])
            seen = np.abs(there[:, 2] - here[:, 2]) < 5  # neither covered nor on the edge there
            assert seen.mean() > 0.5
            assert np.abs(there - here)[seen].max() < 4


def test_exposure_smears_along_the_motion_and_keeps_light_and_place():
    still = np.zeros((80, 80, 3), np.uint8)
    still[30:50, 38:42] = 200
    maps = np.zeros((3, 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps[:, 0, 2] = [6, 0, -6]
    sharp, smeared = (render([Layer(still, maps)], 80, e)[1, 40, :, 0] for e in (0, 0.5))
    light = [line.astype(float) ** 2 for line in (sharp, smeared)]
    assert np.count_nonzero(smeared > 20) > np.count_nonzero(sharp > 20)
    assert light[1].sum() == pytest.approx(light[0].sum(), rel=0.06)
    x = np.arange(80)
    places = [(line * x).sum() / line.sum() for line in light]
    assert places[1] == pytest.approx(places[0], abs=0.05)


def test_recipes_ask_for_layers_and_exposure(pack_folder):
    stage = Stage(batch=2, frames=3, patch=12)
    clips = [
        Sampler(Pack(pack_folder), DataRecipe(synthetic=1.0, **asked), seed=5).batch(0, stage).high
        for asked in ({}, {"parallax": 1.0}, {"exposed": 1.0, "exposure": (0.9, 0.9)})
    ]
    assert not torch.equal(clips[0], clips[1])
    assert not torch.equal(clips[0], clips[2])


@pytest.mark.parametrize("kind", ["bi", "bd", "real"])
def test_degradations_make_clips_four_times_smaller(kind):
    clips = torch.from_numpy(np.stack(scene(2))[None])
    low, high = Degrade(kind)(clips, margin=8)
    assert low.shape == (1, 2, 3, 20, 20)
    assert high.shape == (1, 2, 3, 80, 80)
    assert torch.equal((low * 255).round() / 255, low)


def test_real_degradation_for_cleaning_keeps_the_size():
    clips = torch.from_numpy(np.stack(scene(2))[None])
    low, high = Degrade("real", 1)(clips)
    assert low.shape == high.shape
    assert 0.001 < float((low - high).abs().mean()) < 0.2


@pytest.mark.parametrize(
    ("encoding", "worse"),
    [
        (Encoding(quality=12), Encoding(quality=33)),
        (Encoding(quality=23, preset="veryfast", pix_fmt="yuv444p"), Encoding(quality=40)),
        (Encoding("mpeg2video", 2), Encoding("mpeg2video", 12)),
        (Encoding("mpeg4", 2), Encoding("mpeg4", 12)),
        (Encoding("libvpx-vp9", 15), Encoding("libvpx-vp9", 50)),
    ],
    ids=lambda encoding: f"{encoding.codec}-{encoding.quality}",
)
def test_compression_loses_more_at_worse_quality_and_is_the_same_each_time(encoding, worse):
    frames = np.stack(scene(4, size=53))
    coded, again, bad = (recompress(frames, e) for e in (encoding, encoding, worse))
    assert coded.shape == frames.shape
    assert np.array_equal(coded, again)
    errors = [np.abs(clip.astype(float) - frames).mean() for clip in (coded, bad)]
    assert 0 < errors[0] < 15
    assert errors[1] > 1.1 * errors[0]


def test_compression_keeps_colours_and_places():
    frames = np.zeros((2, 48, 48, 3), np.uint8)
    frames[:, :, :24] = [200, 40, 30]
    frames[:, :, 24:] = [20, 90, 180]
    coded = recompress(frames, Encoding(quality=4)).astype(float)
    assert np.abs(coded - frames)[:, 4:44, 4:20].max() < 4
    assert np.abs(coded - frames)[:, 4:44, 28:44].max() < 4


def test_the_real_mixture_has_what_it_says():
    rng = np.random.default_rng(0)
    drawn = [draw_encodings(rng, Mixture()) for _ in range(600)]
    assert 0.12 < sum(not e for e in drawn) / 600 < 0.24
    assert 0.08 < sum(len(e) == 2 for e in drawn) / 600 < 0.18
    last = [e[-1] for e in drawn if e]
    x264 = [e for e in last if e.codec == "libx264"]
    assert {e.codec for e in last} == {"libx264", "mpeg2video", "mpeg4", "libvpx-vp9"}
    assert 0.7 < len(x264) / len(last) < 0.9
    assert {e.pix_fmt for e in x264} == {"yuv420p", "yuv422p", "yuv444p"}
    assert 12 <= min(e.quality for e in x264) < 16
    assert 30 < max(e.quality for e in x264) <= 33


def test_clean_clips_stay_among_the_real_ones():
    clips = torch.from_numpy(np.stack(scene(2))[None])
    (clean, _), (real, _) = (
        Degrade("real", mixture=Mixture(clean=share))(clips, rng=np.random.default_rng(0))
        for share in (1.0, 0.0)
    )
    assert torch.equal(clean, Degrade("bi")(clips)[0])
    assert not torch.equal(real, clean)


@pytest.mark.parametrize("part", ["blurred", "noisy", "twice", "other_codecs", "full_chroma"])
def test_each_part_of_the_mixture_changes_the_clip(part):
    clips = torch.from_numpy(np.stack(scene(2))[None])
    plain = {"clean": 0, "blurred": 0, "noisy": 0, "twice": 0, "other_codecs": 0, "full_chroma": 0}
    without, with_it = (
        Degrade("real", mixture=Mixture(**shares))(clips, rng=np.random.default_rng(1))[0]
        for shares in (plain, plain | {part: 1})
    )
    assert not torch.equal(without, with_it)


def test_held_out_clips_are_compressed_alike_each_time_and_each_at_its_own_strength():
    clip = torch.from_numpy(np.stack(scene(3))[None])
    degrade = Degrade("real")
    first, again, second = (degrade.measured(clip, number)[0] for number in (0, 0, 2))
    assert first.shape == (1, 3, 3, 24, 24)
    assert torch.equal(first, again)
    clean = Degrade("bi")(clip)[0]
    assert 0 < float((first - clean).abs().mean()) < float((second - clean).abs().mean())


# Losses


def test_known_flow_counts_only_clips_whose_motion_is_known():
    flow, truth = torch.zeros(2, 1, 2, 4, 4), torch.zeros(2, 1, 2, 4, 4)
    truth[0, :, 0] = 3.0
    truth[1] = 100.0
    error = losses.known_flow(flow, truth, torch.tensor([1.0, 0.0]))
    assert float(error) == pytest.approx(3.0, abs=1e-3)


def test_a_true_flow_pyramid_has_no_error():
    truth = torch.full((1, 2, 8, 8), 2.0)
    levels = [torch.full((1, 2, 4, 4), 1.0), truth]
    assert float(losses.known_pyramid(levels, truth)) < 0.03


# Recipes


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    assert load_recipe(path).name == path.stem


def test_the_papers_schedules_are_shipped():
    assert load_recipe(RECIPES / "reds.toml").steps == 600_000
    assert load_recipe(RECIPES / "vimeo90k-bi.toml").steps == 300_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("colour = 1", "unknown: colour; known here: name"),
        ("[data]\nbird = 1", r"unknown: data\.bird; known here: degradation"),
        ("stages = 3", "stages is 3, not a list"),
        ("[preparation]\nframes = 'many'", r"frames is 'many', not a value of type int"),
        ('precision = "fp8"', "precision is 'fp8'"),
        ("[data]\ndegradation = 'jpeg'", "data.degradation is 'jpeg'"),
        ("[[stages]]\npatch = 50", "no multiple of 32"),
        ("[", "cannot read the recipe"),
    ],
)
def test_impossible_recipes_are_refused(tmp_path, line, message):
    path = tmp_path / "r.toml"
    path.write_text(line)
    with pytest.raises(UsageError, match=message):
        load_recipe(path)


# Runs


def test_training_brings_held_out_frames_nearer(tmp_path, pack_folder):
    recipe = tiny_recipe(steps=40, save_every=100, validate_every=10)
    # Single batches differ more than forty steps change: the held-out frames are always the same.
    stages = (recipe.stages[0], replace(recipe.stages[1], rate=5e-3))
    Trainer(replace(recipe, stages=stages), Pack(pack_folder), tmp_path).run(row_every=10)
    measured = [row.psnr for row in curves.read(tmp_path / "log.csv") if not math.isnan(row.psnr)]
    assert measured[-1] > measured[0] + 0.1


def test_a_run_leaves_weights_that_load_a_record_and_a_picture(tmp_path, pack_folder):
    Trainer(tiny_recipe(validate_every=6), Pack(pack_folder), tmp_path).run(row_every=1)
    network = load_network(tmp_path / "weights.safetensors")
    assert network.config.channels == 4
    last = curves.read(tmp_path / "log.csv")[-1]
    assert last.step == 6
    assert math.isfinite(last.psnr)
    assert math.isfinite(last.bicubic)
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")


def test_a_stopped_run_goes_on_with_the_same_losses(tmp_path, pack_folder):
    recipe, pack = tiny_recipe(save_every=3), Pack(pack_folder)
    Trainer(recipe, pack, tmp_path / "whole").run(row_every=1)
    part = Trainer(recipe, pack, tmp_path / "part")
    part.run(row_every=1, stop=lambda: part.step == 4)
    Trainer(recipe, pack, tmp_path / "part").run(row_every=1)
    assert losses_of(tmp_path / "part") == losses_of(tmp_path / "whole")
    first, second = (
        load_network(tmp_path / run / "weights.safetensors") for run in ("whole", "part")
    )
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_another_recipe_does_not_take_over_a_run(tmp_path, pack_folder):
    Trainer(tiny_recipe(steps=2), Pack(pack_folder), tmp_path).run()
    with pytest.raises(ResumeRefusedError, match="another recipe"):
        Trainer(tiny_recipe(steps=3), Pack(pack_folder), tmp_path)


def test_finish_lets_the_rate_fall_and_ends(tmp_path, pack_folder):
    trainer = Trainer(tiny_recipe(steps=1000), Pack(pack_folder), tmp_path)
    trainer.run(row_every=1, stop=lambda: trainer.step == 4)
    trainer.finish_in(5)
    trainer.run(row_every=1)
    rates = [row.rate for row in curves.read(tmp_path / "log.csv")][4:]
    assert len(rates) == 5
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.15 * rates[0]


def test_the_flow_network_is_fixed_at_first(tmp_path, pack_folder):
    trainer = Trainer(tiny_recipe(), Pack(pack_folder), tmp_path)
    snapshots = {}

    def stop():
        flow = trainer.network.spynet.basic_module[0].basic_module[0].conv.weight
        snapshots[trainer.step] = flow.detach().clone()
        return False

    trainer.run(stop=stop)
    assert not torch.equal(snapshots[1], snapshots[2])  # flow stage
    assert torch.equal(snapshots[2], snapshots[4])  # fixed
    assert not torch.equal(snapshots[4], snapshots[5])  # released


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, pack_folder):
    trainer = Trainer(tiny_recipe(), Pack(pack_folder), tmp_path)
    with torch.no_grad():
        trainer.network.spynet.basic_module[0].basic_module[0].conv.weight.fill_(math.nan)
    with pytest.raises(RunError, match="diverged at step 0"):
        trainer.run()


@pytest.mark.parametrize("same_size", [False, True])
def test_fine_tuning_a_published_file_gives_a_file_that_loads(tmp_path, pack_folder, same_size):
    config = NetworkConfig(
        channels=4, blocks=1, same_size=same_size, deform_groups=2, extract_blocks=1,
        reconstruct_blocks=1, hr_channels=4, spynet=SpynetConfig(2, 3, (4, 4, 4, 4)),
    )  # fmt: skip
    table = {f"generator.{k}": v for k, v in BasicVSRPP(config).state_dict().items()}
    published = tmp_path / "published.pth"
    torch.save({"state_dict": {**table, "step_counter": torch.zeros(1)}}, published)
    text = recipe_text(steps=2).replace("patch = 12", "patch = 8")
    text = text[: text.index("[[stages]]")] + text[text.rindex("[[stages]]") :]
    if same_size:
        text = text.replace("synthetic = 0.5", "degradation = 'real'")
    (tmp_path / "r.toml").write_text(text)
    recipe = load_recipe(tmp_path / "r.toml")
    run = Trainer(recipe, Pack(pack_folder), tmp_path / "run", start=published)
    run.run()
    assert load_network(tmp_path / "run" / "weights.safetensors").config == config


def test_training_from_another_network_is_refused(tmp_path):
    config = BasicVSRConfig(4, 1, 1, 4, spynet=SpynetConfig(2, 3, (4, 4)))
    torch.save(RealBasicVSR(config).state_dict(), tmp_path / "real.pth")
    with pytest.raises(UsageError, match=r"real\.pth: training knows BasicVSR\+\+ only"):
        initial_network(tiny_recipe(), tmp_path / "real.pth")


def test_an_exported_checkpoint_is_what_it_was(tmp_path):
    network = BasicVSRPP(NetworkConfig(4, 1, False, 2, 1, 1, 4, SpynetConfig(2, 3, (4, 4, 4, 4))))
    export(tmp_path / "w.safetensors", network, {})
    loaded = load_network(tmp_path / "w.safetensors").state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in network.state_dict().items())


# The command


def train_command(folder, *more):
    code = "from vsrpp_cli.cli.main import run; run()"
    return [
        sys.executable, "-c", code, "train", str(folder / "tiny.toml"), "--data", str(folder),
        "--pack", str(folder / "pack"), "--device", "cpu", "--threads", "1", "--row-every", "1",
        *more,
    ]  # fmt: skip


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder(tmp_path, pack_folder):
    (tmp_path / "pack").symlink_to(pack_folder)
    return tmp_path


def train_here(folder, output):
    options = TrainingOptions((folder,), folder / output, pack=folder / "pack", row_every=1)
    train(load_recipe(folder / "tiny.toml"), options, torch.device("cpu"))


def test_training_says_events_only(folder):
    (folder / "tiny.toml").write_text(recipe_text(steps=2, save_every=2))
    command = train_command(folder, "-o", str(folder / "told"), "--progress", "json")
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, check=True)
    events = events_of(done.stderr)
    assert_events(events, "result")
    rows = [e for e in events if e["event"] == "progress"]
    assert [e["done"] for e in rows] == list(range(1, rows[0]["total"] + 1))
    assert all(e["row"]["step"] == e["done"] and e["row"]["loss"] > 0 for e in rows)
    assert events[-1]["output"] == str(folder / "told" / "weights.safetensors")


def test_the_command_ends_a_run_of_open_length(folder):
    (folder / "tiny.toml").write_text(recipe_text(steps=1000, save_every=2))
    command = train_command(folder, "-o", str(folder / "ended"), "--finish", "3")
    subprocess.run(command, env=ONE_THREAD, capture_output=True, check=True)
    assert len(losses_of(folder / "ended")) == 3
    assert (folder / "ended" / "weights.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_resumes_with_the_same_losses(folder):
    (folder / "tiny.toml").write_text(recipe_text(steps=10, save_every=3))
    train_here(folder, "whole")
    command = train_command(folder, "-o", str(folder / "killed"))
    with subprocess.Popen(command, env=ONE_THREAD) as process:
        while len(losses_of(folder / "killed")) < 8 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert len(losses_of(folder / "killed")) < 12
    train_here(folder, "killed")
    assert losses_of(folder / "killed") == losses_of(folder / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_processes_take_the_steps_of_one(folder):
    (folder / "tiny.toml").write_text(recipe_text(steps=2))
    train_here(folder, "one")
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    arguments = train_command(folder, "-o", str(folder / "two"))[3:]
    subprocess.run(
        [sys.executable, *launcher, "-m", "vsrpp_cli", *arguments], check=True, env=ONE_THREAD
    )
    one, two = weights_of(folder, "one", "two")
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    # Adam turns the sign of a gradient near zero into a whole step, so a few weights may differ;
    # processes that did not share their gradients would differ in all.
    differences = torch.cat([(a - b).abs().flatten() for a, b in pairs])
    assert float((differences > 1e-5).float().mean()) < 0.02


def test_the_pack_index_says_where_material_comes_from(pack_folder):
    index = json.loads((pack_folder / "pack.json").read_text())
    assert {"version", "settings", "clips", "stills", "held_out"} == set(index)
