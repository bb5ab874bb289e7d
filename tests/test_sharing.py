"""`benchmarks/sharing.py`: what could share calls, counted by hand."""

import pytest

from support.benchmarks import script
from support.clips import write_clip
from vsrpp_cli.planning.chunks import plan_segments

sharing = script("sharing")


def planned(*scenes, chunk, segment):
    cuts = [sum(scenes[:i]) for i in range(1, len(scenes))]
    return plan_segments(sum(scenes), cuts, chunk=chunk, overlap=2, segment=segment)


def test_scenes_share_calls_within_their_segment_only():
    one = sharing.ways(planned(10, 6, 6, chunk=20, segment=30), most=4)
    assert one["scenes"] == [[10, 6, 6]]
    assert one["scenes, equal"] == [[6, 6], [10]]
    assert one["segments"] == [[10], [6], [6]]
    many = sharing.ways(planned(10, 6, 6, chunk=20, segment=10), most=4)
    assert many["scenes"] == [[10], [6], [6]]
    assert many["segments"] == [[10, 6, 6]]


def test_no_more_share_calls_than_may():
    found = sharing.ways(planned(5, 5, 5, 5, 5, chunk=20, segment=30), most=2)
    assert found["scenes"] == [[5, 5], [5, 5], [5]]


def test_chunks_that_begin_and_chunks_that_continue_do_not_share_calls():
    first, second = planned(16, 5, 5, chunk=10, segment=16)
    assert [c.carries for c in first.chunks] == [False, True]
    assert [c.carries for c in second.chunks] == [False, False]
    assert sharing.ways([first, second], most=4)["segments"] == [[9, 5], [5], [9]]


def test_figures_count_frames_with_company_and_calls():
    # Of 10 and 6 frames, the last 4 of the longer chunk are alone; so are the 4 by themselves.
    assert sharing.figures([[10, 6], [4]]) == pytest.approx((12 / 20, 14 / 20))


def test_videos_are_joined_to_one_film_with_their_cuts(tmp_path):
    first = write_clip(tmp_path / "first.mp4", 24, cuts=[12])
    second = write_clip(tmp_path / "second.mp4", 20)
    film = sharing.joined([first, second])
    assert (film.frames, film.cuts) == (44, (12, 24))


def test_made_up_shots_last_as_long_as_asked_for_on_average():
    film = sharing.made_up(4)
    assert film.frames / (len(film.cuts) + 1) == pytest.approx(4 * 25, rel=0.1)
    assert film.cuts == tuple(sorted(set(film.cuts)))


def test_the_tables_have_a_row_for_each_film_and_chunk_and_for_each_size(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sharing.py", "--most", "2"])
    monkeypatch.setattr(sharing, "FRAMES", 5000)
    sharing.main()
    shares, memory = capsys.readouterr().out.split("\n\n")
    assert len(shares.splitlines()) == 2 + len(sharing.MEANS) * len(sharing.GEOMETRIES)
    assert len(memory.splitlines()) == 2 + len(sharing.SIZES)
    _, one, two, _ = memory.splitlines()[-1].split("|")[1:]
    assert 1.9 * float(one) < float(two) < 2 * float(one) + 0.1
