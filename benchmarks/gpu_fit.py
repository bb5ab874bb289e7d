"""`gpu.py --fit`: the coefficients of the device's memory, from peaks measured on it.

The memory model adds what a chunk holds, which is counted, and the need of the one part of the
network that needs most. So each measurement depends on the coefficients of that part alone. Which
part it is depends on the coefficients in turn, so fitting them (least squares of relative errors)
is repeated until it does not change. A coefficient without measurements keeps its value.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import accumulate

import numpy as np
from torch.profiler import ProfilerActivity, profile

from gpu_memory import compute_chunks, name_of
from gpu_setting import Setting, attempt, peak_bytes, reset_peak
from memory import Row
from vsrpp_cli.planning.memory_model import DEVICE, MARGIN, Coefficients, Work, predict_engine

ROUNDS = 20
"""Number of repetitions after which the coefficients are taken even if the parts still change."""
APART = 1 << 40
"""Bytes of the device's memory: any value above 0 gives the same predictions."""
PARTS = {
    "step": ("step_features", "sampling_channel", "sampling_group"),
    "flow": ("flow_network",),
    "output": ("reconstruction",),
}
"""The coefficients of each part of a network."""


@dataclass(frozen=True)
class Peak:
    """A measurement."""

    row: Row
    """One network, in one chunk."""
    batch: int
    """Number of tiles computed together."""
    measured: float
    """Bytes."""

    def predicted(self, coefficients: Coefficients) -> float:
        """Return the bytes predicted, without the planner's margin."""
        row, (work, overlap) = self.row, planned(self.row)
        need = predict_engine(
            work, row.frames, row.tile, overlap, self.batch, coefficients=coefficients
        )
        return need.device / MARGIN


@cache
def planned(row: Row) -> tuple[Work, int]:
    """Return a row's work on a device, and its tiles' overlap.

    Cached, because a row builds its networks again each time.
    """
    return replace(row.work, device_memory=APART), row.overlap


def rows(setting: Setting) -> list[tuple[Row, int]]:
    """Return what is computed, and how many tiles together."""
    half = "fp16"  # by torch's operators on a CPU, too
    if setting.quick:
        tiny = [("compact", half), ("64 channels", half), ("compact", "fp32")]
        return [(Row(name, kind, 64, 64, 2), 1) for name, kind in tiny]
    sizes = [(320, 180, 4), (320, 180, 20), (640, 360, 6), (1280, 720, 4)]
    names = ["compact", "64 channels", "64 channels, same size", "128 channels, same size",
             "real-basicvsr"]  # fmt: skip
    whole = [Row(name, half, *size) for name in names for size in sizes]
    whole += [Row(name, "fp32", 320, 180, 8) for name in names]
    tiled = Row("64 channels", half, 640, 360, 8, (344, 204))
    return [*((row, 1) for row in whole), (tiled, 2), (tiled, 4)]


def measured(setting: Setting, row: Row, batch: int) -> float:
    """Return the peak bytes of a chunk: of the device's memory, or counted on a CPU."""
    if not setting.on_gpu:
        return counted(partial(compute_chunks, setting, row, batch))
    reset_peak(setting)
    compute_chunks(setting, row, batch)
    return peak_bytes(setting)


def counted(work: Callable[[], object]) -> float:
    """Return the peak of the bytes that torch allocates on the CPU during a call."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)


def fitted(peaks: Sequence[Peak], start: Coefficients) -> Coefficients:
    """Return the coefficients that predict peaks with the least sum of squared relative errors."""
    found, parts = start, [""] * len(peaks)
    for _ in range(ROUNDS):
        before, parts = parts, [largest(peak, found) for peak in peaks]
        if parts == before:
            break
        found = solved(peaks, parts, found)
    return found


def largest(peak: Peak, coefficients: Coefficients) -> str:
    """Return the part of the network that needs most."""
    return max(PARTS, key=lambda part: peak.predicted(alone(coefficients, part)))


def alone(coefficients: Coefficients, part: str) -> Coefficients:
    """Return the coefficients with those of all other parts set to 0."""
    others = [name for other, names in PARTS.items() if other != part for name in names]
    return replace(coefficients, **dict.fromkeys(others, 0.0))


def solved(peaks: Sequence[Peak], parts: list[str], near: Coefficients) -> Coefficients:
    """Return the non-negative coefficients that fit best if these are the largest parts.

    Of several equally good solutions, the one with the smallest relative changes.
    """
    values = {name: value or 1.0 for name, value in asdict(near).items()}
    free = [name for part, names in PARTS.items() if part in parts for name in names]
    while free:
        start = Coefficients(**{k: v if k in free else asdict(near)[k] for k, v in values.items()})
        columns = [[says(p, part, start, name) for name in free]
                   for p, part in zip(peaks, parts, strict=True)]  # fmt: skip
        wanted = [1 - p.predicted(alone(start, part)) / p.measured
                  for p, part in zip(peaks, parts, strict=True)]  # fmt: skip
        shares = 1 + np.linalg.lstsq(np.array(columns), np.array(wanted), rcond=1e-6)[0]
        if shares.min() >= 0:
            changed = {n: values[n] * float(s) for n, s in zip(free, shares, strict=True)}
            return replace(start, **changed)
        worst = free.pop(int(shares.argmin()))
        near = replace(near, **{worst: 0.0})
    return near


def says(peak: Peak, part: str, coefficients: Coefficients, name: str) -> float:
    """Return the share of a peak that a coefficient accounts for; 0 if it is another part's."""
    if name not in PARTS[part]:
        return 0.0
    own = alone(coefficients, part)
    without = replace(own, **{name: 0.0})
    return (peak.predicted(own) - peak.predicted(without)) / peak.measured


def fit(setting: Setting) -> Iterator[str]:
    """Yield lines: a table of peaks before and after the fit, and the coefficients to paste."""
    yield from ("| chunk | measured | predicted before | after |", "|---|---|---|---|")
    peaks: list[Peak] = []
    for row, batch in rows(setting):
        label, *failure = attempt(name_of(row, batch), partial(note, peaks, setting, row, batch))
        if failure:
            yield f"| {label} | {failure[0]} | | |"
    if not peaks:
        raise SystemExit("nothing could be measured")
    found = fitted(peaks, DEVICE)
    for peak in peaks:
        yield f"| {' | '.join(cells(peak, found))} |"
    values = ", ".join(f"{name}={value:.4g}" for name, value in asdict(found).items())
    yield f"\nsrc/vsrpp_cli/planning/memory_model.py:\nDEVICE = Coefficients({values})"


def note(peaks: list[Peak], setting: Setting, row: Row, batch: int) -> list[str]:
    """Add a measurement to the peaks; return no cells."""
    peaks.append(Peak(row, batch, measured(setting, row, batch)))
    return []


def cells(peak: Peak, found: Coefficients) -> list[str]:
    """Return a measurement's cells, with the prediction's errors before and after the fit."""
    shares = [peak.predicted(coefficients) / peak.measured for coefficients in (DEVICE, found)]
    errors = [f"{100 * (share - 1):+.0f} %" for share in shares]
    return [name_of(peak.row, peak.batch), f"{peak.measured / 1e6:.0f} MB", *errors]
