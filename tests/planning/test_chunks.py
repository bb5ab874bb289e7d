import random
from itertools import pairwise

import pytest

from vsrpp_cli.planning.chunks import (
    Chunk,
    computed_per_kept,
    open_chunks,
    plan_segments,
    shorten,
    split_evenly,
)


def _random_cases(count=400):
    rng = random.Random(7)
    for _ in range(count):
        frames = rng.choice([1, 2, 3, rng.randint(1, 40), rng.randint(1, 900)])
        cuts = sorted(rng.sample(range(1, frames), min(frames - 1, rng.choice([0, 1, 3, 20]))))
        overlap = rng.randint(0, 6)
        chunk = 2 * overlap + rng.randint(1, 30)
        yield frames, cuts, chunk, overlap, rng.randint(1, 300)


CASES = list(_random_cases())


def _plan(case):
    frames, cuts, chunk, overlap, segment = case
    return plan_segments(frames, cuts, chunk=chunk, overlap=overlap, segment=segment)


def _scene(case, frame):
    edges = [0, *case[1], case[0]]
    return next((a, b) for a, b in pairwise(edges) if a <= frame < b)


def test_every_frame_is_kept_exactly_once_and_in_order():
    for case in CASES:
        kept = [i for s in _plan(case) for c in s.chunks for i in range(c.keep_start, c.keep_stop)]
        assert kept == list(range(case[0])), case


def test_chunks_see_at_most_as_many_frames_as_allowed_and_keep_at_least_one():
    for case in CASES:
        for chunk in (c for s in _plan(case) for c in s.chunks):
            assert chunk.start <= chunk.keep_start < chunk.keep_stop <= chunk.stop, case
            assert chunk.stop - chunk.start <= case[2], case


def test_segments_hold_at_most_as_many_frames_as_asked():
    for case in CASES:
        for index, segment in enumerate(_plan(case)):
            assert segment.index == index
            assert segment.keep_stop - segment.keep_start <= case[4], case


def test_chunks_never_span_a_cut():
    for case in CASES:
        for chunk in (c for s in _plan(case) for c in s.chunks):
            start, stop = _scene(case, chunk.keep_start)
            assert start <= chunk.start, case
            assert chunk.stop <= stop, case


def test_context_is_complete_behind_every_chunk_and_before_every_one_that_does_not_carry_on():
    for case in CASES:
        overlap = case[3]
        for chunk in (c for s in _plan(case) for c in s.chunks):
            start, stop = _scene(case, chunk.keep_start)
            assert chunk.stop == min(stop, chunk.keep_stop + overlap), case
            before = chunk.keep_start if chunk.carries else max(start, chunk.keep_start - overlap)
            assert chunk.start == before, case


def test_only_chunks_of_one_segment_and_scene_carry_on():
    for case in CASES:
        for segment in _plan(case):
            assert not segment.chunks[0].carries
            for before, chunk in pairwise(segment.chunks):
                same_scene = _scene(case, before.keep_start) == _scene(case, chunk.keep_start)
                assert chunk.carries == same_scene, case
            continued = [chunk.carries for chunk in segment.chunks[1:]]
            assert [chunk.continued for chunk in segment.chunks] == [*continued, False]


def test_segments_do_not_depend_on_the_frames_of_others():
    one = plan_segments(1000, (), chunk=30, overlap=4, segment=100)
    assert len({(s.keep_stop - s.keep_start, len(s.chunks)) for s in one}) == 1


def test_no_fewer_chunks_would_do():
    for case in CASES:
        frames, _, chunk, overlap, _ = case
        (segment,) = plan_segments(frames, (), chunk=chunk, overlap=overlap, segment=frames)
        # The first and each further chunk but the last lose one overlap, and none lies before.
        fewest = max(1, -(-(frames - overlap) // (chunk - overlap)))
        assert len(segment.chunks) == fewest, case


def test_chunks_of_a_long_scene_see_equally_many_frames():
    for frames in (101, 200, 257, 999):
        (segment,) = plan_segments(frames, (), chunk=30, overlap=4, segment=frames)
        seen = [c.stop - c.start for c in segment.chunks]
        assert max(seen) - min(seen) <= 1


def test_a_long_scene_costs_at_most_fifteen_percent_more_frames():
    segments = plan_segments(5000, (), chunk=48, overlap=4, segment=250)
    assert computed_per_kept(segments) <= 1.15


def test_a_scene_of_one_frame_is_a_chunk_of_its_own():
    (segment,) = plan_segments(5, (2, 3), chunk=9, overlap=4, segment=9)
    assert segment.chunks[1] == Chunk(2, 3, 2, 3, continued=False)


def test_ranges_are_shared_out_evenly():
    assert split_evenly(10, 21, 5) == [(10, 13), (13, 17), (17, 21)]
    assert split_evenly(3, 3, 5) == []


def test_a_shortened_chunk_keeps_the_same_frames_with_context():
    rng = random.Random(3)
    for _ in range(300):
        overlap = rng.randint(0, 5)
        before, after = rng.randint(0, overlap), rng.randint(0, overlap)
        keep = rng.randint(1, 40)
        chunk = Chunk(10 - before, 10 + keep + after, 10, 10 + keep, carries=before == 0)
        parts = shorten(chunk, 2 * overlap + rng.randint(1, 9), overlap)
        edges = [(p.keep_start, p.keep_stop) for p in parts]
        assert [i for a, b in edges for i in range(a, b)] == list(range(10, 10 + keep))
        assert (parts[0].start, parts[0].carries) == (chunk.start, chunk.carries)
        assert all(p.carries and p.start == p.keep_start for p in parts[1:])
        assert all(p.stop == min(chunk.stop, p.keep_stop + overlap) for p in parts[:-1])


@pytest.mark.parametrize("frames", [0, 1, 5, 6, 7, 11, 12, 40])
def test_a_stream_without_known_end_is_covered(frames):
    chunks = list(open_chunks(lambda stop: min(stop, frames), chunk=6, overlap=2))
    assert [i for c in chunks for i in range(c.keep_start, c.keep_stop)] == list(range(frames))
    assert all(c.stop - c.start <= 6 for c in chunks)
    assert all(c.stop == min(frames, c.keep_stop + 2) or c.stop == frames for c in chunks)
    assert [c.carries for c in chunks] == [i > 0 for i in range(len(chunks))]


def test_planning_half_a_million_frames_takes_no_time():
    segments = plan_segments(500_000, range(100, 500_000, 90), chunk=40, overlap=4, segment=250)
    assert sum(s.keep_stop - s.keep_start for s in segments) == 500_000
