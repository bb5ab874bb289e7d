"""Renders clips with exactly known sub-pixel motion from stills.

A virtual camera moves over a still: it shifts, rotates and zooms, steadily and with some shaking.
The still is sampled at its own resolution and downscaled later, so the clip is as sharp and aliased
as a camera's, and the flow between its frames follows from the camera's path.

A second still, cut out along a random outline, may move in front of the first on its own path; the
flow of each pixel is that of the layer visible there. A frame may have an exposure time: several
pictures within that time are averaged in linear light, approximated by squared code values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from vsrpp_cli.kernels.threads import in_parallel

Matrices = npt.NDArray[np.float64]
"""(T, 2, 3): affine maps from a frame's pixels (x, y, 1) to the still's (x, y)."""


@numba.njit(inline="always")
def _cubic(t: Any) -> Any:
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


@numba.njit(inline="always")
def _sample(still: Any, u: float, v: float) -> Any:
    """Return red, green and blue (0..255, not below 0) of a still at (u, v), reflected outside."""
    height, width = still.shape[0], still.shape[1]
    u0 = int(np.floor(u))
    v0 = int(np.floor(v))
    wx = _cubic(np.float32(u - u0))
    wy = _cubic(np.float32(v - v0))
    inside = 1 <= u0 < width - 2 and 1 <= v0 < height - 2
    r = np.float32(0)
    g = np.float32(0)
    b = np.float32(0)
    for j in range(4):
        line = v0 + j - 1 if inside else _reflect(v0 + j - 1, height)
        for i in range(4):
            at = u0 + i - 1 if inside else _reflect(u0 + i - 1, width)
            weight = np.float32(wy[j] * wx[i])
            r += weight * np.float32(still[line, at, 0])
            g += weight * np.float32(still[line, at, 1])
            b += weight * np.float32(still[line, at, 2])
    zero = np.float32(0)
    return max(r, zero), max(g, zero), max(b, zero)


@numba.njit(inline="always")
def _cover(outline: Any, u: float, v: float, pixel: float) -> Any:
    """Return the share (0 to 1) of the clip's pixel at (u, v) that is inside an outline.

    `pixel` is the side of a pixel of the clip; all values are in pixels of the still.
    """
    count = outline.shape[0] - 2
    dx = u - outline[0]
    dy = v - outline[1]
    radius = np.sqrt(dx * dx + dy * dy)
    place = (np.arctan2(dy, dx) / (2 * np.pi) + 1.0) * count
    k = int(place)
    here = outline[2 + k % count]
    there = outline[2 + (k + 1) % count]
    edge = here + (place - k) * (there - here)
    # The outline is not perpendicular to the radius: its distance is shorter than along the radius.
    lean = (there - here) * count / (2 * np.pi * max(radius, 1.0))
    across = (edge - radius) / np.sqrt(1.0 + lean * lean)
    return min(max(across / pixel + 0.5, 0.0), 1.0)


@numba.njit(nogil=True, fastmath=True, boundscheck=False)
def _render(
    back: Any,
    back_maps: Any,
    front: Any,
    front_maps: Any,
    outline: Any,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Render rows `first:last` of `out`, (T, S, S, 3), uint8, counted through all frames.

    Each pixel is the average over the moments of the exposure time.
    """
    size = out.shape[1]
    moments = back_maps.shape[1]
    layered = outline.shape[0] > 0
    for row in range(first, last):
        t = row // size
        y = row - t * size
        for x in range(size):
            light_r = np.float32(0)
            light_g = np.float32(0)
            light_b = np.float32(0)
            for k in range(moments):
                cover = np.float32(0)
                if layered:
                    m = front_maps[t, k]
                    u = m[0, 0] * x + m[0, 1] * y + m[0, 2]
                    v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
                    pixel = np.sqrt(abs(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]))
                    cover = np.float32(_cover(outline, u, v, pixel))
                    if cover > 0:
                        r, g, b = _sample(front, u, v)
                        light_r += cover * r * r
                        light_g += cover * g * g
                        light_b += cover * b * b
                if cover < 1:
                    m = back_maps[t, k]
                    u = m[0, 0] * x + m[0, 1] * y + m[0, 2]
                    v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
                    r, g, b = _sample(back, u, v)
                    clear = np.float32(1) - cover
                    light_r += clear * r * r
                    light_g += clear * g * g
                    light_b += clear * b * b
            share = np.float32(1) / np.float32(moments)
            half = np.float32(0.5)
            top = np.float32(255)
            out[t, y, x, 0] = np.uint8(min(np.sqrt(light_r * share) + half, top))
            out[t, y, x, 1] = np.uint8(min(np.sqrt(light_g * share) + half, top))
            out[t, y, x, 2] = np.uint8(min(np.sqrt(light_b * share) + half, top))


@dataclass(frozen=True)
class Layer:
    """A still, and the camera's path over it."""

    still: npt.NDArray[np.uint8]
    """(H, W, 3), C-contiguous: numba would compile again for other layouts."""
    maps: Matrices
    outline: npt.NDArray[np.float64] | None = None
    """Centre x, y, then radii at equal angles, in pixels of the still; None for the whole still."""


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
        rng: draws all parameters.
        frames: number of frames of the clip.
        size: height and width of the clip's frames, pixels.
        still: height and width of the still, pixels.
        speed: range of the motion, in pixels of the clip per frame.
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


