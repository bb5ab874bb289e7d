"""Detects cuts between shots in a stream of small luma pictures.

Two pictures are compared block by block, each block where it fits best within a few pixels, so that
motion matters little: once in luma, and once in local structure, which does not depend on
brightness. At a cut, all frames before it differ from all frames after it (so flashes of one or two
frames are no cuts), by much relative to their contrast, and by more than frames on the same side
differ from each other (so fades, dissolves and fast motion are no cuts).
"""

from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

ANALYSIS_SIZE = (36, 64)
"""Height and width of the pictures that `CutDetector.push` takes."""

AROUND = 3
"""Frames compared on each side; also the delay of the detector in frames."""

BLOCK = 4
SEARCH = 3
"""Side of a block, and largest motion in each direction, pixels."""

STRUCTURE_WINDOW = 9
"""Side in pixels of the window whose mean and deviation normalise local structure."""

CHANGE = 0.12
"""Least mean change from the previous frame, relative to contrast, at a cut."""

NEW_STRUCTURE = 10.0
"""Least difference of structure at a cut; below it only the light changes."""

REPEATED = 0.5
"""Distance up to which frames count as repetitions with coding noise."""

THRESHOLD = 14.0
"""Least evidence of a cut; measurements are in `docs/scenes.md`."""

Picture = NDArray[np.float32]


def small_luma(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return BT.709 luma of a picture (3, H, W) in [0, 1], averaged to `ANALYSIS_SIZE`, 8 bit."""
    luma = np.tensordot(np.array([0.2126, 0.7152, 0.0722], np.float32), rgb, 1)
    for axis, size in enumerate(ANALYSIS_SIZE):
        edges = np.arange(size) * luma.shape[axis] // size
        counts = np.maximum(np.diff([*edges, luma.shape[axis]]), 1).astype(np.float32)
        shape = (-1, 1) if axis == 0 else (1, -1)
        luma = np.asarray(np.add.reduceat(luma, edges, axis) / counts.reshape(shape), np.float32)
    return (np.clip(luma, 0, 1) * 255 + 0.5).astype(np.uint8)


class CutDetector:
    """Detects cuts in a stream of small luma pictures; keeps only the last few.

    Indices count the pictures pushed, from 0; a cut is the index of the first frame of a shot.
    """

    def __init__(self) -> None:
        self._pushed = 0
        self._judged = 0
        self._luma: dict[int, Picture] = {}
        self._structure: dict[int, Picture] = {}
        self._known: dict[tuple[bool, int, int], float] = {}

    def push(self, luma: NDArray[np.uint8]) -> list[int]:
        """Add the next picture, shape `ANALYSIS_SIZE`; return the cuts that are now certain."""
        self._luma[self._pushed] = luma.astype(np.float32)
        self._structure[self._pushed] = _structure(self._luma[self._pushed])
        self._pushed += 1
        return self._judge(self._pushed - AROUND)

    def flush(self) -> list[int]:
        """Return the remaining cuts after the last picture."""
        return self._judge(self._pushed)

    def _judge(self, stop: int) -> list[int]:
        """Return the cuts among the frames before `stop` that have not been judged yet."""
        cuts = [i for i in range(self._judged, stop) if i > 0 and self._is_cut(i)]
        self._judged = max(self._judged, stop)
        self._forget(self._judged - AROUND - 1)
        return cuts

    def _is_cut(self, i: int) -> bool:
        before, after = self._luma[i - 1], self._luma[i]
        contrast = max(float(before.std()), float(after.std())) + 4
        if float(np.abs(after - before).mean()) < CHANGE * contrast:
            return False
        if self._distance(i - 1, i, self._luma) < CHANGE * contrast:
            return False
        across, within = self._distances(i, self._luma)
        evidence = across / contrast * across / (within + 0.3)
        across, within = self._distances(i, self._structure)
        return across >= NEW_STRUCTURE and evidence * across * across / (within + 2) >= THRESHOLD

    def _distances(self, i: int, pictures: dict[int, Picture]) -> tuple[float, float]:
        """Return the least distance across the cut at `i`, and the larger one of its two sides.

        The distance within a side is the least of the frame next to the cut to the others there:
        with flickering light, two similar frames suffice. Repetitions of a frame (animation on
        twos) are ignored, since they show no motion.
        """
        left = [a for a in range(i - 1, i - AROUND - 1, -1) if a >= 0]
        right = [b for b in range(i, i + AROUND) if b < self._pushed]
        across = min(self._distance(a, b, pictures) for a, b in product(left, right))
        before = [self._distance(a - 1, i - 1, pictures) for a in left if a > 0]
        after = [self._distance(i, b + 1, pictures) for b in right if b + 1 < self._pushed]
        return across, max(
            min((d for d in side if d > REPEATED), default=0.0) for side in (before, after)
        )

    def _distance(self, a: int, b: int, pictures: dict[int, Picture]) -> float:
        key = (pictures is self._luma, a, b)
        if key not in self._known:
            self._known[key] = _block_distance(pictures[a], pictures[b])
        return self._known[key]

    def _forget(self, first: int) -> None:
        """Drop the data of frames before `first`."""
        for pictures in (self._luma, self._structure):
            for index in [i for i in pictures if i < first]:
                del pictures[index]
        self._known = {key: value for key, value in self._known.items() if key[1] >= first}


def _structure(luma: Picture) -> Picture:
    """Return `luma` normalised by local mean and deviation, 128 +- 127."""
    mean = _window_mean(luma)
    variance = _window_mean(luma * luma) - mean * mean
    relative = (luma - mean) / (np.sqrt(np.maximum(variance, 0)) + 4)
    return np.asarray(np.clip(relative * 64 + 128, 0, 255), np.float32)


def _window_mean(picture: Picture) -> Picture:
    padded = np.pad(picture, STRUCTURE_WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view
    rows = windows(padded, STRUCTURE_WINDOW, 0).mean(-1)
    return np.asarray(windows(rows, STRUCTURE_WINDOW, 1).mean(-1), np.float32)


@numba.njit(nogil=True, cache=True)
def _block_distance(first: Picture, second: Picture) -> float:
    """Return the mean absolute difference of pixels, each block of `first` where it fits best."""
    height, width = first.shape
    total, blocks = 0.0, 0
    for top in range(0, height - BLOCK + 1, BLOCK):
        for left in range(0, width - BLOCK + 1, BLOCK):
            best = 1e30
            for dy in range(-SEARCH, SEARCH + 1):
                for dx in range(-SEARCH, SEARCH + 1):
                    difference = 0.0
                    for y in range(top, top + BLOCK):
                        sy = min(max(y + dy, 0), height - 1)
                        for x in range(left, left + BLOCK):
                            sx = min(max(x + dx, 0), width - 1)
                            difference += abs(first[y, x] - second[sy, sx])
                    best = min(best, difference)
            total += best
            blocks += 1
    return total / (blocks * BLOCK * BLOCK)
