"""A disk that is really full ends a run with 5, harms nothing, and with room it goes on."""

import json
import re
import subprocess
import sys

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, assert_one_line, vsrpp
from support.disks import small_disk
from support.faults import fingerprint
from support.places import TESTS
from vsrpp_cli.durable import write_durably
from vsrpp_cli.errors import DiskFullError
from vsrpp_cli.runs.work.disk import MARGIN, watch

SIZE = "72m"
"""A little more than a run wants to see free before it starts."""

COMMITTED = {
    "frame": 1,
    "frame, apart": 1,
    "segment's end": 1,
    "journal": 1,
    "journal, apart": 1,
    "verified": 3,
    "join": 3,
    "join, half": 3,
    "join, nearly": 3,
    "images": 1,
    "images, join": 3,
}
"""Segments that are safe when the disk fills up, by the cases of `support/full_disk.py`."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A clip of three segments with sound, and a tiny network."""
    folder = tmp_path_factory.mktemp("parts")
    clip = write_clip(folder / "clip.mp4", 12, audio=True)
    return clip, tiny_checkpoint(folder / "tiny.pth")


@pytest.fixture(scope="module")
def results(parts, tmp_path_factory):
    """What happened in each case."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "elsewhere").mkdir()
    with small_disk(folder / "disk", SIZE) as disk:
        command = [sys.executable, str(TESTS / "support" / "full_disk.py")]
        command += [str(p) for p in (*parts, disk, folder / "elsewhere")]
        environment = {**ENVIRONMENT, "PYTHONPATH": str(TESTS)}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", COMMITTED)
def test_it_ends_with_5_and_one_line_that_names_the_bytes_needed(results, case):
    result = results[case]
    assert result["code"] == 5, result["said"]
    (line,) = [text for text in result["said"] if text.startswith("vsrpp: ")]
    assert "make room" in line
    wanted = re.search(r"about ([\d,]+) bytes are needed at \S*/disk/\S+, [\d,]+ are free", line)
    assert wanted, line
    assert int(wanted[1].replace(",", "")) > MARGIN
    assert not any("Traceback" in text for text in result["said"])


@pytest.mark.parametrize("case", COMMITTED)
def test_output_is_untouched_and_nothing_half_written_takes_up_room(results, case):
    assert results[case]["untouched"]
    assert results[case]["left over"] == []


@pytest.mark.parametrize("case", COMMITTED)
def test_with_room_it_goes_on_and_nothing_committed_is_computed_again(results, case):
    result = results[case]
    assert result["then"] == 0, result["then said"]
    assert result["as expected"]
    assert result["committed"] == result["reused"] == COMMITTED[case]


def test_a_result_that_has_its_name_is_done_though_nothing_more_can_be_noted(results):
    result = results["published"]
    assert result["code"] == 0, result["said"]
    assert result["then"] == 0, result["then said"]
    assert result["as expected"]


def test_without_room_a_run_does_not_start(parts, tmp_path):
    clip, model = parts
    with small_disk(tmp_path / "disk", SIZE) as disk:
        (disk / "filler").write_bytes(bytes(68 << 20))
        command = ("upscale", clip, tmp_path / "out.mp4", "--model", model, "--work-dir", disk)
        line = assert_one_line(vsrpp(*command, check=5))
        assert re.search(r"[\d,]+ bytes free, about [\d,]+ are needed", line)
        assert sorted(p.name for p in disk.iterdir()) == ["filler"]


def test_workers_of_their_own_process_meet_a_full_disk(parts, tmp_path):
    clip, model = parts
    report = tmp_path / "report.json"
    with small_disk(tmp_path / "disk", SIZE) as disk:
        command = ["upscale", clip, tmp_path / "out.mp4", "--model", model, "--work-dir", disk,
                   "--segment", 2, "--overlap", 1, "--workers", 2,
                   "--progress", "json"]  # fmt: skip
        process = subprocess.Popen(
            [VSRPP, *map(str, command)], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        said = []
        for line in process.stderr:
            said.append(line)
            record = json.loads(line) if line.startswith("{") else {}
            if record.get("phase") == "compute" and record["done"]:
                with (disk / "filler").open("wb", buffering=0) as filler:
                    while not _full(filler):
                        pass
        assert process.wait() == 5, said
        process.stderr.close()
        assert re.search(r"about [\d,]+ bytes are needed", said[-1])
        assert not list(disk.rglob("*.part*"))
        safe = "".join(p.read_text() for p in disk.rglob("journal.jsonl")).count('"segment"')
        (disk / "filler").unlink()
        vsrpp(*command, "--report", report, check=0)
    account = json.loads(report.read_text())
    assert account["segments_reused"] == safe
    vsrpp(*command[:2], tmp_path / "plain.mp4", *command[3:5], *command[7:11], check=0)
    assert fingerprint(tmp_path / "out.mp4") == fingerprint(tmp_path / "plain.mp4")


def _full(filler):
    try:
        filler.write(bytes(1 << 20))
    except OSError:
        return True
    return False


def test_the_next_segment_is_not_begun_without_room_for_it(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        watch(disk, 1 << 19)
        with pytest.raises(DiskFullError, match="about 2,097,152 bytes"):
            watch(disk, 1 << 21)


def test_half_a_file_does_not_stay_on_a_full_disk(tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        write_durably(disk / "plan.json", b"old")
        with pytest.raises(DiskFullError, match=r"plan\.json, 100,000 bytes"):
            write_durably(disk / "plan.json", bytes(100_000))
        assert [p.name for p in disk.iterdir()] == ["plan.json"]
        assert (disk / "plan.json").read_bytes() == b"old"
