"""One table for each kind of fact, which all that need the fact read."""

import pytest

from vsrpp_cli.evaluation.sequences import find_sequences
from vsrpp_cli.media.encode.encoder_table import CONTAINERS, UNSUITABLE
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsrpp_cli.runs.batch_items import find_items
from vsrpp_cli.runs.destination import output_suffix
from vsrpp_cli.training.material.sources import find_material


def test_whatever_can_be_written_or_is_refused_by_name_is_taken_for_a_video():
    written = {suffix for row in CONTAINERS for suffix in row.suffixes}
    assert written | set(UNSUITABLE) <= VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES.keys()


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_batch_evaluation_and_training_take_the_same_files_for_videos(suffix, tmp_path):
    video = tmp_path / f"clip{suffix}"
    video.touch()
    (tmp_path / "notes.txt").touch()
    assert [item.input for item in find_items(tmp_path, tmp_path / "out").items] == [video]
    assert [sequence.path for sequence in find_sequences(tmp_path, None)] == [video]
    assert [name for name, _ in find_material([tmp_path]).videos] == [video.name]


def test_an_output_shares_its_source_s_container_where_that_can_be_written(tmp_path):
    for row in CONTAINERS:
        for suffix in row.suffixes:
            assert output_suffix(tmp_path / f"a{suffix}") == suffix
    for suffix in UNSUITABLE:
        assert output_suffix(tmp_path / f"a{suffix}") == ".mkv"
