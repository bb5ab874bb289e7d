import re
from contextlib import suppress
from dataclasses import replace

import pytest

from vsrpp_cli.checkpoints.registry import MODELS
from vsrpp_cli.errors import OutOfMemoryError, UsageError
from vsrpp_cli.network.config import BasicVSRConfig, NetworkConfig, SpynetConfig
from vsrpp_cli.planning.budget import (
    GOOD_CONTEXT,
    LEAST_OVERLAP,
    SHORT_OVERLAP,
    TILE_OVERLAP,
    Geometry,
    Wishes,
    choose_geometry,
    segment_frames,
    workers_that_fit,
)
from vsrpp_cli.planning.chunks import computed_per_kept, plan_segments
from vsrpp_cli.planning.memory_model import (
    Thrift,
    Work,
    Writing,
    frame_size,
    predict,
    predict_engine,
    requirement,
    scratch_bytes,
)
from vsrpp_cli.planning.tiles import grid
from vsrpp_cli.records import from_json, to_json
from vsrpp_cli.streaming.chunk_run import FADE

GB = 10**9
COMPACT = NetworkConfig(
    channels=32,
    blocks=4,
    deform_groups=8,
    extract_blocks=2,
    reconstruct_blocks=2,
    hr_channels=32,
    spynet=SpynetConfig(levels=5, kernel=5, widths=(16, 32, 16, 8)),
)
PUBLISHED = NetworkConfig()
REAL = BasicVSRConfig()
SAME_SIZE = NetworkConfig(channels=128, blocks=25, same_size=True)


def _work(width=320, height=180, networks=(COMPACT,), precision="bf16", **more):
    return Work(
        width=width, height=height, networks=networks, precision=precision, weights=5 << 20, **more
    )


def _geometry(work, limit=16 * GB, **wishes):
    return choose_geometry(work, Wishes(**({"overlap": 4, "cap": 60} | wishes)), limit)


def _defaults(network):
    """Return the context and the longest chunk that the registry has for a network."""
    row = next(row for row in MODELS.values() if row.config.channels == network.channels)
    return {"overlap": row.overlap, "cap": row.frame_cap}


def _tile_cost(work, geometry):
    """Return how many pixels are computed for each one of the frame."""
    minimum, multiple = requirement(work.networks)
    width, height = frame_size(work)
    tiles = grid((width, height), geometry.tile, geometry.tile_overlap, multiple, minimum)
    computed = sum((t.x.stop - t.x.start) * (t.y.stop - t.y.start) for t in tiles)
    return computed / (width * height)


@pytest.mark.parametrize(
    ("network", "size"),
    [(COMPACT, (320, 180)), (COMPACT, (1280, 720)), (PUBLISHED, (480, 270))],
    ids=["compact-180", "compact-720", "published-270"],
)
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("seconds", [0.01, 20.0])
def test_long_scenes_compute_at_most_1_15_frames_for_each_kept_one(
    network, size, precision, seconds
):
    geometry = _geometry(_work(*size, (network,), precision), **_defaults(network))
    segments = plan_segments(
        5000,
        (),
        chunk=geometry.chunk,
        overlap=geometry.overlap,
        segment=segment_frames(geometry, seconds),
    )
    assert computed_per_kept(segments) <= 1.15


@pytest.mark.parametrize(
    ("network", "precision"),
    [(COMPACT, "bf16"), (COMPACT, "fp32"), (PUBLISHED, "bf16")],
    ids=["compact-bf16", "compact-fp32", "published-bf16"],
)
def test_tile_overlap_costs_at_most_a_fifth_at_1080p(network, precision):
    work = _work(1920, 1080, (network,), precision)
    assert _tile_cost(work, _geometry(work, **_defaults(network))) <= 1.2


