"""`benchmarks/gpu.py --fit`: known coefficients are found again; what is measured is right."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from support.benchmarks import script
from support.places import ROOT
from vsrpp_cli.planning.memory_model import DEVICE, Coefficients

GPU = SimpleNamespace(quick=False)
TRUE = Coefficients(
    step_features=9, sampling_channel=120, sampling_group=150, flow_network=500, reconstruction=4.5
)


@pytest.fixture
def fit(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return script("gpu_fit")


def peaks_of(fit, coefficients, rows=None):
    """Return what would be measured if the coefficients were right."""
    peaks = [fit.Peak(row, batch, 1.0) for row, batch in rows or fit.rows(GPU)]
    return [replace(peak, measured=peak.predicted(coefficients)) for peak in peaks]


def test_known_coefficients_are_found_again(fit):
    found = fit.fitted(peaks_of(fit, TRUE), DEVICE)
    measured = ("step_features", "sampling_channel", "sampling_group", "reconstruction")
    for name in measured:
        assert asdict(found)[name] == pytest.approx(asdict(TRUE)[name], rel=0.01), name


def test_what_no_measurement_tells_of_stays_as_it_is(fit):
    assert fit.fitted(peaks_of(fit, TRUE), DEVICE).flow_network == DEVICE.flow_network
    wide = replace(TRUE, flow_network=60_000)
    found = fit.fitted(peaks_of(fit, wide), wide)
    assert replace(found, flow_network=0) == replace(wide, flow_network=0)


def test_errors_of_measurements_are_spread_evenly(fit):
    peaks = peaks_of(fit, TRUE)
    noisy = [replace(p, measured=p.measured * (1 + 0.02 * (-1) ** k)) for k, p in enumerate(peaks)]
    found = fit.fitted(noisy, DEVICE)
    assert all(peak.predicted(found) == pytest.approx(peak.measured, rel=0.05) for peak in noisy)


def test_no_coefficient_becomes_negative(fit):
    small = [replace(peak, measured=0.3 * peak.measured) for peak in peaks_of(fit, TRUE)]
    assert min(asdict(fit.fitted(small, DEVICE)).values()) >= 0


def test_a_prediction_leaves_the_planners_margin_out(fit):
    (row, batch), *_ = fit.rows(GPU)
    low, high = (
        fit.Peak(row, batch, 1).predicted(c) for c in (TRUE, replace(TRUE, step_features=10))
    )
    config = row.work.networks[0]
    feature = config.channels * 2 * row.width * row.height
    assert high - low == pytest.approx(feature, rel=1e-3)


def test_allocations_are_counted_as_they_overlap(fit):
    def work():
        first = torch.empty(5 << 20, dtype=torch.uint8)
        del first
        kept = [torch.empty(2 << 20, dtype=torch.uint8) for _ in range(4)]
        kept.clear()
        torch.empty(1 << 20, dtype=torch.uint8)

    assert fit.counted(work) == 8 << 20


def test_the_whole_of_it_on_the_cpu(fit, monkeypatch, capsys):
    gpu = script("gpu")
    row = fit.Row("compact", "fp16", 64, 64, 1)
    monkeypatch.setattr(fit, "rows", lambda _: [(row, 1), (replace(row, network="unknown"), 1)])
    monkeypatch.setitem(__import__("sys").modules, "gpu_fit", fit)
    gpu.fit(SimpleNamespace(device="cpu", clip=Path("none"), quick=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| unknown, fp16, 64x64, 1 frames | failed: 'unknown' | | |"
    assert lines[3].startswith("| compact, fp16, 64x64, 1 frames | ")
    assert lines[3].endswith(" | +0 % |")
    assert lines[-1].startswith("DEVICE = Coefficients(step_features=")
    exec(lines[-1], {"Coefficients": Coefficients})
