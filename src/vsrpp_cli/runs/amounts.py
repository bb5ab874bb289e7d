"""Numbers with their units, as people read them."""

_STEPS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def counted(number: int, thing: str) -> str:
    """Return `1 frame`, `2 frames`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def size(count: float) -> str:
    """Return a number of bytes with two or three digits: `812 bytes`, `4.1 kB`, `37 MB`."""
    for step, unit in _STEPS:
        if count >= step:
            return f"{count / step:.{1 if count < 10 * step else 0}f} {unit}"
    return counted(round(count), "byte")


def about(seconds: float) -> str:
    """Return a guessed time: `less than a second`, `about 12 s`."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a time; seconds only below an hour: `12 s`, `3 min 5 s`, `2 h 3 min`."""
    if seconds < 1:
        return "less than a second"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
