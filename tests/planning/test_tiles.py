import random
from itertools import pairwise

import pytest
import torch

from vsrpp_cli.errors import UsageError
from vsrpp_cli.inference.tiling import weights
from vsrpp_cli.planning.tiles import check, grid, padded, spans


def _cases(count=400):
    rng = random.Random(5)
    for _ in range(count):
        multiple = rng.choice([1, 1, 4])
        overlap = multiple * rng.randint(0, 32 // multiple)
        tile = max(64, 4 * overlap) + rng.choice([0, rng.randint(0, 400)])
        size = multiple * rng.randint(64 // multiple, 2000 // multiple)
        yield size, tile, overlap, multiple


CASES = list(_cases())


def test_tiles_cover_the_frame_and_overlap_by_twice_the_overlap_or_more():
    for size, tile, overlap, multiple in CASES:
        found = spans(size, tile, overlap, multiple)
        assert (found[0].start, found[-1].stop) == (0, size)
        for one, other in pairwise(found):
            assert one.start < other.start
            assert one.stop - other.start >= 2 * overlap, (size, tile, overlap, multiple)


def test_tiles_are_of_one_size_within_what_was_asked_and_aligned():
    for size, tile, overlap, multiple in CASES:
        found = spans(size, tile, overlap, multiple)
        lengths = {span.stop - span.start for span in found}
        assert len(lengths) == 1
        (length,) = lengths
        assert length <= tile
        assert length >= min(64, size)
        assert length % multiple == 0
        assert all(span.start % multiple == 0 for span in found)


def test_weights_of_overlapping_tiles_sum_to_one_everywhere():
    for size, tile, overlap, multiple in CASES[:80]:
        for scale in (1, 4):
            total = torch.zeros(size * scale)
            for span in spans(size, tile, overlap, multiple):
                total[span.start * scale : span.stop * scale] += weights(span, scale)
            assert torch.allclose(total, torch.ones_like(total), atol=1e-6), (size, tile, overlap)


def test_the_outermost_pixels_of_a_tile_do_not_count():
    for span in spans(640, 256, 16):
        weight = weights(span, 1)
        assert span.fade_in is None or float(weight[:8].max()) == 0
        assert span.fade_out is None or float(weight[-8:].max()) == 0


def test_a_frame_that_fits_is_one_tile():
    (tile,) = grid((320, 180), (320, 180), 16)
    assert (tile.x.start, tile.x.stop, tile.y.start, tile.y.stop) == (0, 320, 0, 180)
    assert grid((320, 180), None, 16) == (tile,)


def test_tiles_come_row_by_row():
    tiles = grid((300, 200), (160, 120), 16)
    assert [(t.y.start, t.x.start) for t in tiles] == sorted((t.y.start, t.x.start) for t in tiles)
    assert len(tiles) == 6


@pytest.mark.parametrize(
    ("tile", "overlap", "minimum", "named"),
    [((63, 200), 0, 64, "63x200"), ((128, 128), 40, 64, "160"), ((128, 300), 8, 256, "256")],
)
def test_tiles_that_cannot_be_are_refused_with_what_could(tile, overlap, minimum, named):
    with pytest.raises(UsageError, match=named):
        check(tile, overlap, minimum)


def test_frames_are_padded_to_what_the_network_needs():
    assert [padded(n, 64, 1) for n in (10, 64, 65)] == [64, 64, 65]
    assert [padded(n, 256, 4) for n in (10, 257, 260)] == [256, 260, 260]
