"""Evaluation, comparison and degradation of whole sequences, with tiny random networks."""

import csv
import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio

from support.benchmarks import script
from support.events import assert_events, events_of
from vsrpp_cli.checkpoints.registry import lookup
from vsrpp_cli.cli.main import execute
from vsrpp_cli.cli.main import main as vsrpp
from vsrpp_cli.degrade import bicubic_upsample, degrade_8bit
from vsrpp_cli.errors import InputError, UnknownNameError, UsageError
from vsrpp_cli.evaluation.comparison.pictures import write_picture
from vsrpp_cli.evaluation.consistency import Motion, lucas_kanade, motion, warping_error
from vsrpp_cli.evaluation.degrading import degrade_input
from vsrpp_cli.evaluation.evaluate import EvaluateOptions, evaluate
from vsrpp_cli.evaluation.protocols import PROTOCOLS, find_protocol, published
from vsrpp_cli.evaluation.results import Evaluation, MethodResult, SequenceResult
from vsrpp_cli.evaluation.sequences import find_sequences, read_8bit
from vsrpp_cli.evaluation.web import Web, degrade_web
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.metrics import psnr
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.options import UpscaleOptions

SIZE = 64, 80
UNPADDED = 256, 264
"""Height and width of frames whose small version the network takes as it is."""


def network(seed=0, *, same_size=False):
    torch.manual_seed(seed)
    config = NetworkConfig(
        channels=8,
        blocks=1,
        same_size=same_size,
        deform_groups=2,
        extract_blocks=1,
        reconstruct_blocks=1,
        hr_channels=8,
        spynet=SpynetConfig(levels=2, kernel=3, widths=(4, 4)),
    )
    return BasicVSRPP(config).eval()


def save_network(path, built):
    save_file(built.state_dict(), path)
    return str(path)


