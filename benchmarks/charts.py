"""Line and bar charts as SVG, for what other scripts here find."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

COLORS = ("#1f5fa8", "#c2571a", "#2a7d3a", "#7b3fa0", "#6b6b6b")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 520, 280, 70, 40, 190, 50

Points = Sequence[tuple[float, float]]


def line_chart(path: Path, lines: Mapping[str, Points], *, title: str, x: str, y: str) -> None:
    """Draw lines over two logarithmic axes."""
    across = _Axis([p[0] for points in lines.values() for p in points], WIDTH)
    up = _Axis([p[1] for points in lines.values() for p in points], HEIGHT)
    body = [_frame(title, x, y)]
    body += [_mark_x(across.place(v), _short(v)) for v in across.marks()]
    body += [_mark_y(HEIGHT - up.place(v), _short(v)) for v in up.marks()]
    for number, (name, points) in enumerate(lines.items()):
        spots = [(LEFT + across.place(a), TOP + HEIGHT - up.place(b)) for a, b in points]
        color = COLORS[number % len(COLORS)]
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
        body.append(f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="2"/>')
        body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{color}"/>' for a, b in spots]
        body.append(_key(number, name, color))
    _write(path, body)


def bar_chart(path: Path, bars: Mapping[str, Mapping[str, float]], *, title: str, x: str) -> None:
    """Draw stacked bars of shares, which add up to one."""
    body = [_frame(title, x, "share")]
    body += [_mark_y(HEIGHT * (1 - share), f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    step = WIDTH / len(bars)
    for column, (name, shares) in enumerate(bars.items()):
        left, top = LEFT + (column + 0.2) * step, float(TOP + HEIGHT)
        body.append(_mark_x((column + 0.5) * step, name))
        for number, share in enumerate(shares.values()):
            top -= share * HEIGHT
            body.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{0.6 * step:.1f}" '
                f'height="{share * HEIGHT:.1f}" fill="{COLORS[number]}"/>'
            )
    names = next(iter(bars.values()))
    body += [_key(number, name, COLORS[number]) for number, name in enumerate(names)]
    _write(path, body)


class _Axis:
    """A logarithmic axis over whole powers of ten."""

    def __init__(self, values: Sequence[float], length: float) -> None:
        self._low = math.floor(math.log10(min(values)) + 1e-9)
        self._high = max(math.ceil(math.log10(max(values)) - 1e-9), self._low + 1)
        self._length = length

    def place(self, value: float) -> float:
        """Return how far along the axis a value is."""
        return (math.log10(value) - self._low) / (self._high - self._low) * self._length

    def marks(self) -> list[float]:
        """Return the powers of ten on it."""
        return [10.0**k for k in range(self._low, self._high + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _frame(title: str, x: str, y: str) -> str:
    middle = LEFT + WIDTH / 2
    return (
        f'<text x="{LEFT}" y="{TOP - 14}" font-size="15">{title}, {y}</text>'
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>'
        f'<text x="{middle}" y="{TOP + HEIGHT + 40}" text-anchor="middle">{x}</text>'
    )


def _mark_x(place: float, text: str) -> str:
    return (
        f'<line x1="{LEFT + place:.1f}" x2="{LEFT + place:.1f}" y1="{TOP + HEIGHT}" '
        f'y2="{TOP + HEIGHT + 5}" stroke="#999"/>'
        f'<text x="{LEFT + place:.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{text}</text>'
    )


def _mark_y(place: float, text: str) -> str:
    return (
        f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{TOP + place:.1f}" y2="{TOP + place:.1f}" '
        f'stroke="#eee"/>'
        f'<text x="{LEFT - 6}" y="{TOP + place + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _key(number: int, name: str, color: str) -> str:
    left, top = LEFT + WIDTH + 16, TOP + 10 + 22 * number
    return (
        f'<rect x="{left}" y="{top - 8}" width="14" height="8" fill="{color}"/>'
        f'<text x="{left + 20}" y="{top}">{name}</text>'
    )


def _write(path: Path, body: Sequence[str]) -> None:
    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(body)}</svg>\n",
        encoding="utf-8",
    )
