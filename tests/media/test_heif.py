"""HEIC and AVIF: one picture as it is to be seen, or a refusal that says what to do."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from support.heif import auxiliary, coded, exif, grid, mirrored, turned, write_heif
from support.joining import produce
from vsrpp_cli.errors import InputError, StrictError
from vsrpp_cli.media.images.writer import turned as as_shown
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import Scan
from vsrpp_cli.options import UpscaleOptions

STILL = Scan(pts=(0,), last_duration=1)
STRICT = UpscaleOptions(strict=True)
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 220)


def quarters(width=128, height=96):
    """Return a picture with a colour in each corner."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = RED, GREEN
    rgb[height // 2 :, : width // 2], rgb[height // 2 :, width // 2 :] = BLUE, WHITE
    return rgb


@pytest.fixture(scope="module")
def item():
    return coded(quarters())


def corners(path):
    """Return the colours of the four corners, row by row, as the picture is shown."""
    source = open_source(path)
    (frame,) = source.read(source.scan(), 0, 1)
    matrix = source.info.display_matrix
    rgb = frame.rgb if matrix is None else as_shown(frame.rgb, matrix)
    found = rgb[:, [4, 4, -5, -5], [4, -5, 4, -5]].T * 255
    known = np.array((RED, GREEN, BLUE, WHITE))
    return ["RGBW"[np.abs(known - color).sum(1).argmin()] for color in found]


@pytest.mark.parametrize(
    ("properties", "shown"),
    [
        ((), "RGBW"),
        ((turned(1),), "GWRB"),
        ((turned(2),), "WBGR"),
        ((turned(3),), "BRWG"),
        ((mirrored(0),), "BWRG"),
        ((mirrored(1),), "GRWB"),
    ],
)
def test_a_picture_is_turned_as_the_file_says(tmp_path, item, properties, shown):
    path = tmp_path / "portrait.heic"
    write_heif(path, [replace(item, properties=(*item.properties, *properties))])
    assert "".join(corners(path)) == shown


def test_exif_beside_the_picture_does_not_hide_its_orientation(tmp_path, item):
    portrait = replace(item, properties=(*item.properties, turned(1)))
    path = tmp_path / "phone.heic"
    write_heif(path, [portrait, exif()], references=[(b"cdsc", 2, (1,))])
    assert "".join(corners(path)) == "GWRB"


def test_a_thumbnail_in_front_is_not_taken_for_the_picture(tmp_path, item):
    small = coded(np.zeros((64, 64, 3), np.uint8))
    path = write_heif(
        tmp_path / "photo.heic", [small, item], primary=2, references=[(b"thmb", 1, (2,))]
    )
    info = open_source(path).info
    assert (info.width, info.height, info.streams) == (128, 96, ())
    assert any("1 further pictures" in note for note in info.notes)


@pytest.mark.parametrize("thumbnail", [False, True])
def test_a_picture_of_tiles_is_refused_with_what_to_do(tmp_path, item, thumbnail):
    small = [coded(np.zeros((64, 64, 3), np.uint8))] if thumbnail else []
    path = tmp_path / "tiles.heic"
    references = [(b"dimg", 5, (1, 2, 3, 4))] + [(b"thmb", 6, (5,))] * thumbnail
    items = [item, item, item, item, grid(2, 2, 250, 190), *small]
    write_heif(path, items, primary=5, references=references)
    with pytest.raises(InputError, match=r"from 4 tiles.*heif-convert.*ffmpeg -i"):
        open_source(path)


def test_transparency_in_a_picture_of_its_own_is_said_and_strictly_refused(tmp_path):
    picture = coded(quarters(), "libsvtav1", "yuv420p")
    alpha = coded(quarters()[..., :1].repeat(3, 2), "libsvtav1", "yuv420p")
    alpha = replace(alpha, properties=(*alpha.properties, auxiliary()))
    path = tmp_path / "cut out.avif"
    write_heif(path, [picture, alpha], references=[(b"auxl", 2, (1,))], brand=b"avif")
    source = open_source(path)
    assert [loss.text for loss in source.info.losses] == [
        "transparency in a picture of its own (HEIC, AVIF) is dropped: taken as opaque"
    ]
    assert corners(path) == ["R", "G", "B", "W"]
    with pytest.raises(StrictError, match="transparency in a picture of its own"):
        produce(path, tmp_path / "o.mkv", info=source.info, scan=STILL, options=STRICT)


def test_a_single_picture_goes_through_to_a_video_strictly(tmp_path, item):
    path = write_heif(tmp_path / "photo.heic", [item])
    source = open_source(path)
    assert (source.scan().pts, source.scan().last_duration) == (STILL.pts, STILL.last_duration)
    assert source.info.time_base == Fraction(1)
    produce(path, tmp_path / "o.mp4", info=source.info, scan=STILL, options=STRICT)