def textured(height, width, shift=0.0, seed=0):
    """Smooth random texture, moved to the right by `shift` pixels: exact at any shift."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    total = np.zeros((3, height, width))
    for _ in range(30):
        fy, fx = random.uniform(-0.6, 0.6, 2)
        colour = random.uniform(0.2, 1, (3, 1, 1))
        total += colour * np.sin(fx * (x - shift) + fy * y + random.uniform(0, 6.3))
    return (127.5 + 14 * total).clip(0, 255).round().astype(np.uint8)


def make_sequence(folder, frames=3, seed=0, size=SIZE):
    pictures = [textured(*size, shift=1.5 * i, seed=seed) for i in range(frames)]
    for i, picture in enumerate(pictures):
        write_picture(folder / f"{i:04d}.png", picture)
    return pictures


@pytest.fixture
def dataset(tmp_path):
    for seed, name in enumerate(("first", "second")):
        make_sequence(tmp_path / "data/GT" / name, seed=seed)
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path):
    return save_network(tmp_path / "tiny.safetensors", network())


def options(*models, **chosen):
    plain = {"device": "cpu", "precision": "fp32", "threads": 1, "temporal": False}
    return EvaluateOptions(models=models, **{**plain, **chosen})


def forward(built, low):
    """The network on 8-bit frames (3, h, w) at least as large as its minimum: no padding."""
    clip = torch.from_numpy(np.stack(low)).float() / 255
    with torch.inference_mode():
        return built(clip[None])[0].clamp(0, 1).numpy()


# Finding sequences


def test_sequences_are_folders_of_frames_below_gt_and_videos(dataset):
    make_sequence(dataset / "GT/deep/er", frames=1)
    found = [sequence.name for sequence in find_sequences(dataset, None)]
    assert found == ["deep/er", "first", "second"]


def test_a_folder_of_frames_is_one_sequence(dataset):
    (found,) = find_sequences(dataset / "GT/first", None)
    assert found.name == "first"


def test_a_protocol_takes_its_own_sequences_and_misses_those_that_are_not_there(dataset):
    with pytest.raises(InputError, match="calendar is missing"):
        find_sequences(dataset, find_protocol("vid4"))


def test_a_listing_names_the_sequences_of_the_test_set(tmp_path):
    for name in ("00001/0001", "00001/0002"):
        make_sequence(tmp_path / "sequences" / name, frames=1)
    (tmp_path / "sep_testlist.txt").write_text("00001/0002\n")
    (found,) = find_sequences(tmp_path, find_protocol("vimeo90k-t"))
    assert found.name == "00001/0002"


def test_an_empty_data_set_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no folders of frames"):
        find_sequences(tmp_path, None)


# Temporal consistency


def test_lucas_kanade_finds_a_known_motion():
    first, second = (
        torch.from_numpy(textured(96, 128, shift).mean(0)[None, None]).float() / 255
        for shift in (0.0, 3.4)
    )
    flow = lucas_kanade(first, second)[..., 12:-12, 12:-12]
    assert (flow[:, 0] - 3.4).abs().mean() < 0.1
    assert flow[:, 1].abs().mean() < 0.1


def tensor(picture):
    return torch.from_numpy(picture).float() / 255


def test_what_moves_with_the_truth_has_a_small_warping_error():
    frames = [tensor(textured(96, 128, shift)) for shift in (0.0, 2.0)]
    error = warping_error(*frames, motion(*frames))
    assert error.pixels < 0.1


def test_the_warping_error_is_the_distance_by_which_details_jump():
    frames = [tensor(textured(96, 128, shift)) for shift in (0.0, 2.0)]
    jumping = [frames[0], tensor(textured(96, 128, 2.4))]
    visible = torch.zeros(1, 1, 48, 64, dtype=torch.bool)
    visible[..., 4:-4, 4:-4] = True
    exact = Motion(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 48, 64), visible)
    assert warping_error(*frames, exact).pixels < 0.05
    # Only the horizontal part of the gradient is crossed, about half of its square.
    assert 0.2 < warping_error(*jumping, exact).pixels < 0.4


def test_contrast_does_not_change_the_warping_error():
    frames = [tensor(textured(96, 128, shift)) for shift in (0.0, 2.5)]
    moved = motion(*frames)
    off = [frames[0], tensor(textured(96, 128, 2.9))]
    faint = [0.5 + 0.2 * (frame - 0.5) for frame in off]
    strong, weak = warping_error(*off, moved), warping_error(*faint, moved)
    assert weak.pixels == pytest.approx(strong.pixels, rel=1e-3)
    assert weak.squared == pytest.approx(0.04 * strong.squared, rel=1e-3)


def test_flat_frames_have_no_warping_error():
    flat = torch.full((3, 64, 64), 0.5)
    assert warping_error(flat, flat, motion(flat, flat)) is None


# Evaluation


def test_a_sequence_is_measured_whole_and_as_the_network_gives_it(tmp_path, model):
    truth = make_sequence(tmp_path / "sequence", size=UNPADDED)
    result = evaluate(tmp_path / "sequence", options(model))
    low = [degrade_8bit(frame, "bi") for frame in truth]
    outputs = np.rint(forward(network(), low) * 255)
    expected = [
        peak_signal_noise_ratio(*(luma(p) for p in pair), data_range=255)
        for pair in zip(truth, outputs, strict=True)
    ]
    (measured,) = result.methods[1].sequences
    assert measured.frames == 3
    assert measured.psnr == pytest.approx(np.mean(expected), abs=1e-3)


def luma(picture):
    r, g, b = picture.astype(float) / 255
    return 65.481 * r + 128.553 * g + 24.966 * b + 16


def test_bicubic_stands_beside_the_models(dataset, model):
    result = evaluate(dataset, options(model))
    bicubic = result.methods[0]
    assert [m.method for m in result.methods] == ["bicubic", "tiny"]
    truth = read_8bit(dataset / "GT/second")
    values = []
    for frame in truth:
        low = torch.from_numpy(degrade_8bit(frame, "bi").astype(float))
        large = bicubic_upsample(low).numpy().clip(0, 255)
        values.append(psnr(frame, np.rint(large).astype(np.uint8)))
    assert bicubic.sequences[1].psnr == pytest.approx(np.mean(values), abs=1e-4)
    means = [sequence.psnr for sequence in bicubic.sequences]
    assert bicubic.mean("psnr") == pytest.approx(np.mean(means))


def test_ordinary_chunks_of_a_short_sequence_give_the_same_figures(dataset, model):
    whole = evaluate(dataset, options(model, only=("first",)))
    ordinary = evaluate(dataset, options(model, only=("first",), ordinary=True))
    assert ordinary.chunks == "ordinary"
    assert ordinary.methods[1].mean("psnr") == pytest.approx(
        whole.methods[1].mean("psnr"), abs=1e-3
    )


def test_the_truths_own_consistency_is_measured_first(dataset, model):
    result = evaluate(dataset, options(model, only=("first",), temporal=True))
    truth, bicubic, _ = result.methods
    assert truth.method == "truth"
    assert truth.sequences[0].psnr is None
    assert 0 < truth.mean("warping") < bicubic.mean("warping")


def test_bd_is_another_task_than_bi(dataset, model):
    one = evaluate(dataset, options(model, only=("first",)))
    other = evaluate(dataset, options(model, only=("first",), degradation="bd"))
    assert other.degradation == "bd"
    assert one.methods[0].mean("psnr") != other.methods[0].mean("psnr")


def test_ready_made_small_frames_are_taken_as_they_are(dataset, model, tmp_path):
    for name in ("first", "second"):
        for i, frame in enumerate(read_8bit(dataset / "GT" / name)):
            write_picture(tmp_path / "small" / name / f"{i}.png", degrade_8bit(frame, "bi"))
    made = evaluate(dataset, options(model))
    given = evaluate(dataset, options(model, low=tmp_path / "small"))
    assert [m.sequences for m in given.methods] == [m.sequences for m in made.methods]


def test_small_frames_of_another_size_are_refused(dataset, model, tmp_path):
    for i in range(3):
        write_picture(tmp_path / "small/first" / f"{i}.png", textured(20, 20))
    with pytest.raises(InputError, match="20x20 do not belong"):
        evaluate(dataset, options(model, low=tmp_path / "small", only=("first",)))


def test_a_same_size_model_restores_given_frames_and_is_compared_with_them(dataset, tmp_path):
    damaged = tmp_path / "damaged/first"
    for i, frame in enumerate(read_8bit(dataset / "GT/first", 1)):
        write_picture(damaged / f"{i}.png", frame // 2 + 60)
    path = save_network(tmp_path / "restore.safetensors", network(same_size=True))
    chosen = {"only": ("first",), "frames": 1}
    with pytest.raises(UsageError, match="`low`"):
        evaluate(dataset, options(path, **chosen))
    result = evaluate(dataset, options(path, low=tmp_path / "damaged", **chosen))
    assert [m.method for m in result.methods] == ["input", "restore"]


def test_vimeo_measures_the_centre_of_the_mirrored_sequence(tmp_path, model):
    pictures = make_sequence(tmp_path / "sequences/00001/0001", frames=7, size=UNPADDED)
    result = evaluate(tmp_path, options(model, protocol="vimeo90k-t"))
    low = [degrade_8bit(frame, "bi") for frame in pictures]
    outputs = forward(network(), [*low, *reversed(low)])
    centre = np.rint((outputs[3] + outputs[10]) / 2 * 255).astype(np.uint8)
    (measured,) = result.methods[1].sequences
    assert measured.frames == 1
    assert measured.psnr == pytest.approx(psnr(pictures[3], centre), abs=1e-3)
    assert "7824 sequences" in result.notes[0]


def test_models_of_one_name_are_told_apart(dataset, model):
    result = evaluate(dataset, options(model, model, only=("first",), frames=1))
    assert [m.method for m in result.methods] == ["bicubic", "tiny", "tiny-2"]


def test_an_unknown_protocol_is_refused(dataset, model):
    with pytest.raises(UnknownNameError, match="'vid5'"):
        evaluate(dataset, options(model, protocol="vid5"))


def test_published_figures_belong_to_model_protocol_and_degradation():
    row = lookup("reds4")
    assert published(row, PROTOCOLS["vid4"], "bi").psnr == 27.7674
    assert published(row, PROTOCOLS["vid4"], "bd").psnr == 24.6209
    assert published(row, PROTOCOLS["reds4"], "bi").ssim == 0.9069
    assert published(row, PROTOCOLS["reds4"], "bd") is None
    assert published(None, PROTOCOLS["vid4"], "bi") is None


def test_every_published_figure_can_be_measured_by_a_protocol():
    found = {(p.title, kind, p.channels) for p in PROTOCOLS.values() for kind in p.kinds}
    for score in lookup("vimeo90k-bd").scores:
        title, kind = score.dataset.split(", ")
        assert (title, kind.lower(), score.on.lower()) in found


# Results


def evaluation(**method):
    sequences = tuple(
        SequenceResult(
            sequence=name, frames=2, psnr=value, ssim=0.5, warping=None, warping_squared=None
        )
        for name, value in (("a", 20.0), ("b", 30.0))
    )
    return Evaluation(
        dataset="d", protocol="vid4", degradation="bi", channels="y", border=0, chunks="whole",
        device="cpu", precision="fp32", threads=1,
        methods=(MethodResult(method="reds4", sequences=sequences, **method),),
        notes=("something to know",),
    )  # fmt: skip


def test_the_table_shows_means_and_published_figures():
    lines = evaluation(fps=2.0, published_psnr=27.7674, published_ssim=0.8444).as_table()
    assert lines[0].split() == ["reds4"]
    assert lines[4].split() == ["mean", "4", "25.0000", "0.5000", "-"]
    assert lines[5].split() == ["published", "27.7674", "0.8444", "-"]
    assert "note: something to know" in lines
    assert any("2.00 frames/s" in line for line in lines)


def test_json_holds_every_figure_and_no_infinity():
    result = evaluation()
    perfect = SequenceResult(
        sequence="c", frames=1, psnr=float("inf"), ssim=1.0, warping=None, warping_squared=None
    )
    method = MethodResult(method="m", sequences=(perfect,))
    data = Evaluation(**{**vars(result), "methods": (method,)}).record()
    assert data["methods"][0]["sequences"][0]["psnr"] is None
    read = json.loads(json.dumps(result.record(), allow_nan=False))
    assert read["methods"][0]["mean"]["psnr"] == 25.0


def test_csv_has_a_line_for_each_sequence_and_the_mean():
    rows = list(csv.DictReader(evaluation(fps=3.0).as_csv().splitlines()))
    assert [row["sequence"] for row in rows] == ["a", "b", "mean"]
    assert float(rows[2]["psnr"]) == 25.0
    assert rows[2]["fps"] == "3.0"


# Commands


def test_evaluate_says_events_only(dataset, model, capsys):
    options = ["-m", model, "--device", "cpu", "--threads", "1", "--sequence", "first",
               "--frames", "2", "--progress", "json"]  # fmt: skip
    assert execute(["evaluate", str(dataset), *options]) == 0
    events = events_of(capsys.readouterr().err)
    assert_events(events, "result")
    steps = [e for e in events if e["event"] == "progress"]
    assert {e["phase"] for e in steps} == {"evaluate"}
    assert {e["text"] for e in steps} >= {"first: bicubic"}
    assert "bicubic" in {row["method"] for row in events[-1]["report"]["methods"]}
    assert execute(["evaluate", str(dataset / "none"), *options]) != 0
    assert_events(events_of(capsys.readouterr().err), "error")


def test_evaluate_prints_a_table_and_writes_files_and_frames(dataset, model, tmp_path):
    done = CliRunner().invoke(
        vsrpp,
        ["evaluate", str(dataset), "-m", model, "--device", "cpu", "--precision", "fp32",
         "--threads", "1", "--sequence", "first", "--frames", "1",
         "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv"),
         "--save-frames", str(tmp_path / "out")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "bicubic" in done.stdout
    record = json.loads((tmp_path / "r.json").read_text())
    (saved,) = read_8bit(tmp_path / "out/tiny/first")
    (truth,) = read_8bit(dataset / "GT/first", 1)
    assert record["methods"][1]["mean"]["psnr"] == pytest.approx(psnr(truth, saved))
    assert (tmp_path / "r.csv").read_text().startswith("method,sequence")


def test_degrading_a_folder_keeps_names_and_gives_the_benchmarks_values(dataset, tmp_path):
    code = execute(["degrade", str(dataset / "GT/first"), str(tmp_path / "small"), "-q"])
    assert code == 0
    names = sorted(path.name for path in (tmp_path / "small").iterdir())
    assert names == ["0000.png", "0001.png", "0002.png"]
    expected = [degrade_8bit(frame, "bi") for frame in read_8bit(dataset / "GT/first")]
    np.testing.assert_array_equal(read_8bit(tmp_path / "small"), expected)


def test_degrading_refuses_an_existing_output(dataset, tmp_path, capsys):
    (tmp_path / "small").mkdir()
    (tmp_path / "small/x").touch()
    assert execute(["degrade", str(dataset / "GT/first"), str(tmp_path / "small")]) == 2
    assert "give -y" in capsys.readouterr().err


def test_degrading_a_video_keeps_its_times(dataset, tmp_path):
    first = tmp_path / "a.mkv"
    degrade_input(dataset / "GT/first", first, "bi", UpscaleOptions(codec="ffv1"), factor=2)
    done = degrade_input(first, tmp_path / "b.mkv", "bd", UpscaleOptions(codec="ffv1"), factor=2)
    assert (done.width, done.height, done.frames) == (20, 16, 3)
    assert not list(tmp_path.glob(".vsrpp*"))


def test_web_frames_of_a_folder_are_those_that_are_measured(dataset, tmp_path):
    truth = dataset / "GT/first"
    strong = ["--kind", "web", "--crf", "30", "--blur", "0.4", "--noise", "2"]
    for name, options in (("small", strong), ("plain", ["--kind", "web"])):
        assert execute(["degrade", str(truth), str(tmp_path / name), "-q", *options]) == 0
    frames = read_8bit(truth)
    for name, web in (("small", Web(crf=30, blur=0.4, noise=2)), ("plain", Web(crf=23))):
        np.testing.assert_array_equal(read_8bit(tmp_path / name), degrade_web(frames, web))
    assert not np.array_equal(read_8bit(tmp_path / "small"), read_8bit(tmp_path / "plain"))


def test_a_web_video_is_what_x264_wrote(dataset, tmp_path):
    truth = dataset / "GT/first"
    done = degrade_input(truth, tmp_path / "web.mkv", "web", UpscaleOptions(crf=30), factor=2)
    expected = degrade_web(read_8bit(truth), Web(crf=30), 2)
    info = probe(tmp_path / "web.mkv")
    assert (info.codec, info.pix_fmt, info.color.matrix) == ("h264", "yuv420p", "smpte170m")
    assert (done.width, done.height) == (info.width, info.height)
    np.testing.assert_array_equal(read_8bit(tmp_path / "web.mkv"), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "bi", "--blur", "1"], "belong to --kind web"),
        (["--kind", "web", "--codec", "libx265"], "leave out --codec"),
        (["--kind", "web", "--crf", "70"], "--crf 70: must be from 0 (best) to 51"),
    ],
)
def test_degrading_refuses_strengths_that_make_no_sense(
    dataset, tmp_path, capsys, options, message
):
    out = tmp_path / "small.mkv"
    assert execute(["degrade", str(dataset / "GT/first"), str(out), *options]) == 2
    assert message in capsys.readouterr().err


def test_web_needs_a_container_that_holds_h264(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"suffix of .mp4"):
        degrade_input(dataset / "GT/first", tmp_path / "a.webm", "web", UpscaleOptions())


def test_the_choice_of_a_model_is_measured(dataset, capsys, monkeypatch):
    arguments = ["x", str(dataset), "--frames", "2", "--crf", "0", "40", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    script("choose_model").main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith(("| first", "| second"))]
    assert [row[1] for row in rows] == ["0", "40"] * 2
    for row in rows:
        better = "compact-web" if float(row[5]) > float(row[4]) else "compact"
        chosen = row[6].removesuffix(" |")
        assert row[4] == row[5] or (chosen == better) == ("wrong" not in chosen)
    assert any(line.startswith("right in ") for line in lines)


def test_evaluating_web_footage_says_how_strong_it_was(dataset, model):
    options = {"models": (model,), "only": ("first",), "temporal": False, "device": "cpu"}
    results = [
        evaluate(dataset, EvaluateOptions(degradation="web", crf=crf, **options))
        for crf in (10, 40)
    ]
    assert [result.degradation for result in results] == ["web, crf 10", "web, crf 40"]
    better, worse = (result.methods[0].mean("psnr") for result in results)
    assert better > worse
    with pytest.raises(UsageError, match="`crf` belongs to `degradation='web'`"):
        evaluate(dataset, EvaluateOptions(crf=20, **options))
