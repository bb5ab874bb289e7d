"""`vsrpp bench`: what it measures, what it leaves out, and its row."""

import json

import pytest

from support.commands import vsrpp
from vsrpp_cli.cli.commands.bench import _row
from vsrpp_cli.cli.main import execute
from vsrpp_cli.evaluation.bench import Result


def test_it_measures_what_fits_into_the_time_and_says_what_did_not():
    done = vsrpp(
        "bench", "-m", "reds4", "--size", "512x512", "--size", "64x64", "--seconds", "0.001",
        "--threads", "1", "--json", "--device", "cpu", check=0, cold=True,
    )  # fmt: skip
    record = json.loads(done.stdout)
    small, large = record["results"]
    assert record["schema"] == 1
    assert record["processor"]
    assert (small["model"], small["width"], small["device"]) == ("reds4", 64, "cpu")
    assert small["threads"] == 1
    assert small["fps"] > 0
    assert small["memory"] > 2**27
    assert (large["width"], large["fps"]) == (512, 0)
    assert "too long" in large["skipped"]
    lines = done.stderr.splitlines()
    assert lines[0].startswith("reds4 64x64: ")
    assert lines[1] == f"reds4 512x512: skipped: {large['skipped']}"


def test_the_row_names_machine_settings_and_speeds():
    how = {"device": "cpu", "precision": "bf16", "threads": 2}
    found = [
        Result(model="compact", width=320, height=180, frames=30, seconds=4.0, **how),
        Result(model="reds4", width=320, height=180, skipped="would take too long"),
    ]
    row = _row(found, "A Processor")
    assert row.startswith("| A Processor | cpu, bf16, 2 threads | vsrpp ")
    assert row.endswith(" | compact 320x180: 7.50/s |")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--size", "big"], "--size 'big': must be WIDTHxHEIGHT"),
        (["-m", "compct"], "compact"),
        (["--device", "cuda:77"], "cuda:77"),
    ],
)
def test_what_cannot_be_measured_is_refused(args, said, capsys):
    assert execute(["bench", *args]) == 2
    assert said in capsys.readouterr().err
