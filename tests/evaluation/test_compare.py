"""`vsrpp compare`: what is measured, what is shown of it, and what is refused."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from support.reading import write_numbered
from support.tiny import moving_frames
from vsrpp_cli.cli.main import main as vsrpp
from vsrpp_cli.cli.text import as_flags
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.evaluation.comparison.compare import Likeness, compare
from vsrpp_cli.evaluation.comparison.inputs import Crop, Inputs
from vsrpp_cli.evaluation.comparison.lettering import lettered
from vsrpp_cli.evaluation.comparison.panes import GAP, over_time, side_by_side
from vsrpp_cli.evaluation.comparison.pictures import write_picture
from vsrpp_cli.evaluation.comparison.places import moments
from vsrpp_cli.media.images.headers import read_header
from vsrpp_cli.media.source import open_source
from vsrpp_cli.metrics import to_8bit
from vsrpp_cli.resample import resize

WIDTH, HEIGHT, FRAMES = 64, 48, 6


def save(folder, frames):
    for i, rgb in enumerate(frames):
        write_picture(folder / f"{i:04d}.png", to_8bit(rgb))
    return folder


@pytest.fixture
def truth():
    return moving_frames(FRAMES, WIDTH, HEIGHT)


@pytest.fixture
def folder(tmp_path, truth):
    return save(tmp_path / "truth", truth)


@pytest.fixture
def changed(tmp_path, truth):
    """The same but for a dark spot in frame 4, at the bottom right."""
    frames = [frame.copy() for frame in truth]
    frames[4][:, 36:46, 44:58] *= 0.2
    return save(tmp_path / "changed", frames)


def run(*words):
    return CliRunner().invoke(vsrpp, ["compare", *map(str, words)])


def test_the_least_alike_frame_and_the_part_that_differs_are_found(folder, changed):
    found = compare(Inputs([folder, changed]))
    (result,) = found.results
    assert found.frame == result.worst == 4
    assert result.psnr[0] == math.inf
    assert result.mean_psnr == pytest.approx(result.psnr[4])
    part = found.part(4)
    assert (part.width, part.height) == (16, 11)
    assert 42 <= part.x <= 45
    assert 34 <= part.y <= 38
    assert not found.reference_enlarged


def test_the_mean_of_equal_inputs_is_infinite():
    assert Likeness("x", psnr=[math.inf] * 2, ssim=[1.0, 1.0]).mean_psnr == math.inf


@pytest.mark.parametrize("size", [(96, 128), (72, 96), (71, 96)])
def test_a_result_of_any_size_is_compared_with_its_source(tmp_path, folder, truth, size):
    large = save(tmp_path / "large", [resize(frame, *size, "bicubic") for frame in truth])
    inputs = Inputs([folder, large])
    assert inputs.size == size[::-1]
    found = compare(inputs)
    assert found.reference_enlarged
    assert found.results[0].mean_psnr > 55


def test_other_shapes_are_refused(tmp_path, folder):
    square = save(tmp_path / "square", moving_frames(FRAMES, 64, 64))
    with pytest.raises(UsageError, match=r"1\.00 times as wide as high.*1\.33 times"):
        Inputs([folder, square])


@pytest.mark.parametrize("degrees", [90, 180])
def test_rotated_video_is_compared_the_way_it_is_shown(tmp_path, degrees):
    video = write_numbered(
        tmp_path / "turned.mp4",
        2,
        options={"preset": "ultrafast"},
        prepare=lambda stream: stream.set_display_rotation(degrees),
    )
    source = open_source(video)
    stored = [frame.rgb for frame in source.read(source.scan(scenes=False), 0, 2)]
    upright = save(tmp_path / "upright", [np.rot90(f, degrees // 90, (1, 2)) for f in stored])
    inputs = Inputs([video, upright])
    assert inputs.sizes[0] == inputs.sizes[1]
    assert compare(inputs).results[0].mean_psnr == math.inf


def test_wide_pixels_are_shown_wide(tmp_path):
    def shape(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(12, 11)

    video = write_numbered(tmp_path / "wide.mp4", 2, options={"preset": "ultrafast"}, prepare=shape)
    square = save(tmp_path / "square", moving_frames(2, 140, 96))
    assert compare(Inputs([video, square])).results[0].psnr
    plain = save(tmp_path / "plain", moving_frames(2, 128, 96))
    with pytest.raises(UsageError, match="times as wide as high"):
        Inputs([video, plain])
    picture = side_by_side(Inputs([video, video]), 0, None)
    assert picture.shape[2] == 2 * round(128 * 3 * 12 / 11) + GAP


def test_the_crop_is_given_in_pixels_of_the_first_input(tmp_path, folder, truth):
    large = save(tmp_path / "large", [frame.repeat(4, 1).repeat(4, 2) for frame in truth])
    picture = side_by_side(Inputs([folder, large]), 2, Crop(20, 10, 8, 4))
    pane, zoom = 20 * 4 * 4, 4
    assert picture.shape[2] == 2 * pane + GAP
    shown = picture[:, -10 * 4 * zoom :, pane + GAP :]
    expected = to_8bit(truth[2])[:, 4:14, 8:28].repeat(4 * zoom, 1).repeat(4 * zoom, 2)
    np.testing.assert_array_equal(shown, expected)
    with pytest.raises(UsageError, match="64x48: it is given in pixels of the first"):
        side_by_side(Inputs([folder, large]), 2, Crop(20, 10, 48, 4))


def test_panes_have_the_names_of_their_inputs_or_labels(folder, changed):
    inputs = Inputs([folder, changed])
    plain, named = (side_by_side(inputs, 0, None, labels) for labels in ((), ("before", "after")))
    head = plain.shape[1] - 5 * HEIGHT
    for picture in (plain, named):
        assert (picture[:, :head, :320] < 100).any()
        assert (picture[:, :head, 324:] < 100).any()
    assert (plain[:, :head] != named[:, :head]).any()
    np.testing.assert_array_equal(plain[:, head:], named[:, head:])
    with pytest.raises(UsageError, match="`labels` was given 3 times for 2 inputs"):
        side_by_side(inputs, 0, None, ("a", "b", "c"))


def test_long_names_lose_their_middle_and_unknown_letters_become_marks():
    assert lettered("tape.mp4", 20, 300).any()
    np.testing.assert_array_equal(lettered("fète 夜", 20, 300), lettered("fete ?", 20, 300))
    long = lettered("a" * 40 + ".mkv", 20, 100)
    assert long.shape == (20, 100)
    assert long[:, -25:].any()


def test_a_scan_line_shows_a_row_of_every_frame_below_each_other(folder, changed, truth):
    picture = over_time(Inputs([folder, changed]), 40, range(1, FRAMES), None)
    times = 240 // (FRAMES - 1)
    lines = picture[:, -times * (FRAMES - 1) :: times, :320:5]
    np.testing.assert_array_equal(lines, np.stack([to_8bit(f)[:, 40] for f in truth[1:]], 1))


@pytest.mark.parametrize(
    ("count", "cuts", "peaks", "frames", "expected"),
    [
        (5, (), (), 12, [range(5)]),
        (5, (2,), (), 12, [range(2), range(2, 5)]),
        (90, (), (10, 50, 80), 12, [range(8, 12), range(48, 52), range(78, 82)]),
        (90, (50,), (50, 10, 80), 12, [range(8, 12), range(50, 54), range(78, 82)]),
        (90, (), (89,), 2, [range(1), range(89, 90)]),
    ],
)
def test_moments_are_where_scores_are_highest(count, cuts, peaks, frames, expected):
    scores = [0.0] * count
    for rank, peak in enumerate(peaks):
        scores[peak] = 9.0 - rank
    assert moments(scores, cuts, frames) == expected


def test_different_numbers_of_frames_are_told_as_far_as_they_are_known(tmp_path, folder, truth):
    short = save(tmp_path / "short", truth[:2])
    with pytest.raises(InputError, match=r"truth has 6, .*short has 2; `frames=2`"):
        compare(Inputs([folder, short]))
    with pytest.raises(InputError, match=r"truth has 4 or more, .*short has 2; `frames=2`"):
        compare(Inputs([folder, short], frames=4))
    assert len(compare(Inputs([folder, short], frames=2)).scores) == 2


def test_a_result_of_a_part_is_compared_with_that_part(tmp_path, folder, truth):
    part = save(tmp_path / "part", truth[2:5])
    inputs = Inputs([folder, part], start=Fraction(2, 25))
    assert compare(inputs).results[0].mean_psnr == math.inf
    assert inputs.times == pytest.approx([0.08, 0.12, 0.16])


@pytest.mark.parametrize("text", ["40x30", "40x30+8", "ax30+8+4", "0x30+1+1"])
def test_malformed_crops_are_refused(text):
    with pytest.raises(UsageError, match="`crop='"):
        Crop.parse(text)


def test_figures_are_named_for_what_they_are(tmp_path, folder, truth):
    large = save(tmp_path / "large", [frame.repeat(2, 1).repeat(2, 2) for frame in truth])
    changed = run(folder, large)
    assert changed.exit_code == 0, changed.output
    assert f"against {folder}, enlarged bicubically, over 6 frames" in changed.stdout
    assert "not how good it is" in changed.stderr
    equal = run(folder, folder, folder)
    lines = equal.stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(
        f"{folder}: PSNR inf dB, SSIM 1.0000 against {folder}, over 6 frames"
    )
    assert "not how good" not in equal.stderr
    record = json.loads(run(folder, large, "--json", "--frames", 2).stdout)
    assert record["reference_enlarged"] is True
    assert record["frames"] == len(record["results"][0]["psnr"]) == 2


@pytest.mark.parametrize(
    ("name", "kind"), [("p.jpg", "jpeg"), ("p.PNG", "png"), ("p.webp", "webp")]
)
def test_pictures_have_the_format_of_their_names(tmp_path, folder, changed, name, kind):
    path, line = tmp_path / name, tmp_path / f"line-{name}"
    done = run(folder, changed, "--picture", path, "--scan-line", line, "--crop", "full")
    assert done.exit_code == 0, done.output
    assert read_header(path).format == read_header(line).format == kind
    assert f"{path}: frame 4, 0.16 s, whole" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--html", "p", "--frame", "6"], "6 frames are compared, counted from 0 to 5"),
        (["--html", "p", "--frame", "2", "--frames", "2"], "2 frames are compared, counted from 0"),
        (["--picture", "p.gif"], "must end in one of .png"),
        (["--picture", "p.png", "--crop", "60x10+8+0"], "beyond the frame of 64x48"),
        (["--crop", "60x10+8+0"], "--crop says what is shown: give --picture"),
        (["--label", "before"], "--label says what is shown: give --picture"),
        (["--picture", "p.png", "--html-size", "5"], "--html-size is about the page: give --html"),
        (["--html", "p", "--report", "none.json"], "none.json: cannot be read as a report"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_measuring(folder, changed, words, message):
    done = run(folder, changed, *words)
    assert isinstance(done.exception, UsageError | InputError)
    assert message in as_flags(str(done.exception))


def test_inputs_are_not_written_over(tmp_path, folder, changed):
    before = (changed / "0002.png").read_bytes()
    done = run(folder / "0002.png", changed / "0002.png", "--picture", changed / "0002.png")
    assert "0002.png is one of the inputs" in str(done.exception)
    assert (changed / "0002.png").read_bytes() == before
