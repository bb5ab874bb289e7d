"""Finds where and when videos differ most.

A map has the mean difference of luma in each cell of a grid over a frame. The part of a frame that
differs most is the window of cells with the largest mean.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.evaluation.comparison.inputs import Crop, Size
from vsrpp_cli.metrics import Picture, luma

GRID = (18, 32)
"""Cells vertically and horizontally; fewer if the frame has fewer pixels."""
WINDOW = 4
"""Height and width of a frame over those of a window."""
MOMENTS = 3
"""Number of ranges of frames that are chosen."""

Map = NDArray[np.float16]
"""Shape as `GRID`; half precision, since there is one for each frame."""


def difference_map(first: Picture, second: Picture) -> Map:
    """Return the mean absolute difference of luma (0 ... 219) in each cell of `GRID`."""
    difference = np.abs(luma(first) - luma(second)).astype(np.float32)
    for axis, cells in enumerate(GRID):
        edges = _edges(difference.shape[axis], cells)[:-1]
        counts = np.diff([*edges, difference.shape[axis]]).astype(np.float32)
        shape = (-1, 1) if axis == 0 else (1, -1)
        sums = np.add.reduceat(difference, edges, axis)
        difference = np.asarray(sums / counts.reshape(shape), np.float32)
    return difference.astype(np.float16)


def _edges(size: int, cells: int) -> NDArray[np.int64]:
    cells = min(size, cells)
    return np.arange(cells + 1) * size // cells


def _window_means(cells: Map) -> NDArray[np.float32]:
    shape = tuple(max(1, side // WINDOW) for side in cells.shape)
    windows = np.lib.stride_tricks.sliding_window_view(cells.astype(np.float32), shape)
    return np.asarray(windows.mean((-2, -1)), np.float32)


def score(cells: Map) -> float:
    """Return the largest mean difference within a window of a frame's map."""
    return float(_window_means(cells).max())


def most_different_part(cells: Map, size: Size) -> Crop:
    """Return the window that differs most, in pixels of a frame of `size`."""
    means = _window_means(cells)
    top, left = np.unravel_index(int(means.argmax()), means.shape)
    rows, columns = (max(1, side // WINDOW) for side in cells.shape)
    xs, ys = _edges(size[0], GRID[1]), _edges(size[1], GRID[0])
    x, y = int(xs[left]), int(ys[top])
    return Crop(int(xs[left + columns]) - x, int(ys[top + rows]) - y, x, y)


def scene_of(frame: int, cuts: Sequence[int], frames: int) -> range:
    """Return the frames of the scene that holds `frame`."""
    edges = [0, *cuts, frames]
    first = max(edge for edge in edges[:-1] if edge <= frame)
    return range(first, min(edge for edge in edges if edge > frame))


def around(frame: int, within: range, frames: int) -> range:
    """Return at most `frames` consecutive frames of `within`, `frame` in the middle if possible."""
    first = max(within.start, min(frame - frames // 2, within.stop - frames))
    return range(first, min(within.stop, first + frames))


def moments(scores: Sequence[float], cuts: Sequence[int], frames: int) -> list[range]:
    """Return ranges of frames, in order, around the frames that differ most.

    Args:
        scores: the difference of each frame.
        cuts: frames that begin a scene; no range spans one.
        frames: most frames in all ranges.
    """
    count = len(scores)
    if count <= frames:
        return _stretches(range(count), cuts)
    wanted = min(MOMENTS, frames)
    each, apart = frames // wanted, max(frames // wanted, count // (2 * MOMENTS))
    left, chosen = np.array(scores, np.float64), set[int]()
    for _ in range(wanted):
        best = int(left.argmax())
        if left[best] == -np.inf:
            break
        chosen.update(around(best, scene_of(best, cuts, count), each))
        left[max(0, best - apart) : best + apart + 1] = -np.inf
    return _stretches(sorted(chosen), cuts)


def _stretches(frames: Iterable[int], cuts: Sequence[int]) -> list[range]:
    """Return ranges of consecutive frames; none spans a cut."""
    runs: list[range] = []
    for frame in frames:
        if runs and frame == runs[-1].stop and frame not in cuts:
            runs[-1] = range(runs[-1].start, frame + 1)
        else:
            runs.append(range(frame, frame + 1))
    return runs
