"""The journal: what is written is read back, and a torn end costs nothing but itself."""

import json
import multiprocessing
import subprocess
import sys

import pytest

from support.disks import small_disk
from support.hosts import can_be_hosts, start_on_host
from vsrpp_cli.errors import DiskFullError
from vsrpp_cli.runs.work.journal import Journal

RECORDS = [{"event": "segment", "index": k, "name": "é" * k} for k in range(4)]


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for record in RECORDS:
        journal.append(record)
    return journal


def test_records_come_back_in_order(journal):
    assert journal.read() == RECORDS


def test_a_missing_journal_is_empty(tmp_path):
    assert Journal(tmp_path / "none.jsonl").read() == []


def test_a_journal_cut_at_any_byte_holds_its_whole_lines_and_goes_on(journal):
    whole = journal.path.read_bytes()
    for cut in range(len(whole) + 1):
        journal.path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert journal.read() == RECORDS[:kept]
        journal.append({"event": "next"})
        assert journal.read() == [*RECORDS[:kept], {"event": "next"}]


def test_of_records_added_together_a_crash_keeps_the_first(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append_all(RECORDS)
    whole = journal.path.read_bytes()
    assert journal.read() == Journal(journal.path).read() == RECORDS
    for cut in range(len(whole)):
        journal.path.write_bytes(whole[:cut])
        assert Journal(journal.path).read() == RECORDS[: whole[:cut].count(b"\n")]


def test_rubbish_at_the_end_is_dropped(journal):
    with journal.path.open("ab") as file:
        file.write(b"\x00\xff\n{\n")
    assert journal.read() == RECORDS
    journal.append({"event": "next"})
    assert journal.read() == [*RECORDS, {"event": "next"}]


def _append_many(path, who):
    for k in range(20):
        Journal(path).append({"who": who, "k": k})


def test_several_processes_may_append(tmp_path):
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = [(r["who"], r["k"]) for r in Journal(path).read()]
    assert sorted(found) == [(who, k) for who in range(3) for k in range(20)]


ON_A_NETWORK = """
import sys
from pathlib import Path
from vsrpp_cli.runs.work import locks
from vsrpp_cli.runs.work.journal import Journal
locks.is_shared = lambda path: True
for k in range(20):
    Journal(Path(sys.argv[1])).append({"who": sys.argv[2], "k": k})
"""


@pytest.mark.skipif(not can_be_hosts(), reason="needs namespaces")
def test_several_hosts_may_append_where_the_kernel_s_locks_are_no_use(tmp_path):
    path = tmp_path / "journal.jsonl"
    command = [sys.executable, "-c", ON_A_NETWORK, path]
    writers = [start_on_host(who, Journal(path).lock, *command, who) for who in "ab"]
    assert [writer.wait(250) for writer in writers] == [0, 0]
    found = [(r["who"], r["k"]) for r in Journal(path).read()]
    assert sorted(found) == [(who, k) for who in "ab" for k in range(20)]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path):
    with small_disk(tmp_path / "disk", "16k") as disk:
        journal = Journal(disk / "journal.jsonl")
        journal.append({"event": "first"})
        (disk / "filler").write_bytes(b"x" * 8192)
        with pytest.raises(DiskFullError, match=r"journal\.jsonl, 20,0\d\d bytes"):
            journal.append({"event": "large", "text": "x" * 20_000})
        assert journal.read() == [{"event": "first"}]
        (disk / "filler").unlink()
        journal.append({"event": "second"})
        assert [r["event"] for r in journal.read()] == ["first", "second"]


def test_an_appended_record_is_whole_after_a_kill(tmp_path):
    path = tmp_path / "journal.jsonl"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from vsrpp_cli.runs.work.journal import Journal\n"
        "Journal(Path(sys.argv[1])).append({'event': 'done'})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert json.loads(path.read_text()) == {"event": "done"}