@pytest.mark.parametrize("limit", [3, 4, 8, 16, 64])
@pytest.mark.parametrize("size", [(64, 64), (320, 180), (640, 480)])
def test_what_is_chosen_is_predicted_to_fit(limit, size):
    work = _work(*size)
    geometry = _geometry(work, limit * GB)
    need = predict(work, geometry.chunk, geometry.tile, geometry.tile_overlap)
    assert need.host == geometry.memory <= limit * GB


def test_more_memory_never_makes_for_more_work():
    work = _work(1280, 720)
    costs = []
    for limit in (7, 8, 12, 16, 24, 48):
        geometry = _geometry(work, limit * GB)
        costs.append(
            _tile_cost(work, geometry) * geometry.chunk / (geometry.chunk - geometry.overlap)
        )
    assert costs == sorted(costs, reverse=True)


def test_small_frames_are_not_tiled_and_chunks_end_at_the_cap():
    geometry = _geometry(_work())
    assert (geometry.chunk, geometry.tile) == (60, None)


def test_no_chunk_is_longer_than_the_longest_scene():
    assert _geometry(_work(longest=20)).chunk == 20
    assert _geometry(_work(longest=1)).chunk == 9


def test_what_the_user_gives_is_taken():
    geometry = _geometry(_work(), chunk=15, tile="128x96", tile_overlap=8)
    assert (geometry.chunk, geometry.tile, geometry.tile_overlap) == (15, (128, 96), 8)
    assert _geometry(_work(1280, 720), 40 * GB, tile="off").tile is None
    assert _geometry(_work(), tile="400").tile is None


@pytest.mark.parametrize(
    ("work", "wishes", "named"),
    [
        (_work(), {"tile": "64", "tile_overlap": 20}, "80"),
        (_work(networks=(SAME_SIZE,)), {"tile": "128"}, "256"),
        (_work(), {"chunk": 8}, "at least 9"),
    ],
)
def test_what_cannot_be_is_refused(work, wishes, named):
    with pytest.raises(UsageError, match=named):
        _geometry(work, **wishes)


def test_too_little_memory_is_an_error_that_says_how_much_is_needed():
    with pytest.raises(OutOfMemoryError, match=r"3840x2160.*need \d+\.\d GiB, but 1\.9 GiB"):
        _geometry(_work(3840, 2160), 2 * GB)


def test_a_device_with_memory_of_its_own_has_a_limit_of_its_own():
    small = _geometry(_work(640, 480, (PUBLISHED,), "fp16", device_memory=2 * GB), 64 * GB)
    large = _geometry(_work(640, 480, (PUBLISHED,), "fp16", device_memory=24 * GB), 64 * GB)
    assert small.tile is not None
    assert large.tile is None


GPU = {"precision": "fp16", "device_memory": 24 * GB}


def test_tiles_are_computed_together_as_far_as_the_device_has_memory():
    batches = []
    for memory in (3, 4, 8, 24, 80):
        work = _work(1280, 720, (PUBLISHED,), "fp16", device_memory=memory * GB)
        geometry = _geometry(work, 64 * GB, tile="320x256", chunk=15)
        need = predict(work, 15, geometry.tile, geometry.tile_overlap, geometry.batch)
        assert need.fits(64 * GB, memory * GB)
        batches.append(geometry.batch)
    assert batches == sorted(batches)
    assert batches[0] == 1 < batches[-1]


def test_batches_are_no_larger_than_needed_for_their_number():
    work = _work(1280, 720, (PUBLISHED,), **GPU)
    tiles = grid(frame_size(work), (480, 270), 24)
    geometry = _geometry(work, 64 * GB, tile="480x270", chunk=9)
    assert (len(tiles), geometry.batch) == (12, 6)


def test_where_the_machine_itself_computes_tiles_go_one_by_one():
    assert _geometry(_work(1280, 720), 64 * GB, tile="320x256").batch == 1


def test_a_larger_batch_is_predicted_to_need_more_of_the_device_and_none_of_the_machine():
    work = _work(1280, 720, (PUBLISHED,), **GPU)
    one, four = (predict(work, 9, (320, 256), 24, batch) for batch in (1, 4))
    assert one.device < four.device < 4 * one.device
    assert one.host == four.host


