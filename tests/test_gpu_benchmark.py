"""`benchmarks/gpu.py`: all of it on the CPU, and what becomes of parts that fail."""

import subprocess
import sys

import pytest

from support.benchmarks import script
from support.places import ROOT

gpu = script("gpu")


@pytest.mark.slow
def test_all_parts_run_and_their_tables_go_into_the_document(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{gpu.BEGIN}\nold\n{gpu.END}\n\nafter\n")
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--quick"]
    done = subprocess.run(
        [*command, "--write", page], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text()
    assert text.startswith(f"before\n\n{gpu.BEGIN}\n**Machine**")
    assert text.endswith(f" |\n{gpu.END}\n\nafter\n")
    for begin in [
        "| tests marked `cuda` | 7 ",
        "| 64x64, reference, fp32 | ",
        "| 64x64, bf16, graphs | ",
        "| 64x64, bf16, 2 together | ",
        "| compact, bf16, 64x64, 3 frames | ",
        "| compact | 3 | ",
        "| compact, --graphs | 3 | ",
        "| 64x64, bf16, compiled | ",
    ]:
        assert f"\n{begin}" in text
    for part in gpu.PARTS.values():
        assert f"**{part.title}**\n\n{gpu.line(part.columns)}" in text


def test_a_part_that_takes_too_long_is_ended_with_all_it_started():
    printed, problem = gpu.run(["sh", "-c", "echo '[1]'; sleep 60; echo '[2]'"], timeout=2)
    assert (printed, problem) == ("[1]\n", "not done in 2 s")


def test_the_last_line_of_an_error_is_what_the_table_says(monkeypatch):
    code = "print('[\"a\"]', flush=True); raise ValueError('no | such device')"
    assert gpu.run([sys.executable, "-c", code], 60) == ('["a"]\n', "ValueError: no | such device")
    monkeypatch.setattr(gpu, "run", lambda *_: ('["a", "1"]\n', "ValueError: no | such device"))
    lines = [line for line in gpu.tables(1) if line.startswith("| failed")]
    assert len(lines) == len(gpu.PARTS)
    assert lines[0] == "| failed: ValueError: no / such device |  |"


def test_the_time_is_shared_out():
    assert sum(part.share for part in gpu.PARTS.values()) == pytest.approx(1)


def test_a_row_without_figures_says_why(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    attempt = script("gpu_setting").attempt

    def fail(error):
        raise error

    assert attempt("a", lambda: ["1", "2"]) == ["a", "1", "2"]
    assert attempt("a", lambda: fail(RuntimeError("bad\nmore"))) == ["a", "failed: bad"]
    assert attempt("a", lambda: fail(SystemExit("not here"))) == ["a", "not measured: not here"]
    with pytest.raises(KeyboardInterrupt):
        attempt("a", lambda: fail(KeyboardInterrupt()))
