"""The cut detector: on real trailers labelled by eye, and on what must not be taken for a cut."""

import sys

import av
import numpy as np
import pytest

from support.places import DATA, ROOT, SHARED
from vsrpp_cli.media.decode.scenes import ANALYSIS_SIZE, AROUND, CutDetector, small_luma
from vsrpp_cli.media.source import open_source

CLIPS = SHARED / "data" / "train"
HEIGHT, WIDTH = ANALYSIS_SIZE

sys.path.insert(0, str(ROOT / "benchmarks"))
from scenes import Labels, read_labels  # noqa: E402 - the script that made the figures in the docs


def detected(pictures) -> list[int]:
    detector = CutDetector()
    cuts = [cut for picture in pictures for cut in detector.push(picture)]
    return cuts + detector.flush()


def shot(seed: int, frames: int, speed: float = 0.0, level: float = 1.0) -> list[np.ndarray]:
    """Frames of a random smooth picture, moving by `speed` pixels a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((HEIGHT // 4 + 2, 40))
    fine = np.kron(coarse, np.ones((4, 4)))
    for axis in (0, 1):
        fine = (fine + np.roll(fine, 1, axis) + np.roll(fine, 2, axis)) / 3
    offsets = [round(speed * i) for i in range(frames)]
    return [
        (fine[2 : 2 + HEIGHT, 2 + o : 2 + o + WIDTH] * 235 * level + 10).astype(np.uint8)
        for o in offsets
    ]


def check(labels: Labels, found: set[int]) -> None:
    hits = len(labels.cuts & found)
    assert hits / len(labels.cuts) >= 0.95, f"missed {sorted(labels.cuts - found)}"
    false = found - labels.cuts - labels.titles
    assert hits / (hits + len(false)) >= 0.95, f"false {sorted(false)}"


@pytest.mark.parametrize("name", ["big_buck_bunny", "tears_of_steel"])
def test_cuts_of_trailers_are_found(name):
    """On the trailers' luma at the detector's own size, kept beside the labels."""
    with av.open(str(DATA / f"cuts_{name}.mp4")) as file:
        pictures = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    check(read_labels(DATA / f"cuts_{name}.txt"), set(detected(pictures)))


@pytest.mark.slow
def test_cuts_are_found_by_scanning_the_clip_itself():
    labels = read_labels(DATA / "cuts_tears_of_steel.txt")
    if not (CLIPS / labels.clip).exists():
        pytest.skip(f"{labels.clip} is not here")
    check(labels, set(open_source(CLIPS / labels.clip).scan(scenes=True).cuts))


def test_cuts_between_still_and_moving_shots():
    pictures = shot(1, 12) + shot(2, 9, speed=2) + shot(3, 7, speed=1) + shot(4, 10)
    assert detected(pictures) == [12, 21, 28]


def test_cut_between_dark_shots():
    assert detected(shot(1, 10, level=0.12) + shot(2, 10, level=0.12)) == [10]


def test_cut_to_black_and_back():
    black = [np.full(ANALYSIS_SIZE, 16, np.uint8)] * 8
    assert detected(shot(1, 10) + black + shot(2, 10)) == [10, 18]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length):
    pictures = shot(1, 30, speed=0.3)
    for i in range(14, 14 + length):
        pictures[i] = np.clip(pictures[i].astype(int) + 120, 0, 255).astype(np.uint8)
    assert detected(pictures) == []


def test_lightning_that_stays_is_no_cut():
    """Brightness alone, for a long time: the picture is the same."""
    pictures = shot(1, 30, level=0.4)
    brighter = [np.clip(p.astype(int) * 2 + 20, 0, 255).astype(np.uint8) for p in pictures[15:]]
    assert detected(pictures[:15] + brighter) == []


def test_fades_are_no_cuts():
    pictures = [(p * w).astype(np.uint8) for p, w in zip(shot(1, 12), np.linspace(1, 0, 12))]  # noqa: B905
    pictures += [(p * w).astype(np.uint8) for p, w in zip(shot(2, 12), np.linspace(0, 1, 12))]  # noqa: B905
    assert detected(pictures) == []


def test_a_dissolve_is_no_cut():
    weights = np.clip(np.linspace(-0.5, 1.5, 40), 0, 1)
    pairs = zip(shot(1, 40), shot(2, 40), weights, strict=True)
    assert detected([((1 - w) * a + w * b).astype(np.uint8) for a, b, w in pairs]) == []


@pytest.mark.parametrize("speed", [1, 2.5])
def test_a_pan_is_no_cut(speed):
    assert detected(shot(1, 30, speed=speed)) == []


def test_animation_on_twos_is_no_cut():
    assert detected([p for p in shot(1, 15, speed=4) for _ in range(2)]) == []


def test_noise_in_the_dark_is_no_cut():
    rng = np.random.default_rng(0)
    assert detected(list(rng.integers(16, 20, (40, *ANALYSIS_SIZE)).astype(np.uint8))) == []


def test_cuts_are_reported_a_few_frames_later():
    detector = CutDetector()
    reports = [detector.push(p) for p in shot(1, 10) + shot(2, 10)]
    assert reports[10 + AROUND] == [10]
    assert sum(map(len, reports)) == 1


def test_the_detector_holds_few_frames():
    detector = CutDetector()
    for p in shot(1, 60) + shot(2, 60):
        detector.push(p)
    assert len(detector._luma) < 3 * AROUND
    assert len(detector._known) < 200


def test_a_cut_just_before_the_end():
    assert detected(shot(1, 10) + shot(2, 1)) == [10]
    assert detected(shot(1, 1)) == []
    assert detected([]) == []


@pytest.mark.parametrize("size", [(36, 64), (90, 160), (33, 71), (20, 30)])
def test_small_luma_averages(size):
    rgb = np.full((3, *size), 0.5, np.float32)
    assert small_luma(rgb).shape == ANALYSIS_SIZE
    assert np.all(small_luma(rgb) == 128)