@pytest.mark.parametrize(("precision", "least"), [("fp32", 6), ("bf16", 4)])
def test_weights_count_as_often_as_they_are_held(precision, least):
    # Themselves, a copy, and packed for Winograd's convolution: four times, in the precision.
    few, many = (replace(_work(precision=precision), weights=size) for size in (0, 1 << 20))
    grown = [predict_engine(work, 8, None, 24).host for work in (few, many)]
    assert grown[1] - grown[0] >= least << 20


def test_chains_need_what_each_of_their_networks_needs():
    assert requirement((SAME_SIZE, PUBLISHED)) == (256, 4)
    assert requirement((PUBLISHED, SAME_SIZE)) == (64, 1)
    assert requirement((PUBLISHED,)) == (64, 1)
    both = predict(_work(networks=(SAME_SIZE, PUBLISHED)), 20, None, 64)
    assert both.host > predict(_work(networks=(PUBLISHED,)), 20, None, 64).host


def test_tiles_of_same_size_networks_overlap_by_more_for_their_features_are_smaller():
    geometry = _geometry(_work(1920, 1080, (SAME_SIZE,)))
    assert geometry.tile_overlap == 4 * TILE_OVERLAP


def test_segments_last_about_a_minute_and_hold_at_most_250_frames():
    geometry = _geometry(_work(), chunk=9, overlap=0)
    assert segment_frames(geometry, 0.5) == 117
    assert segment_frames(geometry, 0.001) == 243
    assert segment_frames(geometry, 1e9) == 9


def test_workers_that_do_not_fit_are_not_started():
    geometry = _geometry(_work())
    assert workers_that_fit(geometry, 3 * geometry.memory + 1) == 3
    assert workers_that_fit(geometry, 1) == 1


def test_geometry_survives_the_plan_file():
    geometry = _geometry(_work(1280, 720))
    assert from_json(Geometry, to_json(geometry)) == geometry


def test_long_chunks_have_all_the_context_wanted_and_short_ones_enough():
    long = _geometry(_work(), overlap=8, cap=100)
    assert (long.chunk, long.overlap) == (100, 8)
    medium = _geometry(_work(), overlap=8, cap=60)
    assert LEAST_OVERLAP < medium.overlap < 8
    assert medium.chunk / (medium.chunk - medium.overlap) <= GOOD_CONTEXT
    short = _geometry(_work(1920, 1080), overlap=8)
    assert short.overlap == LEAST_OVERLAP


def test_context_that_was_asked_for_is_kept_to():
    assert _geometry(_work(1920, 1080), overlap=6, overlap_given=True).overlap == 6
    assert _geometry(_work(), overlap=2, overlap_given=True).overlap == 2


def test_models_without_temporal_context_get_none():
    assert _geometry(_work(), overlap=0).overlap == 0


def test_what_is_carried_over_a_border_is_accounted_for():
    assert PUBLISHED.carried_channels == (2 * 2 + 2 * FADE) * PUBLISHED.channels
    assert REAL.carried_channels == (2 + FADE) * REAL.channels


def test_networks_without_second_order_branches_hold_less():
    def need(network):
        return predict_engine(_work(networks=(network,), precision="fp32"), 40, None, 24).host

    assert need(REAL) < 0.6 * need(PUBLISHED)


X264_BYTES = 50
"""For each pixel."""


def _written(width, height, *output, **more):
    pixels = output[0] * output[1]
    encoders = (X264_BYTES * pixels,)
    return _work(
        width, height, writing=Writing(width=output[0], height=output[1], encoders=encoders), **more
    )


LARGE = [
    ((1280, 720, 3840, 2160), 2),
    ((1920, 1080, 3840, 2160), 4),
    ((3840, 2160, 7680, 4320), 8),
]