def outline(
    rng: np.random.Generator, maps: Matrices, size: int, radius: tuple[float, float] = (0.12, 0.45)
) -> npt.NDArray[np.float64]:
    """Return a random outline: a wavy ellipse somewhere in the middle frame.

    Args:
        rng: draws all parameters.
        maps: the path of the layer that is cut out.
        size: height and width of the clip's frames, pixels.
        radius: range of its mean radius, as a share of `size`.

    Returns:
        centre x, y, then 256 radii at equal angles, in pixels of the still.
    """
    middle = maps[len(maps) // 2]
    pixel = np.sqrt(abs(np.linalg.det(middle[:, :2])))
    centre = middle @ np.array([*rng.uniform(0.1, 0.9, 2) * size, 1])
    angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    turned = angles - rng.uniform(0, 2 * np.pi)
    flat = rng.uniform(0.3, 1)
    radii = flat / np.sqrt((flat * np.cos(turned)) ** 2 + np.sin(turned) ** 2)
    for waves in rng.integers(2, 14, 3):
        height = rng.uniform(0, 0.5) / waves
        radii *= 1 + height * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    radii *= rng.uniform(*radius) * size * pixel / radii.mean()
    return np.concatenate((centre, radii))


def render(layers: Sequence[Layer], size: int, exposure: float = 0.0) -> npt.NDArray[np.uint8]:
    """Return the rendered clip (T, size, size, 3).

    Args:
        layers: the background, and perhaps one layer in front of it.
        size: height and width of the frames, pixels.
        exposure: exposure time as a share of the time between two frames.
    """
    back, front = layers[0], layers[-1]
    moments = max(_moments(layer.maps, size, exposure) for layer in layers)
    out = np.empty((len(back.maps), size, size, 3), np.uint8)
    edge = np.zeros(0) if front.outline is None else front.outline
    paths = (_path(layer.maps, moments, exposure) for layer in (back, front))
    work = partial(_render, back.still, next(paths), front.still, next(paths), edge, out)
    in_parallel(work, len(out) * size)
    return out


MOST_MOMENTS = 5
"""Most pictures averaged for a frame: more take time and make no visible difference."""


def _moments(maps: Matrices, size: int, exposure: float) -> int:
    """Return how many pictures to average for a frame: one for each two pixels of motion."""
    if not exposure or len(maps) < 2:
        return 1
    middle = np.array([size / 2, size / 2, 1])
    passed = np.linalg.norm(np.diff(maps @ middle, axis=0), axis=1).max()
    pixel = np.sqrt(abs(np.linalg.det(maps[0][:, :2])))
    return int(np.clip(np.ceil(passed / pixel * exposure / 2) + 1, 1, MOST_MOMENTS))


def _path(maps: Matrices, moments: int, exposure: float) -> npt.NDArray[np.float64]:
    """Return the maps (T, K, 2, 3) at K = `moments` times around that of each frame."""
    out = np.repeat(maps[:, None], moments, axis=1)
    if moments == 1:
        return out
    ahead = np.concatenate((np.diff(maps, axis=0), maps[-1:] - maps[-2:-1]))
    behind = np.concatenate((ahead[:1], ahead[:-1]))
    for k, time in enumerate(exposure * (np.arange(moments) / (moments - 1) - 0.5)):
        out[:, k] += time * (ahead if time > 0 else behind)
    return out


def layered_flows(
    layers: Sequence[Layer], patch: int, factor: int, margin: int
) -> npt.NDArray[np.float32]:
    """Return the true flow of the layer visible at each pixel; other arguments as for `flows`."""
    out = flows(layers[0].maps, patch, factor, margin)
    for layer in layers[1:]:
        assert layer.outline is not None
        points = _points(patch, factor, margin)
        places = np.einsum("tij,jhw->tihw", layer.maps[:-1], points)
        covered = _enclosed(layer.outline, places[:, 0], places[:, 1])
        own = flows(layer.maps, patch, factor, margin)
        out = np.where(covered[:, None], own, out)
    return out


def _enclosed(
    edge: npt.NDArray[np.float64], u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Return whether points of a still lie within an outline."""
    radii = np.append(edge[2:], edge[2])
    dx, dy = u - edge[0], v - edge[1]
    place = (np.arctan2(dy, dx) / (2 * np.pi) % 1.0) * (len(radii) - 1)
    return np.asarray(np.hypot(dx, dy) < np.interp(place, np.arange(len(radii)), radii))


def _points(patch: int, factor: int, margin: int) -> npt.NDArray[np.float64]:
    """Return the centres (x, y, 1) of low-resolution pixels in high-resolution pixels.

    Each is (patch, patch).
    """
    at = margin + factor * np.arange(patch) + (factor - 1) / 2
    x, y = np.meshgrid(at, at)
    return np.stack((x, y, np.ones_like(x)))


def flows(maps: Matrices, patch: int, factor: int, margin: int) -> npt.NDArray[np.float32]:
    """Return the true flow from each frame to its successor.

    Args:
        maps: the camera's path over high-resolution frames.
        patch: height and width of the low-resolution patch.
        factor: high-resolution pixels per low-resolution pixel, along one axis.
        margin: high-resolution pixels to the left of and above the patch.

    Returns:
        (T-1, 2, patch, patch), x before y, in low-resolution pixels.
    """
    points = _points(patch, factor, margin)
    out = np.empty((len(maps) - 1, 2, patch, patch), np.float32)
    for t in range(len(maps) - 1):
        seen = np.einsum("ij,jhw->ihw", maps[t], points) - maps[t + 1][:, 2, None, None]
        back = np.einsum("ij,jhw->ihw", np.linalg.inv(maps[t + 1][:, :2]), seen)
        out[t] = (back - points[:2]) / factor
    return out
