"""Small clips, each with one kind of stream beside its picture."""

import struct
import subprocess

import av

SECONDS = 0.48
PICTURE = f"testsrc2=s=48x32:r=25:d={SECONDS}"
SOUND = f"sine=d={SECONDS}"
VIDEO = {
    ".mp4": "libx264",
    ".mov": "mpeg4",
    ".mkv": "libx264",
    ".webm": "libvpx",
    ".ts": "libx264",
    ".avi": "mpeg4",
    ".vob": "mpeg2video",
    ".gif": "gif",
}
TEXT = "1\n00:00:00,000 --> 00:00:00,400\nHello\n\n"
CHAPTERS = (
    ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=240\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=240\nEND=480\ntitle=Two\n"
)

KINDS = {
    "no sound": (".mkv", []),
    "aac": (".mp4", ["-c:a", "aac"]),
    "pcm": (".mov", ["-c:a", "pcm_s16le"]),
    "opus": (".webm", ["-c:a", "libopus"]),
    "two tracks": (".mkv", ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-c:a", "ac3"]),
    "text": (".mkv", ["-c:s", "srt"]),
    "pictures": (".mkv", ["-c:s", "copy"]),
    "chapters": (".mkv", ["-map_chapters", "1"]),
    "attachment": (".mkv", ["-metadata:s:t", "mimetype=text/plain"]),
    "time code": (".mov", ["-timecode", "10:00:00:00"]),
    "announced": (".mkv", []),
}
"""The file's suffix, and options of ffmpeg."""

SOUND_OF = {".ts": "mp2", ".avi": "libmp3lame", ".vob": "ac3"}
"""Containers that outputs cannot have, and what sound they usually hold."""


def write_kind(folder, kind):
    """Write the clip of a kind and return its path."""
    suffix, options = KINDS[kind]
    path = folder / f"{kind.replace(' ', '-')}{suffix}"
    if kind == "announced":
        return _with_announced_track(write_kind(folder, "no sound"), path)
    inputs = _inputs(folder, kind, sound="-c:a" in options)
    _ffmpeg(path, VIDEO[suffix], inputs, options)
    return path


def write_foreign(folder, suffix, *, sound):
    """Write a clip in a container that outputs cannot have."""
    path = folder / f"foreign-{sound}{suffix}"
    inputs = ["-f", "lavfi", "-i", SOUND] if sound else []
    _ffmpeg(path, VIDEO[suffix], inputs, ["-c:a", SOUND_OF[suffix]] if sound else [])
    return path


def _inputs(folder, kind, *, sound):
    if sound:
        return ["-f", "lavfi", "-i", SOUND]
    if kind == "attachment":
        (folder / "font.txt").write_text("no font", "utf-8")
        return ["-attach", str(folder / "font.txt")]
    made = {"text": (".srt", TEXT.encode()), "pictures": (".sup", picture_subtitle()),
            "chapters": (".txt", CHAPTERS.encode())}  # fmt: skip
    if kind not in made:
        return []
    file = folder / f"{kind}{made[kind][0]}"
    file.write_bytes(made[kind][1])
    return ["-i", str(file)]


def _ffmpeg(path, codec, inputs, options):
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", PICTURE, *inputs]
    if codec != "gif":
        command += ["-pix_fmt", "yuv420p", "-g", "6"]
    subprocess.run([*command, "-c:v", codec, *options, str(path)], check=True)


def picture_subtitle():
    """Return a PGS file: a red square of 8x8 for the first 0.4 seconds."""
    shown = struct.pack(">HHBHBBBBHBBHH", 48, 32, 0x10, 0, 0x80, 0, 0, 1, 0, 0, 0, 8, 8)
    window = struct.pack(">BBHHHH", 1, 0, 8, 8, 8, 8)
    palette = struct.pack(">BBBBBBB", 0, 0, 1, 81, 240, 90, 255)
    rows = (b"\x01" * 8 + b"\x00\x00") * 8
    image = struct.pack(">HBB", 0, 0, 0xC0) + (len(rows) + 4).to_bytes(3) + b"\x00\x08\x00\x08"
    gone = struct.pack(">HHBHBBBB", 48, 32, 0x10, 1, 0, 0, 0, 0)
    first = [(0x16, shown), (0x17, window), (0x14, palette), (0x15, image + rows), (0x80, b"")]
    last = [(0x16, gone), (0x80, b"")]
    parts = [(0, *part) for part in first] + [(36_000, *part) for part in last]
    return b"".join(
        b"PG" + struct.pack(">IIBH", time, 0, kind, len(data)) + data for time, kind, data in parts
    )


def _with_announced_track(source, path):
    """Copy a clip into a file with a track of sound that never comes."""
    with av.open(str(source)) as file, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(file.streams.video[0])
        sound = target.add_stream("aac", rate=48_000, layout="mono")
        sound.codec_context.open()
        for packet in file.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
    return path