@pytest.mark.parametrize(("sizes", "gigabytes"), LARGE)
@pytest.mark.parametrize("longest", [3, None])
def test_large_frames_fit_into_little_memory(sizes, gigabytes, longest):
    work = _written(*sizes, longest=longest)
    geometry = _geometry(work, gigabytes << 30, overlap=6, cap=48)
    assert geometry.memory <= gigabytes << 30
    named = any("files of the work folder" in note for note in geometry.notes)
    assert named == (geometry.scratch > 0)
    assert named or longest


def test_published_models_fit_1080p_into_8_gigabytes_in_float32():
    work = _written(1920, 1080, 3840, 2160, networks=(PUBLISHED,), precision="fp32")
    assert _geometry(work, 8 << 30, overlap=8).memory <= 8 << 30


def test_where_there_is_memory_nothing_is_saved():
    geometry = _geometry(_written(1280, 720, 3840, 2160), 64 << 30)
    assert (geometry.scratch, geometry.encoder, geometry.notes) == (0, 0, ())
    assert geometry.overlap == LEAST_OVERLAP


def test_less_context_is_for_when_nothing_else_fits():
    work = _written(1920, 1080, 3840, 2160)
    overlaps = {}
    for tenths in range(10, 60):
        with suppress(OutOfMemoryError):
            overlaps[tenths] = _geometry(work, (tenths << 30) // 10).overlap
    found = [overlaps[key] for key in sorted(overlaps)]
    assert found == sorted(found)
    assert set(found) == {SHORT_OVERLAP, LEAST_OVERLAP}
    short = _geometry(work, (min(overlaps) << 30) // 10)
    assert any("3 frames of context instead of 4" in note for note in short.notes)


def test_an_encoder_is_restrained_only_when_memory_wants_it():
    writing = Writing(width=3840, height=2160, encoders=(4 << 30, 1 << 30))
    work = _work(1280, 720, writing=writing)
    assert _geometry(work, 3 << 30).encoder == 1
    assert _geometry(work, 32 << 30).encoder == 0


def test_what_a_worker_needs_follows_the_final_size_not_the_networks():
    def need(height):
        work = _written(1920, 1080, height * 16 // 9, height)
        return predict(work, 9, (516, 564), 24, thrift=Thrift()).host

    assert need(4320) > 1.5 * need(1080)


def test_what_is_in_files_is_not_in_memory():
    work = _written(1920, 1080, 3840, 2160)
    in_memory, in_files = (
        predict(work, 20, (516, 564), 24, thrift=Thrift(scratch=scratch)).host
        for scratch in (False, True)
    )
    frames = 20 * 6 * 3840 * 2160
    assert in_memory - in_files > frames
    assert scratch_bytes(work, 20, (516, 564), 24) > frames


def test_what_only_whole_scenes_make_is_carried_nowhere():
    short, long = (_written(1920, 1080, 3840, 2160, longest=n) for n in (9, 99))
    assert scratch_bytes(short, 9, (516, 564), 24) < 0.8 * scratch_bytes(long, 9, (516, 564), 24)


def test_a_refusal_names_what_would_help():
    work = _written(3840, 2160, 15360, 8640, precision="fp32")
    with pytest.raises(OutOfMemoryError) as refused:
        _geometry(work, 6 << 30, chunk=40, tile="1024")
    text = str(refused.value)
    named = re.search(r"`memory_limit='(\d+\.\d)G'`", text)
    assert _geometry(work, int(float(named[1]) * 2**30), chunk=40, tile="1024")
    assert "height" not in text  # not enough by itself


def test_a_refusal_proposes_the_largest_output_that_fits():
    work = _written(3840, 2160, 15360, 8640)
    with pytest.raises(OutOfMemoryError, match="`height=4320` or `memory_limit="):
        _geometry(work, 8 << 30)


def test_a_refusal_names_the_option_that_is_too_much():
    work = _written(1920, 1080, 3840, 2160)
    with pytest.raises(OutOfMemoryError, match="fit: no `tile` or `memory_limit="):
        _geometry(work, 4 << 30, tile="off")
