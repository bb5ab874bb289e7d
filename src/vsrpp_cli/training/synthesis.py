"""Clips with exactly known sub-pixel motion, rendered from a still.

A still is seen through a moving camera: shift, rotation and zoom, with a steady part and a shaking
one. It is sampled at its own size and shown smaller, so the clip is sharp and aliased as a camera's
would be, and the flow between its frames follows from the camera alone.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Matrices = npt.NDArray[np.float64]
"""(T, 2, 3): affine maps from a frame's pixels (x, y, 1) to the still's (x, y)."""


@numba.njit(inline="always")
def _cubic(t: float) -> tuple[float, float, float, float]:
    """Return the four weights of Keys' cubic (a = -0.5) for a fraction t in [0, 1)."""
    a = -0.5 * t + t * t - 0.5 * t * t * t
    b = 1.0 - 2.5 * t * t + 1.5 * t * t * t
    c = 0.5 * t + 2.0 * t * t - 1.5 * t * t * t
    return a, b, c, 1.0 - a - b - c


@numba.njit(inline="always")
def _reflect(i: int, n: int) -> int:
    period = 2 * n - 2
    i = abs(i) % period
    return i if i < n else period - i


@numba.njit(parallel=True, fastmath=True, boundscheck=False)
def _render(still: Any, maps: Any, out: Any) -> None:
    """Sample `still` (H, W, 3) uint8 along `maps` into `out` (T, S, S, 3) uint8, reflecting."""
    frames, size = out.shape[0], out.shape[1]
    height, width = still.shape[0], still.shape[1]
    for row in numba.prange(frames * size):
        t = row // size
        y = row - t * size
        m = maps[t]
        for x in range(size):
            u = np.float32(m[0, 0] * x + m[0, 1] * y + m[0, 2])
            v = np.float32(m[1, 0] * x + m[1, 1] * y + m[1, 2])
            u0 = int(np.floor(u))
            v0 = int(np.floor(v))
            wx = _cubic(float(u - u0))
            wy = _cubic(float(v - v0))
            r = np.float32(0)
            g = np.float32(0)
            b = np.float32(0)
            for j in range(4):
                line = _reflect(v0 + j - 1, height)
                for i in range(4):
                    at = _reflect(u0 + i - 1, width)
                    weight = np.float32(wy[j] * wx[i])
                    r += weight * still[line, at, 0]
                    g += weight * still[line, at, 1]
                    b += weight * still[line, at, 2]
            out[t, y, x, 0] = np.uint8(
                min(max(r + np.float32(0.5), np.float32(0)), np.float32(255))
            )
            out[t, y, x, 1] = np.uint8(
                min(max(g + np.float32(0.5), np.float32(0)), np.float32(255))
            )
            out[t, y, x, 2] = np.uint8(
                min(max(b + np.float32(0.5), np.float32(0)), np.float32(255))
            )


def camera(
    rng: np.random.Generator,
    *,
    frames: int,
    size: int,
    still: tuple[int, int],
    speed: tuple[float, float],
) -> Matrices:
    """Return the path of a random camera over a still.

    Args:
        rng: decides everything.
        frames: of the clip.
        size: of the clip's frames, pixels.
        still: height and width of the still, pixels.
        speed: range of the motion in pixels of the clip a frame.
    """
    largest = max(1.0, min(2.0, min(still) / size))
    zoom = rng.uniform(min(1.3, largest), largest)
    low, high = speed
    velocity = _vector(rng, low * (high / low) ** rng.random()) * zoom
    shake = rng.choice([0.0, 0.1, 0.4]) * 4 * zoom
    turn = rng.normal(0, np.deg2rad(0.4)) * (rng.random() < 0.5)
    growth = rng.normal(0, 0.004) * (rng.random() < 0.5)
    bend = rng.normal(0, 0.03, 2) * np.abs(velocity).max()
    times = np.arange(frames) - (frames - 1) / 2
    path = velocity * times[:, None] + bend * times[:, None] ** 2 / 2
    path += rng.normal(0, 1, (frames, 2)) * shake
    reach = zoom * size / 2 + np.abs(path).max(axis=0)
    room = np.maximum(np.array([still[1], still[0]]) / 2 - reach, 0)
    centre = np.array([still[1], still[0]]) / 2 + rng.uniform(-1, 1, 2) * room + path
    angle = rng.uniform(-0.2, 0.2) * (rng.random() < 0.5) + turn * times
    scale = zoom * np.exp(growth * times)
    middle = (size - 1) / 2
    maps = np.empty((frames, 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = scale * np.cos(angle)
    maps[:, 1, 0] = scale * np.sin(angle)
    maps[:, 0, 1] = -maps[:, 1, 0]
    maps[:, :, 2] = centre - maps[:, :, :2] @ np.array([middle, middle])
    return maps


def _vector(rng: np.random.Generator, length: float) -> npt.NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(length * np.array([np.cos(angle), np.sin(angle)]))


def render(still: npt.NDArray[np.uint8], maps: Matrices, size: int) -> npt.NDArray[np.uint8]:
    """Return the clip (T, size, size, 3) a camera sees of a still (H, W, 3)."""
    out = np.empty((len(maps), size, size, 3), np.uint8)
    _render(still, maps, out)
    return out


def flows(maps: Matrices, patch: int, factor: int, margin: int) -> npt.NDArray[np.float32]:
    """Return the true flow from each frame to its successor.

    Args:
        maps: the camera's path over high-resolution frames.
        patch: height and width of the low-resolution patch.
        factor: high-resolution pixels a low-resolution pixel.
        margin: high-resolution pixels left and above the patch.

    Returns:
        (T-1, 2, patch, patch), x before y, in low-resolution pixels.
    """
    at = margin + factor * np.arange(patch) + (factor - 1) / 2
    x, y = np.meshgrid(at, at)
    points = np.stack((x, y, np.ones_like(x)))
    out = np.empty((len(maps) - 1, 2, patch, patch), np.float32)
    for t in range(len(maps) - 1):
        seen = np.einsum("ij,jhw->ihw", maps[t], points) - maps[t + 1][:, 2, None, None]
        back = np.einsum("ij,jhw->ihw", np.linalg.inv(maps[t + 1][:, :2]), seen)
        out[t] = (back - points[:2]) / factor
    return out
