"""What INPUT and OUTPUT mean: folders as for `cp`, links followed, devices left alone."""

import os
import socket
import stat

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import assert_one_line, vsrpp
from vsrpp_cli.errors import InputError, OutputExistsError, UsageError
from vsrpp_cli.runs.destination import check_free, check_input, output_name, resolve_output


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("destination") / "film.mp4", 3, audio=True)


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return ("--model", tiny_checkpoint(folder / "tiny.pth"), "--precision", "fp32")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def device(path):
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.skipif(not hasattr(os, "mknod"), reason="POSIX")
@pytest.mark.parametrize("make", [device, a_socket])
@pytest.mark.parametrize("force", [(), ("-y",)])
def test_what_is_no_file_is_refused_and_untouched(clip, tmp_path, make, force, fast):
    place = tmp_path / "out.mp4"
    make(place)
    before = place.lstat()
    failed = vsrpp("upscale", clip, place, *fast, *force, check=2)
    assert "left alone" in assert_one_line(failed)
    after = place.lstat()
    assert (after.st_mode, after.st_ino, after.st_rdev) == (
        before.st_mode, before.st_ino, before.st_rdev,
    )  # fmt: skip
    assert names(tmp_path) == ["out.mp4"]
    refused = vsrpp("upscale", place, tmp_path / "o.mp4", *fast, check=3)
    assert "not a file" in assert_one_line(refused)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("", "out.mp4"), 3), (("film.mp4", ""), 2)],
)
def test_empty_names_are_refused_at_once(clip, tmp_path, fast, arguments, code):
    (tmp_path / "film.mp4").symlink_to(clip)
    failed = vsrpp("upscale", "--", *arguments, cwd=tmp_path, check=code)
    assert assert_one_line(failed)
    assert names(tmp_path) == ["film.mp4"]


def test_a_folder_receives_a_file_named_after_the_input(clip, tmp_path):
    (tmp_path / "notes.txt").touch()
    assert resolve_output(str(tmp_path), clip) == tmp_path / "film_x4.mp4"
    (tmp_path / "empty").mkdir()
    assert resolve_output(str(tmp_path / "empty"), clip) == tmp_path / "empty" / "film_x4.mp4"


def test_a_run_into_a_folder_adds_a_file_to_it(clip, tmp_path, fast):
    (tmp_path / "notes.txt").write_text("mine")
    vsrpp("upscale", clip, ".", *fast, cwd=tmp_path, check=0)
    assert names(tmp_path) == ["film_x4.mp4", "notes.txt"]
    failed = vsrpp("upscale", clip, tmp_path, *fast, check=2)
    assert "film_x4.mp4 exists" in assert_one_line(failed)


def test_frames_of_a_former_run_are_the_output_itself(clip, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "00000001.png").touch()
    assert resolve_output(str(frames), clip) == frames
    (frames / "holiday.png").touch()
    assert resolve_output(str(frames), clip) == frames / "film_x4.mp4"


def test_an_interrupted_run_keeps_its_folder(clip, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames.vsrpp").mkdir()
    assert resolve_output(str(tmp_path / "frames"), clip) == tmp_path / "frames"


def test_a_folder_without_frames_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputExistsError, match="`overwrite=True` to replace"):
        check_free(tmp_path, overwrite=False)
    with pytest.raises(OutputExistsError, match="without frames"):
        check_free(tmp_path, overwrite=True)


def test_a_link_stands_for_what_it_points_to(clip, tmp_path):
    (tmp_path / "real.mp4").touch()
    (tmp_path / "link.mp4").symlink_to("real.mp4")
    assert resolve_output(str(tmp_path / "link.mp4"), clip) == tmp_path / "real.mp4"


@pytest.mark.parametrize(
    ("source", "name"),
    [("a.mp4", "a_x4.mp4"), ("a.avi", "a_x4.mkv"), ("a.TS", "a_x4.mkv"), ("a.webm", "a_x4.webm")],
)
def test_a_name_nobody_gave_is_of_a_container_that_can_be_written(tmp_path, source, name):
    (tmp_path / source).touch()
    assert output_name(tmp_path / source) == name


def test_a_forgotten_suffix_is_said_before_the_work(clip, tmp_path, fast):
    done = vsrpp("upscale", clip, tmp_path / "x", *fast, check=0).stderr
    assert "x has no suffix" in done
    assert done.index("x has no suffix") < done.index("upscaling")
    assert done.count("x has no suffix") == 1


def test_a_report_that_cannot_be_written_is_refused_before_the_work(clip, tmp_path, fast):
    for place in (tmp_path / "missing" / "r.json", tmp_path):
        failed = vsrpp("upscale", clip, tmp_path / "o.mp4", *fast, "--report", place, check=2)
        assert "--report" in failed.stderr
    assert not names(tmp_path)


def test_empty_names_raise_errors_of_their_own():
    with pytest.raises(InputError):
        check_input("")
    with pytest.raises(UsageError):
        resolve_output("", check_input("x"))
